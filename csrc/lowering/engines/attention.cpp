#include <algorithm>
#include <optional>

#include "core/graph_rewriter.hpp"
#include "lowering/engines/flow.hpp"
#include "lowering/engines/passes.hpp"

namespace infercost {
namespace {

constexpr std::string_view kRepeats[] = {
    "aten.expand",     "aten.reshape", "aten.view",        "aten.unsqueeze",         "aten.slice",
    "aten.contiguous", "aten.clone",   "aten.index",       "aten.repeat_interleave", "aten.repeat",
    "aten.to",         "aten.flatten", "aten._unsafe_view"};
constexpr std::string_view kTransposes[] = {"aten.transpose", "aten.permute", "aten.t", "aten.mT",
                                            "aten.swapaxes"};
constexpr std::string_view kOfPositions[] = {"aten.le", "aten.lt",   "aten.ge",
                                             "aten.gt", "aten.tril", "aten.triu"};
constexpr const char* kMasks[] = {"attn_mask", "attn_bias", "bias"};

template <std::size_t N>
bool is_one_of(std::string_view op, const std::string_view (&names)[N]) {
    return std::find(std::begin(names), std::end(names), op) != std::end(names);
}

class AttentionPass {
  public:
    AttentionPass(const GraphPtr& graph, bool language)
        : flow_(graph), rewriter_(*graph), language_(language) {}

    GraphPtr run() {
        bool changed = false;
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (!flow_.is_live(i)) continue;
            if (flow_.kind(i) == WorkKind::attention && flow_.call(i).has("query")) changed |= narrow(i);
            if (flow_.kind(i) == WorkKind::softmax) changed |= fold(i);
        }
        if (!changed) return nullptr;
        drop_unread_activations(flow_, rewriter_);
        return rewriter_.build().graph;
    }

  private:
    static std::size_t at(NodeIndex node) { return static_cast<std::size_t>(node); }

    // The tensor of fewest heads that holds the same keys or values.
    TensorIndex unrepeated(TensorIndex t, NodeIndex producer) const {
        TensorIndex best = t;
        const std::vector<Expr> wanted = flow_.shape(t);
        if (wanted.size() < 2) return t;
        while (producer != kNoNode && is_one_of(flow_.op(producer), kRepeats) &&
               !flow_.operands(producer).empty()) {
            const Operand& source = flow_.operands(producer).front();
            const std::vector<Expr> lengths = flow_.shape(source.tensor);
            const std::size_t rank = lengths.size();
            if (rank >= 3 && lengths[rank - 1] == wanted[wanted.size() - 1] &&
                lengths[rank - 2] == wanted[wanted.size() - 2] && rank <= wanted.size() &&
                !is_conversion(producer)) {
                best = source.tensor;
            } else if (is_conversion(producer)) {
                break;
            }
            producer = source.producer;
        }
        return best;
    }

    bool is_conversion(NodeIndex node) const {
        return flow_.tensor(flow_.operands(node).front().tensor).dtype !=
               flow_.tensor(flow_.call(node).output()).dtype;
    }

    // Whether a mask compares positions: of causal attention.
    bool compares_positions(NodeIndex node, int depth = 0) const {
        if (node == kNoNode || depth > 64) return false;
        if (is_one_of(flow_.op(node), kOfPositions)) return true;
        return std::any_of(flow_.operands(node).begin(), flow_.operands(node).end(),
                           [&](const Operand& read) { return compares_positions(read.producer, depth + 1); });
    }

    bool is_one_query(TensorIndex query) const {
        const std::vector<Expr> lengths = flow_.shape(query);
        return lengths.size() >= 2 && lengths[lengths.size() - 2] == Expr(1);
    }

    // Keys and values as they lie, and no mask of positions.
    bool narrow(NodeIndex node) {
        const Call call = flow_.call(node);
        GraphRewriter::Replaced replaced;
        bool masked = false;
        bool causal = call.flag("is_causal", false);
        std::vector<NamedArgument> arguments;
        const TensorIndex query = call.require_tensor("query");
        for (const Operand& operand : flow_.operands(node)) {
            for (const char* name : {"key", "value"}) {
                if (call.tensor(name) != operand.tensor) continue;
                const TensorIndex source = unrepeated(operand.tensor, operand.producer);
                if (source != operand.tensor) replaced.emplace_back(operand.tensor, source);
            }
            for (const char* name : kMasks) {
                if (call.tensor(name) != operand.tensor) continue;
                const bool known = operand.producer == kNoNode || !flow_.is_live(operand.producer);
                if (!known) continue;
                masked = true;
                causal = causal || (!is_one_query(query) && compares_positions(operand.producer));
            }
        }
        if (!masked && replaced.empty()) return false;
        const auto now = [&](TensorIndex t) {
            for (const auto& [old, other] : replaced) {
                if (old == t) return other;
            }
            return t;
        };
        arguments.push_back({"query", query});
        arguments.push_back({"key", now(call.require_tensor("key"))});
        arguments.push_back({"value", now(call.require_tensor("value"))});
        if (!masked) {
            for (const char* name : kMasks) {
                if (const TensorIndex t = call.tensor(name); t != kNoTensor) arguments.push_back({name, t});
            }
        }
        if (causal) arguments.push_back({"is_causal", true});
        rewriter_.replace(node, call.op().full, arguments);
        return true;
    }

    // What a softmax is taken of: a product of two activations, and tensors that are added to it.
    struct Scores {
        NodeIndex product = kNoNode;
        std::vector<TensorIndex> added;
        bool plain = true;  // nothing else that depends on tokens changes them
    };

    bool is_product_of_activations(NodeIndex node) const {
        return flow_.kind(node) == WorkKind::gemm && flow_.weight_of(node) == kNoTensor &&
               flow_.call(node).op().name != "aten._grouped_mm";
    }

    Scores scores_of(NodeIndex node, int depth = 0) const {
        Scores found;
        if (depth > 24) return found;
        std::vector<TensorIndex> others;
        for (const Operand& operand : flow_.operands(node)) {
            const NodeIndex made = operand.producer;
            if (made == kNoNode || !flow_.is_live(made)) continue;
            Scores up;
            if (is_product_of_activations(made)) {
                up.product = made;
            } else if (!flow_.is_anchor(made)) {
                up = scores_of(made, depth + 1);
            }
            if (up.product == kNoNode || found.product != kNoNode) {
                if (up.product != found.product) others.push_back(operand.tensor);
            } else {
                found = up;
            }
        }
        if (!others.empty() && flow_.op(node).starts_with("aten.add")) {
            found.added.insert(found.added.end(), others.begin(), others.end());
        } else if (!others.empty()) {
            found.plain = false;
        }
        return found;
    }

    // The product whose left operand is the result of a softmax.
    NodeIndex weighted_by(NodeIndex node, int depth = 0) const {
        if (depth > 24) return kNoNode;
        for (const Use& use : flow_.uses(node)) {
            const NodeIndex next = use.consumer;
            if (flow_.kind(next) == WorkKind::gemm) {
                const bool left = flow_.operands(next).front().tensor == use.tensor;
                if (left && flow_.weight_of(next) == kNoTensor) return next;
                continue;
            }
            if (flow_.is_anchor(next) || flow_.kind(next) == WorkKind::softmax) continue;
            if (const NodeIndex found = weighted_by(next, depth + 1); found != kNoNode) return found;
        }
        return kNoNode;
    }

    // Scores, softmax and the weighted sum of values.
    bool fold(NodeIndex softmax) {
        const Scores found = scores_of(softmax);
        const NodeIndex scores = found.product;
        const NodeIndex sum = weighted_by(softmax);
        if (scores == kNoNode || sum == kNoNode || !found.plain || found.added.size() > 1 ||
            flow_.operands(scores).size() < 2 || flow_.operands(sum).size() < 2) {
            return false;
        }
        const Operand& query = operand_of(scores, 0);
        const Operand& keys = operand_of(scores, 1);
        const Operand& values = operand_of(sum, 1);
        NodeIndex turned = keys.producer;
        while (turned != kNoNode && is_one_of(flow_.op(turned), kRepeats) &&
               !flow_.operands(turned).empty()) {
            turned = flow_.operands(turned).front().producer;
        }
        if (turned == kNoNode || !is_one_of(flow_.op(turned), kTransposes) ||
            flow_.operands(turned).empty()) {
            return false;
        }
        const Operand& upright = flow_.operands(turned).front();
        const TensorIndex key = unrepeated(upright.tensor, upright.producer);
        const TensorIndex value = unrepeated(values.tensor, values.producer);
        const std::vector<Expr> k = flow_.shape(key);
        const std::vector<Expr> v = flow_.shape(value);
        if (k.size() < 3 || v.size() < 3 || !(k[k.size() - 2] == v[v.size() - 2])) return false;
        std::vector<NamedArgument> arguments = {
            {"query", query.tensor},
            {"key",   key         },
            {"value", value       }
        };
        if (!found.added.empty()) arguments.push_back({"attn_mask", found.added.front()});
        if (language_ && !is_one_query(query.tensor)) arguments.push_back({"is_causal", true});
        rewriter_.replace(sum, "aten.scaled_dot_product_attention.default", arguments);
        return true;
    }

    // Products that add a tensor (baddbmm) have it first.
    const Operand& operand_of(NodeIndex product, std::size_t which) const {
        const std::string_view op = flow_.op(product);
        return flow_.operands(product)[which + (op == "aten.baddbmm" || op == "aten.addbmm" ? 1 : 0)];
    }

    Flow flow_;
    GraphRewriter rewriter_;
    bool language_;
};

}  // namespace

GraphPtr fold_attention(const GraphPtr& graph, bool language) {
    const GraphPtr folded = AttentionPass(graph, language).run();
    return folded ? folded : graph;
}

}  // namespace infercost

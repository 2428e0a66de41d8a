#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "core/graph_rewriter.hpp"
#include "lowering/engines/passes.hpp"
#include "lowering/engines/units.hpp"
#include "lowering/flow.hpp"

namespace infercost {
namespace {

// The kernel of attention converts keys and values of a narrow cache itself.
constexpr std::string_view kDequantizes = "quantized_decomposed.dequantize_per_token";
constexpr std::string_view kRepeats[] = {"aten.expand",       "aten.reshape", "aten.view",
                                         "aten.unsqueeze",    "aten.slice",   "aten.contiguous",
                                         "aten.clone",        "aten.index",   "aten.repeat_interleave",
                                         "aten.repeat",       "aten.to",      "aten.flatten",
                                         "aten._unsafe_view", kDequantizes};
constexpr std::string_view kTransposes[] = {"aten.transpose", "aten.permute", "aten.t", "aten.mT",
                                            "aten.swapaxes"};
constexpr std::string_view kOfPositions[] = {"aten.le", "aten.lt",   "aten.ge",
                                             "aten.gt", "aten.tril", "aten.triu"};
constexpr std::string_view kShifts[] = {"aten.sub", "aten.add", "aten.rsub"};
constexpr int kBetween = 24;  // nodes between a softmax and its products
constexpr const char* kMasks[] = {"attn_mask", "attn_bias", "bias"};

// What a mask that is known before the forward says of its scores.
struct Mask {
    bool causal = false;
    Expr window = 0;  // keys that a query attends to, itself included; 0: all before it
};

// What a softmax is taken of: a product of two activations, and tensors that are added to it.
struct Scores {
    NodeIndex product = kNoNode;
    std::vector<TensorIndex> added;
    std::vector<NodeIndex> known;  // makers of what is known before the forward, such as masks of positions
    bool plain = true;             // nothing else that depends on tokens changes them
};

bool is_conversion(const Flow& flow, NodeIndex node) {
    return flow.op(node) != kDequantizes && flow.tensor(flow.operands(node).front().tensor).dtype !=
                                                flow.tensor(flow.call(node).output()).dtype;
}

// The tensor of fewest heads that holds the same keys or values.
TensorIndex unrepeated(const Flow& flow, TensorIndex t, NodeIndex producer) {
    TensorIndex best = t;
    const std::vector<Expr> wanted = flow.shape(t);
    if (wanted.size() < 2) return t;
    while (producer != kNoNode && is_one_of(flow.op(producer), kRepeats) &&
           !flow.operands(producer).empty()) {
        const Operand& source = flow.operands(producer).front();
        const std::vector<Expr> lengths = flow.shape(source.tensor);
        const std::size_t rank = lengths.size();
        if (rank >= 3 && lengths[rank - 1] == wanted[wanted.size() - 1] &&
            lengths[rank - 2] == wanted[wanted.size() - 2] && rank <= wanted.size() &&
            !is_conversion(flow, producer)) {
            best = source.tensor;
        } else if (is_conversion(flow, producer)) {
            break;
        }
        producer = source.producer;
    }
    return best;
}

Expr magnitude(const Expr& number) {
    if (!number.is_constant()) return number;
    return number.constant() < 0 ? Expr(-number.constant()) : number;
}

// The number by which a comparison of positions is shifted; 0 if there is none.
Expr compared_number(const Flow& flow, NodeIndex node) {
    const Call call = flow.call(node);
    if (flow.op(node) == "aten.tril" || flow.op(node) == "aten.triu") {
        // tril(-window) is what a window hides; triu(1) hides what follows a query.
        const Expr diagonal = call.integer("diagonal", 0);
        return diagonal.is_constant() && diagonal.constant() < 0 ? Expr(-diagonal.constant()) : Expr(0);
    }
    const std::span<const Operand> sides = flow.operands(node);
    for (const Operand& side : sides) {
        const NodeIndex made = through_views(flow, side.producer);
        if (made == kNoNode) continue;
        if (sides.size() == 1 && flow.op(made) == "aten.sub") return magnitude(call.integer("other", 0));
        if (!is_one_of(flow.op(made), kShifts) || flow.operands(made).size() > 1) continue;
        const Expr number = magnitude(flow.call(made).integer("other", 0));
        if (!(number == Expr(0))) return number;
    }
    return 0;
}

// Whether a mask compares positions: of causal attention. The same comparison with a number added to a
// side, or of a distance with a number, is that of a window: key > query - window.
void read_mask(const Flow& flow, NodeIndex made, Mask& mask) {
    std::set<NodeIndex> seen;
    std::vector<NodeIndex> open = {made};
    while (!open.empty()) {
        const NodeIndex node = open.back();
        open.pop_back();
        if (node == kNoNode || !seen.insert(node).second) continue;
        if (is_one_of(flow.op(node), kOfPositions)) {
            mask.causal = true;
            const Expr window = compared_number(flow, node);
            const bool narrower = mask.window == Expr(0) || !window.is_constant() ||
                                  !mask.window.is_constant() || window.constant() < mask.window.constant();
            if (!(window == Expr(0)) && narrower) mask.window = window;
        }
        for (const Operand& read : flow.operands(node)) open.push_back(read.producer);
    }
}

bool is_one_query(const Flow& flow, TensorIndex query) {
    const std::vector<Expr> lengths = flow.shape(query);
    return lengths.size() >= 2 && lengths[lengths.size() - 2] == Expr(1);
}

bool is_known(const Flow& flow, const Operand& mask) {
    return mask.producer == kNoNode || !flow.is_live(mask.producer);
}

// Arguments that state which keys a query attends to.
void add_mask(const Flow& flow, const Mask& mask, TensorIndex query, std::vector<NamedArgument>& arguments) {
    if (!mask.causal || is_one_query(flow, query)) return;
    arguments.push_back({"is_causal", true});
    if (!(mask.window == Expr(0))) arguments.push_back({"window", mask.window});
}

bool is_product_of_activations(const Flow& flow, NodeIndex node) {
    return flow.kind(node) == WorkKind::gemm && flow.weight_of(node) == kNoTensor &&
           flow.call(node).op().name != "aten._grouped_mm";
}

// `before` has the answers for nodes that several operands lead to.
Scores scores_of(const Flow& flow, NodeIndex node, std::map<NodeIndex, Scores>& before, int depth = 0) {
    Scores found;
    if (depth > kBetween) return found;
    std::vector<TensorIndex> others;
    std::vector<NodeIndex> known;
    for (const Operand& operand : flow.operands(node)) {
        const NodeIndex made = operand.producer;
        if (made == kNoNode) continue;
        if (!flow.is_live(made)) {
            known.push_back(made);
            continue;
        }
        Scores up;
        if (is_product_of_activations(flow, made)) {
            up.product = made;
        } else if (!flow.is_anchor(made)) {
            const auto [at, is_new] = before.try_emplace(made);
            if (is_new) at->second = scores_of(flow, made, before, depth + 1);
            up = at->second;
        }
        if (up.product == kNoNode || (found.product != kNoNode && up.product != found.product)) {
            others.push_back(operand.tensor);
        } else {  // several operands lead to the scores where a part of them is written in place
            found.product = up.product;
            found.plain = found.plain && up.plain;
            found.added.insert(found.added.end(), up.added.begin(), up.added.end());
            found.known.insert(found.known.end(), up.known.begin(), up.known.end());
        }
    }
    if (!others.empty() && flow.op(node).starts_with("aten.add")) {
        found.added.insert(found.added.end(), others.begin(), others.end());
    } else if (!others.empty()) {
        found.plain = false;
    }
    found.known.insert(found.known.end(), known.begin(), known.end());
    return found;
}

// Whether elements of several tensors that depend on tokens become one.
bool mixes(const Flow& flow, NodeIndex node) {
    if (flow.kind(node) != WorkKind::pointwise) return false;
    const std::span<const Operand> read = flow.operands(node);
    return std::count_if(read.begin(), read.end(), [&](const Operand& operand) {
               return operand.producer != kNoNode && flow.is_live(operand.producer);
           }) > 1;
}

// The product whose left operand is the result of a softmax.
NodeIndex weighted_by(const Flow& flow, NodeIndex node, std::set<NodeIndex>& seen, int depth = 0) {
    if (depth > kBetween || !seen.insert(node).second) return kNoNode;
    for (const Use& use : flow.uses(node)) {
        const NodeIndex next = use.consumer;
        if (flow.kind(next) == WorkKind::gemm) {
            const bool left = flow.operands(next).front().tensor == use.tensor;
            if (left && flow.weight_of(next) == kNoTensor) return next;
            continue;
        }
        if (flow.is_anchor(next) || flow.kind(next) == WorkKind::softmax || mixes(flow, next)) continue;
        if (const NodeIndex found = weighted_by(flow, next, seen, depth + 1); found != kNoNode) return found;
    }
    return kNoNode;
}

// Products that add a tensor (baddbmm) have it first.
const Operand& operand_of(const Flow& flow, NodeIndex product, std::size_t which) {
    const std::string_view op = flow.op(product);
    return flow.operands(product)[which + (op == "aten.baddbmm" || op == "aten.addbmm" ? 1 : 0)];
}

// The scores, and the nodes between them and the sum, which must have no other readers, or the scores
// would be computed twice; a logarithm of their sum is a result of the kernel.
bool find_between(const Flow& flow, NodeIndex scores, NodeIndex sum, std::set<NodeIndex>& between,
                  std::vector<NodeIndex>& logarithms) {
    std::vector<NodeIndex> open = {scores};
    between.insert(scores);
    while (!open.empty()) {
        const NodeIndex node = open.back();
        open.pop_back();
        if (flow.is_result(node)) return false;
        for (const Use& use : flow.uses(node)) {
            const NodeIndex next = use.consumer;
            if (next == sum || !between.insert(next).second) continue;
            if (flow.op(next) == "aten.logsumexp") {
                logarithms.push_back(next);
            } else if (flow.is_anchor(next) || next > sum) {
                return false;
            } else {
                open.push_back(next);
            }
        }
    }
    return true;
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
        if (moved_) rewriter_.sort_nodes();
        return rewriter_.build().graph;
    }

  private:
    // Keys and values as they lie, and no mask of positions.
    bool narrow(NodeIndex node) {
        const Call call = flow_.call(node);
        GraphRewriter::Replaced replaced;
        bool masked = false;
        Mask mask{.causal = call.flag("is_causal", false), .window = 0};
        std::vector<NamedArgument> arguments;
        const TensorIndex query = call.require_tensor("query");
        for (const Operand& operand : flow_.operands(node)) {
            for (const char* name : {"key", "value"}) {
                if (call.tensor(name) != operand.tensor) continue;
                const TensorIndex source = unrepeated(flow_, operand.tensor, operand.producer);
                if (source != operand.tensor) replaced.emplace_back(operand.tensor, source);
            }
            for (const char* name : kMasks) {
                if (call.tensor(name) != operand.tensor || !is_known(flow_, operand)) continue;
                masked = true;
                read_mask(flow_, operand.producer, mask);
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
        add_mask(flow_, mask, query, arguments);
        rewriter_.replace(node, call.op().full, arguments);
        return true;
    }

    // Scores, softmax and the weighted sum of values.
    bool fold(NodeIndex softmax) {
        std::map<NodeIndex, Scores> before;
        std::set<NodeIndex> seen;
        const Scores found = scores_of(flow_, softmax, before);
        const NodeIndex scores = found.product;
        const NodeIndex sum = weighted_by(flow_, softmax, seen);
        if (scores == kNoNode || sum == kNoNode || !found.plain || found.added.size() > 1 ||
            flow_.operands(scores).size() < 2 || flow_.operands(sum).size() < 2) {
            return false;
        }
        const Operand& query = operand_of(flow_, scores, 0);
        const Operand& keys = operand_of(flow_, scores, 1);
        const Operand& values = operand_of(flow_, sum, 1);
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
        const TensorIndex key = unrepeated(flow_, upright.tensor, upright.producer);
        const TensorIndex value = unrepeated(flow_, values.tensor, values.producer);
        const std::vector<Expr> k = flow_.shape(key);
        const std::vector<Expr> v = flow_.shape(value);
        if (k.size() < 3 || v.size() < 3 || !(k[k.size() - 2] == v[v.size() - 2])) return false;
        std::vector<NamedArgument> arguments = {
            {"query", query.tensor},
            {"key",   key         },
            {"value", value       }
        };
        Mask mask{.causal = language_, .window = 0};
        // Without tokens a comparison of positions may be that of a bias, which hides nothing.
        if (language_) {
            for (const NodeIndex made : found.known) read_mask(flow_, made, mask);
        }
        if (!found.added.empty()) {
            const Operand added{found.added.front(), flow_.maker(found.added.front())};
            if (is_known(flow_, added)) {
                read_mask(flow_, added.producer, mask);
            } else {
                arguments.push_back({"attn_mask", added.tensor});
            }
        }
        add_mask(flow_, mask, query.tensor, arguments);
        std::vector<NodeIndex> logarithms;
        std::set<NodeIndex> between;
        if (!find_between(flow_, scores, sum, between, logarithms)) return false;
        for (const NodeIndex node : between) rewriter_.remove(node);
        if (logarithms.empty()) {
            rewriter_.replace(sum, "aten.scaled_dot_product_attention.default", arguments);
            return true;
        }
        // A kernel has the logarithm of the sum of a row's exponentials at hand, and returns it.
        std::vector<TensorIndex> results = {flow_.call(sum).output()};
        for (const NodeIndex node : logarithms) {
            results.push_back(flow_.call(node).output());
        }
        rewriter_.insert_after(sum, "aten._scaled_dot_product_flash_attention.default", arguments, results);
        rewriter_.remove(sum);
        moved_ = true;
        return true;
    }

    Flow flow_;
    GraphRewriter rewriter_;
    bool language_;
    bool moved_ = false;  // a result is made by another node than before
};

}  // namespace

GraphPtr fold_attention(const GraphPtr& graph, bool language) {
    const GraphPtr folded = AttentionPass(graph, language).run();
    return folded ? folded : graph;
}

}  // namespace infercost

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "core/graph_rewriter.hpp"
#include "core/names.hpp"
#include "lowering/engines/passes.hpp"
#include "lowering/flow.hpp"

namespace infercost {
namespace {

constexpr std::string_view kMergeable[] = {"aten.linear", "pyinfercost.linear_weight_only",
                                           "pyinfercost.linear_quantized"};
constexpr std::string_view kWeight = "weight";
constexpr std::string_view kBeside = "weight_";  // what is stored beside a weight, by any name: scales, ...
constexpr std::string_view kBias = "bias";

// The group of each input, as GPTQ orders them: products of one input have the same, and engines keep one.
bool is_of_inputs(std::string_view name) {
    return name.ends_with("index") || name.ends_with("g_idx");
}

class MergePass {
  public:
    MergePass(const GraphPtr& graph, Merges merges) : flow_(graph), rewriter_(*graph), merges_(merges) {}

    GraphPtr run() {
        share_quantized();
        using Key = std::tuple<TensorIndex, NodeIndex, std::string, std::string>;
        std::map<Key, std::vector<NodeIndex>> groups;
        const IndexedVector<NodeIndex, bool> needed =
            needed_nodes(flow_);  // another product would stay with one that is
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (!needed[i] || !is_product(i)) continue;
            const Operand& input = flow_.operands(i).front();
            const TensorIndex read = now(input.tensor);
            groups[{read, flow_.maker(read), std::string(parent_of(flow_.module(i))),
                    std::string(flow_.op(i))}]
                .push_back(i);
        }
        // A weight that something else reads, too, would be stored twice.
        std::map<std::vector<TensorIndex>, std::size_t> times;
        for (const auto& [key, products] : groups) ++times[weights_of(products)];
        for (const auto& [key, products] : groups) {
            const std::vector<TensorIndex> weights = weights_of(products);
            const bool alone = std::all_of(weights.begin(), weights.end(),
                                           [&](TensorIndex t) { return readers_of(t) == times[weights]; });
            if (products.size() > 1 && alone && fit(products) && is_merged(products)) {
                merge(std::get<0>(key), std::get<2>(key), products);
            }
        }
        return changed_ ? rewriter_.build().graph : nullptr;
    }

  private:
    std::vector<TensorIndex> weights_of(const std::vector<NodeIndex>& products) const {
        std::vector<TensorIndex> weights;
        for (const NodeIndex node : products) weights.push_back(flow_.call(node).tensor("weight"));
        return weights;
    }

    // Names of the arguments that hold the weight of a product and what is stored beside it.
    std::vector<std::string> stored_by(NodeIndex node) const {
        std::vector<std::string> names;
        const Graph& graph = flow_.graph();
        for (const Argument& argument : graph.arguments(flow_.call(node).node())) {
            const std::string& name = graph.name(argument.name);
            if (argument.kind == ArgKind::tensor && (name == kWeight || name.starts_with(kBeside))) {
                names.push_back(name);
            }
        }
        return names;
    }

    // Gate and up: two products of one width whose results meet in an operator between products.
    bool is_merged(const std::vector<NodeIndex>& products) const {
        if (merges_ == Merges::all) return true;
        if (products.size() != 2) return false;
        const std::vector<Expr> gate = flow_.shape(flow_.call(products[0]).output());
        const std::vector<Expr> up = flow_.shape(flow_.call(products[1]).output());
        const bool one_token =
            gate == up &&
            std::all_of(gate.begin(), gate.end() - 1, [](const Expr& length) { return length == Expr(1); });
        bool glued = true;
        for (const NodeIndex node : products) {
            flow_.for_each_reader(node, [&](NodeIndex reader) { glued = glued && flow_.is_glue(reader); });
        }
        return one_token && glued;
    }

    std::size_t readers_of(TensorIndex weight) {
        if (readers_.empty()) {
            readers_.resize(flow_.graph().tensors().size(), 0);
            for (NodeIndex i = 0; i < flow_.count(); ++i) {
                for (const Operand& operand : flow_.operands(i)) {
                    ++readers_[operand.tensor];
                }
            }
        }
        return readers_[weight];
    }

    bool is_product(NodeIndex node) const {
        const std::string_view op = flow_.op(node);
        return flow_.is_live(node) &&
               std::find(std::begin(kMergeable), std::end(kMergeable), op) != std::end(kMergeable) &&
               is_matrix(flow_.call(node).tensor("weight"));
    }

    bool is_matrix(TensorIndex t) const {
        if (t == kNoTensor) return false;
        const Tensor& weight = flow_.tensor(t);
        return weight.role == Role::parameter && weight.shape.count == 2;
    }

    TensorIndex now(TensorIndex t) const {
        const auto found = shared_.find(t);
        return found == shared_.end() ? t : found->second;
    }

    // An activation that several products read in a narrow format is quantized once.
    void share_quantized() {
        std::map<std::pair<std::string, TensorIndex>, NodeIndex> known;
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (!flow_.quantizes(i)) continue;
            const auto [first, fresh] =
                known.emplace(std::pair(flow_.call(i).op().full, flow_.operands(i).front().tensor), i);
            if (fresh) continue;
            const Call one = flow_.call(first->second);
            const Call other = flow_.call(i);
            if (one.output_count() != other.output_count() ||
                flow_.tensor(one.output()).dtype != flow_.tensor(other.output()).dtype ||
                !(flow_.shape(one.output(one.output_count() - 1)) ==
                  flow_.shape(other.output(other.output_count() - 1)))) {
                continue;
            }
            for (std::size_t r = 0; r < one.output_count(); ++r) {
                rewriter_.redirect(other.output(r), one.output(r));
                shared_.emplace(other.output(r), one.output(r));
            }
            rewriter_.remove(i);
            changed_ = true;
        }
    }

    // Weights of the same row length and dtypes, with the same arguments apart from weights.
    bool fit(const std::vector<NodeIndex>& products) const {
        const Call first = flow_.call(products.front());
        const std::vector<std::string> stored = stored_by(products.front());
        return std::all_of(products.begin(), products.end(), [&](NodeIndex node) {
            const Call call = flow_.call(node);
            const TensorIndex bias = call.tensor("bias");
            if (call.rank(call.output()) == 0) return false;
            // A bias that the forward makes, such as a part of a joined one, cannot be stored with others.
            if (bias != kNoTensor && (call.rank(bias) != 1 || flow_.maker(bias) != kNoNode)) return false;
            if (stored_by(node).size() != stored.size()) return false;
            for (const std::string& name : stored) {
                const TensorIndex one = first.tensor(name);
                const TensorIndex other = call.tensor(name);
                if (other == kNoTensor) return false;
                const std::vector<Expr> a = flow_.shape(one);
                const std::vector<Expr> b = flow_.shape(other);
                if (flow_.tensor(one).dtype != flow_.tensor(other).dtype || a.size() != b.size())
                    return false;
                if (a.empty() || (is_of_inputs(name) && a != b)) return false;
                if (a.size() == 2 && !(a[1] == b[1])) return false;
            }
            return first.integer("group_size", 0) == call.integer("group_size", 0) &&
                   first.integer("weight_bits", 0) == call.integer("weight_bits", 0);
        });
    }

    void merge(TensorIndex input, const std::string& parent, const std::vector<NodeIndex>& products) {
        const NodeIndex first = products.front();
        const Call call = flow_.call(first);
        std::vector<NamedArgument> arguments = {
            {"input", input}
        };
        std::string names;
        std::vector<Expr> widths;
        std::vector<TensorIndex> outputs;
        for (const NodeIndex node : products) {
            const std::string& module = flow_.module(node);
            names +=
                (names.empty() ? "" : "+") + (parent.empty() ? module : module.substr(parent.size() + 1));
            outputs.push_back(flow_.call(node).output());
            widths.push_back(flow_.shape(outputs.back()).back());
        }
        const std::string name = parent.empty() ? names : parent + "." + names;
        for (const std::string& kind : stored_by(first)) {
            arguments.push_back({kind, join(products, kind, name)});
        }
        if (const TensorIndex bias = join(products, std::string(kBias), name); bias != kNoTensor) {
            arguments.push_back({std::string(kBias), bias});
        }
        for (const char* kept : {"group_size", "weight_bits"}) {
            if (call.has(kept)) arguments.push_back({kept, call.integer(kept, 0)});
        }
        std::vector<Expr> shape = flow_.shape(outputs.front());
        shape.back() = 0;
        for (const Expr& width : widths) shape.back() += width;
        const TensorIndex whole = rewriter_.add_tensor(flow_.tensor(outputs.front()).dtype, shape,
                                                       std::nullopt, Role::activation, "");
        rewriter_.insert_before(first, call.op().full, arguments, {&whole, 1});
        const NamedArgument parts[] = {
            {"self",        whole   },
            {"split_sizes", widths  },
            {"dim",         Expr(-1)},
        };
        rewriter_.insert_before(first, "engine.parts.default", parts, outputs);
        for (const NodeIndex node : products) rewriter_.remove(node);
        changed_ = true;
    }

    // One parameter of all rows; a bias where one product has one.
    TensorIndex join(const std::vector<NodeIndex>& products, const std::string& kind,
                     const std::string& name) {
        TensorIndex model = kNoTensor;
        Expr rows = 0;
        std::int64_t logical = 0;
        bool counted = false;
        std::vector<TensorIndex> parts;
        for (const NodeIndex node : products) {
            const TensorIndex t = flow_.call(node).tensor(kind);
            if (t == kNoTensor) continue;
            model = t;
            parts.push_back(t);
            const Tensor& part = flow_.tensor(t);
            rows = is_of_inputs(kind) ? flow_.shape(t).front() : rows + flow_.shape(t).front();
            counted = counted || part.logical_numel >= 0;
            const Expr own = flow_.numel(t);
            logical += part.logical_numel >= 0 ? part.logical_numel : own.is_constant() ? own.constant() : 0;
            rewriter_.drop_if_unread(t);
        }
        if (model == kNoTensor) return kNoTensor;
        // Layers that run again read the same weights.
        const auto [known, fresh] = joined_.emplace(parts, kNoTensor);
        if (!fresh) return known->second;
        std::vector<Expr> shape = flow_.shape(model);
        shape.front() = rows;
        return known->second = rewriter_.add_tensor(flow_.tensor(model).dtype, shape, std::nullopt,
                                                    flow_.tensor(model).role, name + "." + kind,
                                                    counted ? std::optional(logical) : std::nullopt);
    }

    Flow flow_;
    GraphRewriter rewriter_;
    Merges merges_;
    std::map<TensorIndex, TensorIndex> shared_;
    std::map<std::vector<TensorIndex>, TensorIndex> joined_;
    IndexedVector<TensorIndex, std::size_t> readers_;
    bool changed_ = false;
};

}  // namespace

GraphPtr merge_products(const GraphPtr& graph, Merges merges) {
    const GraphPtr merged = MergePass(graph, merges).run();
    return merged ? merged : graph;
}

}  // namespace infercost

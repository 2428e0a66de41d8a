// How values flow through a graph: what passes on this page need to find groups of nodes.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "ops/rule.hpp"

namespace infercost {

inline constexpr NodeIndex kNoNode = -1;

// Values to a narrow format with a scale for each row; its other results are the scales.
inline constexpr std::string_view kQuantizeRows = "pyinfercost.quantize_rows";

template <std::size_t N>
bool is_one_of(std::string_view op, const std::string_view (&names)[N]) {
    return std::find(std::begin(names), std::end(names), op) != std::end(names);
}

// One value that a node reads: its tensor, and the node that wrote it last before; kNoNode for inputs. A node
// that writes a part of a tensor reads its other parts.
struct Operand {
    TensorIndex tensor;
    NodeIndex producer;
};
struct Use {
    NodeIndex consumer;
    TensorIndex tensor;
};

class Flow {
  public:
    explicit Flow(const std::shared_ptr<const Graph>& graph);

    const Graph& graph() const { return *graph_; }
    NodeIndex count() const { return static_cast<NodeIndex>(kinds_.size()); }
    Call call(NodeIndex node) const { return analyzer_.call(node); }
    std::string_view op(NodeIndex node) const { return call(node).op().name; }
    const OpTraits& traits(NodeIndex node) const { return traits_of(call(node)); }
    const std::string& module(NodeIndex node) const { return graph_->name(at_node(node).module); }

    WorkKind kind(NodeIndex node) const { return kinds_[node]; }
    const Expr& pointwise_flops(NodeIndex node) const { return flops_[node]; }
    const Expr& contraction_flops(NodeIndex node) const { return contractions_[node]; }
    // A view: it moves nothing.
    bool is_free(NodeIndex node) const { return kinds_[node] == WorkKind::free; }
    // A kernel that no fusion takes in: a product, attention, a lookup of embeddings, an engine's kernel.
    bool is_anchor(NodeIndex node) const { return anchor_[node]; }
    // Whether its results depend on the tokens' values. Others (tables of positions, masks) are known before
    // the forward.
    bool is_live(NodeIndex node) const { return live_[node]; }
    // Live, and neither an anchor nor a view.
    bool is_glue(NodeIndex node) const { return is_live(node) && !is_anchor(node) && !is_free(node); }
    // The most anchors on a path to the node. Nodes of one stage can share a kernel.
    int stage(NodeIndex node) const { return stage_[node]; }
    // From now on these nodes are anchors: of kernels that were found elsewhere.
    void set_anchors(const IndexedVector<NodeIndex, int>& kernel_of_node);

    std::span<const Operand> operands(NodeIndex node) const {
        return part(operands_, operands_before_, node);
    }
    std::span<const Use> uses(NodeIndex node) const { return part(uses_, uses_before_, node); }
    // The node that last wrote a tensor; kNoNode for inputs.
    NodeIndex maker(TensorIndex t) const { return maker_[t]; }
    // The node that made it first.
    NodeIndex first_maker(TensorIndex t) const { return first_maker_[t]; }
    // The first node that wrote it in place, itself or through a view of it; kNoNode if none did.
    NodeIndex first_writer(TensorIndex t) const { return first_writer_[t]; }
    bool is_output(TensorIndex t) const { return output_[t]; }
    // Whether the graph returns an output of the node.
    bool is_result(NodeIndex node) const {
        const auto outputs = graph_->node_outputs(graph_->nodes()[node]);
        return std::any_of(outputs.begin(), outputs.end(),
                           [&](std::int64_t t) { return is_output(static_cast<TensorIndex>(t)); });
    }
    const Tensor& tensor(TensorIndex t) const { return graph_->tensors()[t]; }

    // A product of an activation with a parameter: its weight, or kNoTensor.
    TensorIndex weight_of(NodeIndex node) const;
    // Whether it writes its first operand in a narrow format.
    bool quantizes(NodeIndex node) const {
        return op(node) == kQuantizeRows || op(node) == "aten.quantize_per_tensor";
    }
    std::vector<Expr> shape(TensorIndex t) const;
    Expr numel(TensorIndex t) const;

    // Visits the consumers of a node that are no views, through views.
    template <class Visit>
    void for_each_reader(NodeIndex node, Visit&& visit) const {
        for (const Use& use : uses(node)) {
            if (is_free(use.consumer)) {
                for_each_reader(use.consumer, visit);
            } else {
                visit(use.consumer);
            }
        }
    }

  private:
    // What a node has in a list of all nodes, one after another.
    template <class Value>
    static std::span<const Value> part(const std::vector<Value>& list,
                                       const IndexedVector<NodeIndex, std::size_t>& before, NodeIndex node) {
        return {list.data() + before[node], before[node + 1] - before[node]};
    }
    const Node& at_node(NodeIndex node) const { return graph_->nodes()[node]; }
    void link(NodeIndex node);
    void find_uses();
    void classify(NodeIndex node);
    int stage_after_operands(NodeIndex node) const;

    std::shared_ptr<const Graph> graph_;
    Analyzer analyzer_;
    IndexedVector<NodeIndex, WorkKind> kinds_;
    IndexedVector<NodeIndex, Expr> flops_;
    IndexedVector<NodeIndex, Expr> contractions_;
    IndexedVector<NodeIndex, bool> anchor_;
    IndexedVector<NodeIndex, bool> live_;
    IndexedVector<NodeIndex, int> stage_;
    std::vector<Operand> operands_;
    IndexedVector<NodeIndex, std::size_t> operands_before_;
    std::vector<Use> uses_;
    IndexedVector<NodeIndex, std::size_t> uses_before_;
    IndexedVector<TensorIndex, NodeIndex> maker_;
    IndexedVector<TensorIndex, NodeIndex> first_maker_;
    IndexedVector<TensorIndex, NodeIndex> first_writer_;
    IndexedVector<TensorIndex, bool> output_;
};

// Whether an operator makes a tensor of the shape of another one, whose values it does not read.
bool makes_from_shape(std::string_view op);

// Nodes that results and caches depend on.
IndexedVector<NodeIndex, bool> needed_nodes(const Flow& flow);

}  // namespace infercost

// The graph rewriter: every pass from a graph to a graph goes through it. It starts from a copy of a graph
// and changes single nodes and tensors; both keep the numbers that they have in the graph until build().
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/graph.hpp"

namespace infercost {

struct Rewritten {
    std::shared_ptr<const Graph> graph;
    // Where each node of the first graph runs in the new one; of a removed node where it would run.
    IndexedVector<NodeIndex, NodeIndex> place_of;
};

// Not thread-safe; build() may be called once. Every method throws std::out_of_range for a node or a tensor
// that there is not, and InputError for a value that a GraphBuilder would refuse.
class GraphRewriter {
  public:
    explicit GraphRewriter(const Graph& graph);

    // The tensors and sizes as they are now. Nodes of the first graph keep their numbers; inserted ones
    // follow them.
    const Graph& graph() const { return *builder_.graph_; }

    // ---- sizes ----
    Expr add_size(const std::string& name, NamedSize size);
    void set_role(std::string_view size, SizeRole role);
    void set_default(std::string_view size, std::int64_t value);
    void add_guard(Guard guard);
    // Replaces named sizes by numbers in all lengths, strides, arguments, guards and limits; the sizes are
    // removed.
    void bind(const Sizes& values);

    // ---- tensors ----
    DType dtype(TensorIndex t) const { return builder_.graph_->tensors_[checked(t)].dtype; }
    void set_dtype(TensorIndex t, DType dtype) { builder_.graph_->tensors_[checked(t)].dtype = dtype; }
    // As in add_tensor.
    void set_logical_numel(TensorIndex t, std::int64_t elements) {
        builder_.graph_->tensors_[checked(t)].logical_numel = elements;
    }
    void set_storage_elements(TensorIndex t, std::int64_t elements) {
        builder_.graph_->tensors_[checked(t)].storage_elements = elements;
    }
    // Without strides the tensor is row-major.
    void set_shape(TensorIndex t, std::span<const Expr> shape, std::optional<std::span<const Expr>> strides);
    TensorIndex add_tensor(DType dtype, std::span<const Expr> shape,
                           std::optional<std::span<const Expr>> strides, Role role, std::string_view name,
                           std::optional<std::int64_t> logical_numel = std::nullopt,
                           std::optional<std::int64_t> storage_elements = std::nullopt);
    // A new activation of the lengths of `t`, dense, its dimensions in the same order in memory.
    TensorIndex add_like(TensorIndex t, DType dtype);
    // Marks a tensor as held until the graph ends.
    void hold(TensorIndex t);
    // Removes the tensor at build() if no node reads it and it is no input or output of the graph, and its
    // node if that is so for all results of it.
    void drop_if_unread(TensorIndex t);

    // ---- nodes of the first graph, and new ones beside them ----
    using Arguments = std::span<const NamedArgument>;
    // A new node that runs right before (after) a node, in the order of these calls. It belongs to the
    // module, source line and phase of that node.
    void insert_before(NodeIndex node, std::string_view op, Arguments arguments,
                       std::span<const TensorIndex> outputs);
    void insert_after(NodeIndex node, std::string_view op, Arguments arguments,
                      std::span<const TensorIndex> outputs);
    // Another op with the same results.
    void replace(NodeIndex node, std::string_view op, Arguments arguments);
    // Sets one argument, or adds it as the last one.
    void set_argument(NodeIndex node, const NamedArgument& argument);
    using Replaced = std::vector<std::pair<TensorIndex, TensorIndex>>;
    // Reads other tensors in the place of some.
    void replace_operands(NodeIndex node, const Replaced& replaced);
    // Every node of the first graph reads `now` in the place of `old`, and the graph returns it. Inserted
    // nodes still read what they were given. A tensor that is no result anymore lives until its last use.
    void redirect(TensorIndex old, TensorIndex now);
    // The graph returns `now` in the place of `old`, which then lives until its last use.
    void return_instead(TensorIndex old, TensorIndex now);
    // Its results must have another maker, or no reader; without either they are removed too.
    void remove(NodeIndex node);
    // At build(), nodes that read results of later ones move behind those.
    void sort_nodes() { sorted_ = true; }

    // Validates the graph. A lifetime that was observed ends where it did, or at the last node that uses the
    // tensor now.
    Rewritten build();

  private:
    struct Inserted {
        std::size_t slot;  // 2 * node, and 1 more for after it
        std::size_t number;
    };

    void require_open() const;
    std::size_t checked(TensorIndex t) const;
    Node& node(NodeIndex node);
    Range write(Arguments arguments);
    void insert(std::size_t slot, NodeIndex beside, std::string_view op, Arguments arguments,
                std::span<const TensorIndex> outputs);
    template <class Visit>
    void for_each_running(Visit&& visit);
    void find_readers();
    void add_reader(TensorIndex t, NodeIndex node);
    void add_readings(NodeIndex node);
    IndexedVector<TensorIndex, bool> drop_unread();
    void order_nodes();
    void sort_by_results();
    void set_lifetimes();
    void remove_tensors(const IndexedVector<TensorIndex, bool>& gone);

    // Nodes of the first graph that have read a tensor, once redirect() has asked for them: of each tensor
    // the last entry, which has the one before it.
    struct Reading {
        NodeIndex node;
        std::int64_t before;
    };
    IndexedVector<TensorIndex, std::int64_t> last_reading_;
    IndexedVector<std::int64_t, Reading> readings_;

    GraphBuilder builder_;
    std::size_t first_nodes_;                 // nodes of the first graph
    IndexedVector<NodeIndex, bool> removed_;  // of all nodes so far
    std::vector<Inserted> inserted_;
    std::vector<TensorIndex> held_;
    std::vector<TensorIndex> droppable_;
    IndexedVector<NodeIndex, NodeIndex> place_of_;
    bool sorted_ = false;
};

}  // namespace infercost

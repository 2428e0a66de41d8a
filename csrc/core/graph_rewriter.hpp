// A copy of a graph with other dtypes and with nodes between its own. A pass over a graph goes through the
// nodes in order: it keeps each, with other tensors for some operands, and inserts what must run before.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "core/graph.hpp"

namespace infercost {

struct Rewritten {
    std::shared_ptr<const Graph> graph;
    std::vector<NodeIndex> place_of;  // of each node of the first graph, in the new one
};

// Not thread-safe; build() may be called once.
class GraphRewriter {
  public:
    explicit GraphRewriter(const Graph& graph);

    const Graph& graph() const { return *graph_; }  // as far as it is rewritten
    DType dtype(TensorIndex t) const { return graph_->tensors_[static_cast<std::size_t>(t)].dtype; }
    void set_dtype(TensorIndex t, DType dtype) {
        graph_->tensors_[static_cast<std::size_t>(t)].dtype = dtype;
    }

    // A new activation of the lengths of `t`, dense, its dimensions in the same order in memory.
    TensorIndex add_like(TensorIndex t, DType dtype);
    // A new activation of one element.
    TensorIndex add_scalar(DType dtype);

    using Operands = std::span<const std::pair<std::string_view, TensorIndex>>;
    // A node that runs now; it belongs to the module, line and phase of a node of the first graph.
    void insert(std::string_view op, const Node& beside, Operands operands, TensorIndex result);

    using Replaced = std::vector<std::pair<TensorIndex, TensorIndex>>;
    // The next node of the first graph, with these tensors in the place of others among its operands.
    void keep(const Replaced& replaced);

    // A tensor that is held until the graph ends.
    void hold(TensorIndex t) { held_.push_back(t); }

    Rewritten build();

  private:
    std::uint32_t intern(std::string_view name);
    std::uint32_t op(std::string_view name);

    const Graph& from_;
    std::shared_ptr<Graph> graph_;
    std::vector<NodeIndex> place_of_;
    std::vector<TensorIndex> held_;
};

}  // namespace infercost

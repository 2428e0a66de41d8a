// What nodes of a graph depend on what is given to it, and the part of a graph between two of its nodes.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "lowering/flow.hpp"

namespace infercost {

class Dependence {
  public:
    explicit Dependence(const Flow& flow);

    // Whether a node reads a result of the forward, or the tokens. Others are computed by whoever reads them.
    bool on_input(NodeIndex node) const { return depends_[node]; }
    // Such a node that is no view.
    bool computes(NodeIndex node) const { return on_input(node) && !flow_.is_free(node); }
    // What a view is of.
    Operand source(Operand operand) const;

  private:
    const Flow& flow_;
    IndexedVector<NodeIndex, bool> depends_;
};

struct Stage {
    std::shared_ptr<const Graph> graph;
    std::vector<NodeIndex> nodes;  // of the whole graph, for each node of this one
};

// Nodes from `begin` up to `end`.
struct NodeRange {
    NodeIndex begin;
    NodeIndex end;
};

// The nodes of one range, or of two (forward and backward), and what they need of values that are known
// before the forward. What they read of other nodes is given to the stage. It also has the tensors `unread`.
Stage stage_of(const Flow& flow, const Dependence& depends, std::span<const NodeRange> ranges,
               std::span<const TensorIndex> unread);

}  // namespace infercost

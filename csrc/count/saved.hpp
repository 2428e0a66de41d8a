// Tensors that a training step saves for backward: the results of forward nodes that backward reads.
#pragma once

#include <vector>

#include "count/cpu_forms.hpp"

namespace infercost {

// Weights and inputs are excluded, because they exist anyway; a storage that views share counts once.
class SavedForBackward {
  public:
    explicit SavedForBackward(const Graph& graph)
        : made_(graph.tensors().size(), false), saved_(graph.tensors().size(), false) {}

    // Must be called in node order, after the node's work is known.
    void visit(NodeIndex index, const Work& work, const Pass& pass);
    // After all nodes.
    Expr bytes(const Pass& pass, const StorageBytes& forms) const;

  private:
    std::vector<bool> made_;  // storages that a forward node created
    std::vector<bool> saved_;
};

}  // namespace infercost

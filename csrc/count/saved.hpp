// What a training step keeps from forward for backward: the results of forward nodes that backward reads.
#pragma once

#include <vector>

#include "ops/call.hpp"

namespace infercost {

// Weights and inputs are there anyway and are not in it; a storage that views share counts once.
class SavedForBackward {
  public:
    explicit SavedForBackward(const Graph& graph)
        : made_(graph.tensors().size(), false), saved_(graph.tensors().size(), false) {}

    // To be called in node order, after the node's work is known.
    void visit(NodeIndex index, const Work& work, const Pass& pass);
    const Expr& bytes() const { return bytes_; }

  private:
    std::vector<bool> made_;  // by a forward node; of the storage
    std::vector<bool> saved_;
    Expr bytes_;
};

}  // namespace infercost

// Tensors that torch keeps in one form on an accelerator and in another on a CPU. A graph has those of an
// accelerator, because a training step is captured with fused kernels.
#pragma once

#include <unordered_map>

#include "ops/call.hpp"

namespace infercost {

// The device whose memory is counted.
enum class MemoryOf : std::uint8_t { cpu, accelerator };

// Whether any node of the graph has another form on a CPU.
bool has_cpu_forms(const Graph& graph);

// Bytes of storages on one device, at the index of their root. `pass` must have seen all nodes.
//
// Dropout keeps a boolean mask on an accelerator. On a CPU it keeps what it multiplies by: 0 or 1 / (1 - p),
// in the dtype of its input. Attention with dropout has no fused kernel on a CPU: instead of one number per
// row of scores, it keeps the shares, what dropout multiplies them by, and their product.
class StorageBytes {
  public:
    StorageBytes(const Pass& pass, MemoryOf device);

    const Expr* form_of(TensorIndex root) const;  // nullptr if it has the form of the graph

  private:
    std::unordered_map<TensorIndex, Expr> forms_;
};

// Workspace of a node on a CPU beside that of its kernel: the backward of attention with dropout computes the
// gradients of all scores.
Expr cpu_workspace(const Call& call);

}  // namespace infercost

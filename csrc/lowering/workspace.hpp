// What eager kernels of torch 2.13 allocate for themselves on a CPU and free before they return, at the worst
// moment, beside operands and results. Measured op by op with torch's records of its allocator; each function
// is named after the reason. Figures are of one processor, whichever counts them: x86-64 with AVX-512 and
// without AMX, in float32. Work buffers that every thread has are those of kWorkspaceThreads.
#pragma once

#include <memory>
#include <vector>

#include "ops/rule.hpp"

namespace infercost {

inline constexpr std::int64_t kWorkspaceThreads = 2;

using Workspace = Expr (*)(const Call&);

// The workspace of each node of a graph.
class Workspaces {
  public:
    explicit Workspaces(const Graph& graph);

    // Bytes; after analyze(). Zero for an op without a workspace, and for one that a caller's own rule
    // counts.
    Expr bytes(const Analyzer& analyzer, NodeIndex node) const;

  private:
    std::vector<Workspace> of_op_;  // nullptr: none
};

// oneDNN works on channels in blocks: input, weight and result are copied into and out of that layout. Small
// convolutions unfold their windows into columns instead.
Expr convolution_workspace(const Call& call);

// Blocks of scores per thread, the logarithm of the sums of every row, and a boolean mask as numbers. Where
// the fused kernel does not serve, all scores, twice. With AMX, bfloat16 keys and values are copied as well.
Expr attention_workspace(const Call& call);

// Copies of operands whose letters do not fold into a batch, rows and columns as they lie in memory, and what
// several operands leave between them.
Expr einsum_workspace(const Call& call);

// Copies of the operands of `linear` and `matmul` (operand_copies.hpp).
Expr product_workspace(const Call& call);

// Mean and scale of each row, and a copy of an operand that is not contiguous.
Expr layer_norm_workspace(const Call& call);
Expr group_norm_workspace(const Call& call);
Expr batch_norm_workspace(const Call& call);
// torch has no kernel of its own for it: the squares, and the normalised input that the weight scales.
Expr rms_norm_workspace(const Call& call);

// A copy of the first operand where it is not contiguous.
Expr contiguous_operand(const Call& call);
// As much as the first operand, and as the first result.
Expr like_operand(const Call& call);
Expr like_result(const Call& call);
// The places of maxima, which pooling finds and drops.
Expr places_of_maxima(const Call& call);
// Values that a sort returns beside what is asked for are those of `like_operand`. Rolling along several
// dimensions makes one result after the other.
Expr roll_workspace(const Call& call);
// Small results are interpolated with channels last: copies of operand and result in that layout.
Expr interpolation_workspace(const Call& call);

}  // namespace infercost

// What eager kernels allocate for themselves on a CPU, in torch 2.13: measured op by op with torch's own
// records of its allocator, and each named after the reason. Figures are of one processor, whichever counts
// them: x86-64 with AVX-512 and without AMX, in float32. Work buffers that every thread has are those of
// kWorkspaceThreads.
#pragma once

#include "ops/rule.hpp"

namespace infercost {

inline constexpr std::int64_t kWorkspaceThreads = 2;

// oneDNN works on channels in blocks: input, weight and result are copied into and out of that layout. Small
// convolutions unfold their windows into columns instead.
Expr convolution_workspace(const Call& call);

// Blocks of scores per thread, the logarithm of the sums of every row, and a boolean mask as numbers. Where
// the fused kernel does not serve, all scores, twice. With AMX, bfloat16 keys and values are copied as well.
Expr attention_workspace(const Call& call);

// A batched operand whose leading dimensions are no one dimension in memory is copied: of `linear` the input,
// of `matmul` what is broadcast or transposed.
Expr linear_workspace(const Call& call);
Expr matmul_workspace(const Call& call);

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

// Peak of the memory that eager kernels of torch 2.13 allocate on a CPU and free before they return, in
// addition to operands and results. Measured op by op with records of torch's allocator; each function is
// named after the reason. The figures are those of x86-64 with AVX-512 and without AMX, in float32, on any
// machine that counts. Buffers per thread are those of kWorkspaceThreads.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "ops/rule.hpp"

namespace infercost {

inline constexpr std::int64_t kWorkspaceThreads = 2;

using Workspace = Expr (*)(const Call&);

// Bytes of the workspace of a node, after analyze(). Zero for an op without a workspace, and for an op that a
// caller's rule counts.
Expr workspace_bytes(const Analyzer& analyzer, NodeIndex node);

// oneDNN works on blocks of channels: input, weight and result are copied into and out of that layout. Small
// convolutions unfold their windows into columns instead.
Expr convolution_workspace(const Call& call);

// The same for the backward of a convolution: first the gradient of the input, then that of the weight, each
// in that layout and out of it.
Expr convolution_backward_workspace(const Call& call);

// The layers of LSTM, GRU and RNN in inference: the gates of all steps, weights in the layout of the kernel,
// results of two layers.
Expr recurrent_workspace(const Call& call);
// One layer of oneDNN in training, and its backward: weights in the layout of the kernel, and the gates.
Expr library_layer_workspace(const Call& call);

// Argument of attention in a kernel that never stores scores, such as those of serving engines.
inline constexpr std::string_view kStoresNoScores = "stores_no_scores";

// Blocks of scores per thread, the log-sum-exp of every row, and a boolean mask as numbers. If the fused
// kernel does not apply, two copies of all scores. With AMX, bfloat16 keys and values are copied as well.
Expr attention_workspace(const Call& call);

// Copies of operands whose letters do not fold into batch, rows and columns in memory, and the intermediate
// results of several operands.
Expr einsum_workspace(const Call& call);

// Copies of the operands of `linear` and `matmul` (operand_copies.hpp).
Expr product_workspace(const Call& call);

// Mean and scale of each row, and a copy of an operand that is not contiguous.
Expr layer_norm_workspace(const Call& call);
Expr group_norm_workspace(const Call& call);
Expr batch_norm_workspace(const Call& call);
// torch has no rms_norm kernel on a CPU: the squares, and the normalized input that the weight scales.
Expr rms_norm_workspace(const Call& call);

// A copy of the first operand if it is not contiguous.
Expr contiguous_operand(const Call& call);
// The size of the first operand, and of the first result.
Expr like_operand(const Call& call);
Expr like_result(const Call& call);
// Indices of maxima, which pooling computes and discards.
Expr places_of_maxima(const Call& call);
// Rolling along several dimensions computes one result after the other. (`like_operand` covers the additional
// values of a sort.)
Expr roll_workspace(const Call& call);
// Small results are interpolated with channels last: copies of operand and result in that layout.
Expr interpolation_workspace(const Call& call);

}  // namespace infercost

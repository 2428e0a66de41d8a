// Facts of an operator besides its work and traffic. Each row of a table states its own; `lowering`
// interprets them.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/kinds.hpp"

namespace infercost {

// How an operator relates the dimensions of its operands and results (lowering/parallel/*_relations.cpp).
enum class Relation : std::uint8_t {
    none,
    // Elements: memory made from nothing, broadcast operands, another dtype or layout of the first operand.
    made,
    elements,
    like_first,
    gated,  // halves of a dimension
    quantized_rows,
    // Views.
    regroup,
    permute,
    swap_dims,  // `dim0` and `dim1`
    swap_axes,  // `axis0` and `axis1`
    swap_last,
    unsqueeze,
    squeeze,
    split,
    cut,
    take_out,
    concatenate,
    stack,
    expand,
    repeat,
    repeat_each,
    pad,
    along_dims,
    triangle,
    to_complex,
    to_pairs,
    // Reductions, rows and norms.
    sum,
    statistic,
    extreme,
    along,
    along_last,
    row_norm,
    channel_norm,
    group_norm,
    // Look-ups.
    embedding,
    index,
    index_select,
    index_add,
    gather,
    scatter,
    index_put,
    // Products.
    linear,
    mm,
    addmm,
    baddbmm,
    matmul,
    outer,
    grouped,
    einsum,
    convolution,
    attention,
    narrow_linear,
    narrow_grouped,
    widen,
    // Losses and gradients.
    distance,
    log_likelihood,
    log_likelihood_backward,
    attention_backward,
    row_norm_backward,
    embedding_backward,
    along_backward,
    gated_backward,
    placed,
    placed_one,
    count_
};

// The reason why an operator relates no dimensions: a layout divides none of its tensors.
struct Untied {
    std::string_view reason;
    explicit consteval Untied(std::string_view why) : reason(why) {
        if (why.empty()) throw "a row without a relation states the reason";
    }
};

// An operator on values that the ranks of a layout add up later (lowering/parallel/partial_sums.cpp): it sums
// a divided dimension, places rows in memory, scales, adds, keeps or copies parts of a sum.
enum class PartialSum : std::uint8_t { none, sums, places, multiplies, divides, adds, keeps, copies };

// How a compiler's loop for an op differs from others of its kind of work (lowering/loop_classes.cpp).
// reads_twice: its decomposition reads the operand more than once, as in x * sigmoid(x).
enum class LoopTrait : std::uint8_t {
    none,
    reads_twice,
    adaptive_pool,
    batch_norm,
    batch_norm_update,  // always with the statistics of the batch
    group_norm,
    instance_norm
};

// The casts of torch's autocast for CUDA (lowering/autocast.cpp), by the lists of ATen/autocast_mode.h
// (AT_FORALL_LOWER_PRECISION_FP, AT_FORALL_FP32, AT_FORALL_FP32_SET_OPT_DTYPE, AT_FORALL_PROMOTE) of PyTorch
// 2.13 and torchvision's csrc/ops/autocast. Ops that replace these in a captured graph have the same casts:
// parts of a decomposition, whole recurrent layers (AutocastCUDA of _cudnn_rnn), losses that consist of them.
// A backward runs outside of autocast, on operands that the forward has cast.
enum class CastPolicy : std::uint8_t {
    none,          // runs in the dtypes of its operands
    lower,         // operands are cast to the lower precision
    full,          // operands are cast to float32
    full_result,   // runs in float32 unless its `dtype` argument is given; the kernel converts as it reads
    full_softmax,  // the same, but the kernel reads only float16; bfloat16 is cast before
    full_scan,     // the same, but operands are cast before
    widest,        // operands are cast to the widest dtype among them
    restored,      // runs in float32, and its result is cast back to the dtype of the first operand
};

// Memory that the eager CPU kernel allocates and frees (lowering/workspace.hpp).
enum class WorkspaceRule : std::uint8_t {
    none,
    product,
    einsum,
    convolution,
    convolution_backward,
    recurrent,
    library_layer,
    attention,
    batch_norm,
    layer_norm,
    group_norm,
    rms_norm,
    interpolation,
    roll,
    contiguous_operand,
    places_of_maxima,
    like_operand,
    like_result,
    count_
};

// Loops that cost a vector unit more than their FLOPs (lowering/slow_loops.cpp), in units of the loop per
// element of the result. The unit of `special` is a sigmoid, which torch vectorizes itself. The unit of
// `library` is a tanh, which eager execution delegates to a vendor library. Ratios were measured with torch
// 2.13 on x86-64, over arrays that fit L2.
struct LoopCost {
    SlowLoop loop = SlowLoop::special;
    double per_element = 0;
};

// Elementwise kernels of quantized models on a CPU read bytes, compute on floats or look results up, and
// write bytes. Several ops run as two or three kernels: a sigmoid and a product, or conversions around a
// function. In units of `special`, measured with ONNX Runtime 1.32 on an EPYC: QLinearSigmoid and QLinearAdd
// 0.25 ns per element, QLinearMul with a value per channel 0.5, HardSigmoid with its conversions and a
// product 0.7, Gelu with them 1.1, where a sigmoid of torch in fp32 takes 0.3.
struct ByteCost {
    double per_element = 0;
};

struct OpTraits {
    Relation relation = Relation::none;
    std::string_view untied;  // the reason, of a row without a relation
    PartialSum partial_sum = PartialSum::none;
    LoopTrait loop = LoopTrait::none;
    CastPolicy cast = CastPolicy::none;
    WorkspaceRule workspace = WorkspaceRule::none;
    LoopCost slow;
    ByteCost bytes;

    constexpr void set(Relation given) { relation = given; }
    constexpr void set(Untied given) { untied = given.reason; }
    constexpr void set(PartialSum given) { partial_sum = given; }
    constexpr void set(LoopTrait given) { loop = given; }
    constexpr void set(CastPolicy given) { cast = given; }
    constexpr void set(WorkspaceRule given) { workspace = given; }
    constexpr void set(LoopCost given) { slow = given; }
    constexpr void set(ByteCost given) { bytes = given; }
};

}  // namespace infercost

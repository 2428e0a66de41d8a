// Facts of an operator besides its work and traffic. Each row of a table states its own; `lowering`
// interprets them.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/kinds.hpp"

namespace infercost {

// How an operator relates the dimensions of its operands and results (lowering/parallel/*_relations.cpp).
// Groups: elements, views, reductions and norms, look-ups, products, losses and gradients. swap_dims has
// arguments `dim0` and `dim1`, swap_axes `axis0` and `axis1`.
// clang-format off
#define INFERCOST_RELATIONS(each)                                                                       \
    each(none)                                                                                          \
    each(made) each(elements) each(like_first) each(gated) each(quantized_rows)                         \
    each(regroup) each(permute) each(swap_dims) each(swap_axes) each(swap_last) each(unsqueeze)         \
    each(squeeze) each(split) each(cut) each(take_out) each(concatenate) each(stack) each(expand)       \
    each(repeat) each(repeat_each) each(pad) each(along_dims) each(triangle) each(to_complex)           \
    each(to_pairs)                                                                                      \
    each(sum) each(statistic) each(extreme) each(along) each(along_last) each(row_norm)                 \
    each(channel_norm) each(group_norm)                                                                 \
    each(embedding) each(index) each(index_select) each(index_add) each(gather) each(scatter)           \
    each(index_put)                                                                                     \
    each(linear) each(mm) each(addmm) each(baddbmm) each(matmul) each(outer) each(grouped) each(einsum) \
    each(convolution) each(attention) each(narrow_linear) each(narrow_grouped) each(widen)              \
    each(distance) each(log_likelihood) each(log_likelihood_backward) each(attention_backward)          \
    each(row_norm_backward) each(embedding_backward) each(along_backward) each(gated_backward)          \
    each(placed) each(placed_one)
#define INFERCOST_ENUMERATOR(name) name,
#define INFERCOST_NAME(name) #name,
enum class Relation : std::uint8_t { INFERCOST_RELATIONS(INFERCOST_ENUMERATOR) count_ };
inline constexpr std::string_view kRelationNames[] = {INFERCOST_RELATIONS(INFERCOST_NAME)};
// clang-format on
#undef INFERCOST_ENUMERATOR
#undef INFERCOST_NAME
#undef INFERCOST_RELATIONS

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

// How the kernels of torch's libraries read operands.
enum class LibraryTrait : std::uint8_t {
    none,
    recurrent_layer,      // cuDNN: products may round to TF32 (lowering/library_precision.cpp)
    linear,               // copies operands that do not fold into a matrix (lowering/operand_copies.cpp)
    matmul,               // the same, of both operands
    contiguous_rows,      // copies an operand that is not contiguous
    thread_per_position,  // in NCHW, one thread processes all planes (lowering/row_hints.cpp)
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
    LibraryTrait library = LibraryTrait::none;
    CastPolicy cast = CastPolicy::none;
    WorkspaceRule workspace = WorkspaceRule::none;
    LoopCost slow;
    ByteCost bytes;

    constexpr void set(Relation given) { relation = given; }
    constexpr void set(Untied given) { untied = given.reason; }
    constexpr void set(PartialSum given) { partial_sum = given; }
    constexpr void set(LoopTrait given) { loop = given; }
    constexpr void set(LibraryTrait given) { library = given; }
    constexpr void set(CastPolicy given) { cast = given; }
    constexpr void set(WorkspaceRule given) { workspace = given; }
    constexpr void set(LoopCost given) { slow = given; }
    constexpr void set(ByteCost given) { bytes = given; }
};

}  // namespace infercost

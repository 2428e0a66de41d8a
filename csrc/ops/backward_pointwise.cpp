// Backward of activations, losses and normalizations. The convention is that of the forward: one per
// elementary operation of the definition. Results of the forward are available if autograd saves them.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace backward_pointwise_table {

void gelu_backward(const Call& call, Work& work) {
    if (call.text("approximate") == "tanh") {
        per_output<18>(call, work);
    } else {
        per_output<11>(call, work);
    }
}

void elu_backward(const Call& call, Work& work) {
    if (call.flag("is_result", false)) {
        per_output<4>(call, work);
    } else {
        per_output<5>(call, work);
    }
}

void cross_entropy_backward(const Call& call, Work& work) {
    if (call.has("weight")) {
        per_output<7>(call, work);
    } else {
        per_output<6>(call, work);
    }
}

// One position of each row receives its share of the gradient; the others are zero.
void nll_backward(const Call& call, Work& work) {
    work.kind = WorkKind::scatter;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.require_tensor("target"));
}
void nll_bytes(const Call& call, Work& work) {
    for (const char* name : {"grad_output", "target", "weight", "total_weight"}) {
        if (const TensorIndex t = call.tensor(name); t != kNoTensor) call.read(work, t);
    }
    write_all(call, work);
}
constexpr TrafficShape picked{nll_bytes, never};

struct Wanted {
    int input;
    int weight;
    int bias;
};

Wanted wanted(const Call& call) {
    const List<Expr> mask = call.integers("output_mask");
    const auto flag = [&](std::size_t i) { return i >= mask.size() || !(mask[i] == Expr(0)) ? 1 : 0; };
    return {flag(0), flag(1), mask.size() == 2 ? 0 : flag(2)};
}

void normalization_backward(const Call& call, Work& work, int per_element) {
    work.kind = WorkKind::normalization;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.require_tensor("input")) * per_element;
}

// x^ = (x - mean) * rstd: 2. Input: weight, two sums (1 and 2), then rstd * (g - a - x^ * b): 4. Weight: 2.
// Bias: 1.
void layer_norm_backward(const Call& call, Work& work) {
    const Wanted want = wanted(call);
    const int input = want.input * (call.has("weight") ? 8 : 7);
    const int again = want.input || want.weight ? 2 : 0;
    normalization_backward(call, work, again + input + want.weight * 2 + want.bias);
}

// Without a mean: x^ = x * rstd, one sum, rstd * (g - x^ * b).
void rms_norm_backward(const Call& call, Work& work) {
    const Wanted want = wanted(call);
    const int input = want.input * (call.has("weight") ? 6 : 5);
    normalization_backward(call, work, 1 + input + want.weight * 2);
}

// The two sums are the gradients of weight and bias. In evaluation mode the gradient of the input is a scale.
void batch_norm_backward(const Call& call, Work& work) {
    const Wanted want = wanted(call);
    if (call.flag("train", true)) {
        const int again = want.input || want.weight ? 2 : 0;
        const int sums = want.input ? 3 : want.weight * 2 + want.bias;
        return normalization_backward(call, work, again + sums + want.input * 4);
    }
    normalization_backward(call, work, want.input + want.weight * 4 + want.bias);
}

// Per hidden unit, from the saved gates of the forward.
template <int N>
void cell_backward(const Call& call, Work& work) {
    work.kind = WorkKind::pointwise;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.first_operand()) * N;
}

template <int N>
constexpr WorkShape softmax = per_output<N, WorkKind::softmax>;

constexpr std::string_view kLayerNorm =
    "8 per element for the input (7 without weight), 2 for the weight, 1 for the bias, 2 for x^";
constexpr std::string_view kBatchNorm =
    "in training 9 per element for all gradients; in evaluation 1 for the input, 4 for the weight, 1 for the "
    "bias";

constexpr Untied kWholeRows("a norm reads whole rows, groups or channels");

constexpr OpRule kTable[] = {
    {"aten.gelu_backward", gelu_backward, stream_all, "11 per element; 18 with tanh", LoopTrait::reads_twice},
    {"aten.silu_backward", per_output<9>, stream_all, "9 per element: sigmoid, then g*s*(1 + x*(1-s))",
     LoopTrait::reads_twice},
    {"aten.mish_backward", per_output<14>, stream_all, "14 per element: sigmoid, t, then g*(t + x*s*(1-t*t))",
     LoopTrait::reads_twice},
    {"aten.sigmoid_backward", per_output<3>, stream_all, "3 per element: g*(1-y)*y"},
    {"aten.tanh_backward", per_output<3>, stream_all, "3 per element: g*(1 - y*y)"},
    {"aten.threshold_backward", per_output<2>, stream_all, "2 per element: compare, select"},
    {"aten.hardtanh_backward", per_output<4>, stream_all, "4 per element: two comparisons, or, select"},
    {"aten.hardswish_backward", per_output<7>, stream_all,
     "7 per element: two comparisons, two selects, g*(x/3 + 1/2)", LoopTrait::reads_twice},
    {"aten.hardsigmoid_backward", per_output<5>, stream_all,
     "5 per element: two comparisons, and, scale, select"},
    {"aten.leaky_relu_backward", per_output<3>, stream_all, "3 per element: compare, multiply, select"},
    {"aten.rrelu_with_noise_backward", per_output<1>, stream_all, "1 per element: the slope that was drawn"},
    {"aten._prelu_kernel_backward", per_output<5>, stream_all,
     "5 per element: compare, two products, two selects"},
    {"aten.elu_backward", elu_backward, stream_all,
     "5 per element (4 from the result); scales of selu and celu are not counted", LoopTrait::reads_twice},
    {"aten.softplus_backward", per_output<5>, stream_all, "5 per element: scale, exp, add, multiply, divide"},
    {"aten.softshrink_backward", per_output<4>, stream_all, "4 per element: two comparisons, and, select"},
    {"aten.hardshrink_backward", per_output<4>, stream_all, "4 per element: two comparisons, and, select"},
    {"aten.log_sigmoid_backward", per_output<4>, stream_all, "4 per element: exp, add, divide, multiply"},
    {"aten.logit_backward", per_output<3>, stream_all, "3 per element: g / (x*(1-x))"},
    {"aten.glu_backward", per_input<8>, stream_all,
     "8 per element of the gradient: sigmoid, g*s, and a*(1-s)*g*s", Relation::gated_backward},
    {"aten.native_dropout_backward", per_output<2>, stream_all, "2 per element: mask, scale"},
    {"aten.mse_loss_backward", per_output<3>, stream_all, "3 per element: subtract, scale, multiply"},
    {"aten.smooth_l1_loss_backward", per_output<6>, stream_all,
     "6 per element: subtract, divide, max, min, scale, multiply"},
    {"aten.huber_loss_backward", per_output<5>, stream_all,
     "5 per element: subtract, max, min, scale, multiply"},
    {"aten.binary_cross_entropy_backward", cross_entropy_backward, stream_all,
     "6 per element: g*(x-t) / max(x*(1-x), eps); 7 with a weight"},
    {"aten.nll_loss_backward", nll_backward, picked, "1 per target; writes the whole result",
     Relation::log_likelihood_backward},
    {"aten.nll_loss2d_backward", nll_backward, picked, "1 per target; writes the whole result"},
    {"aten._softmax_backward_data", softmax<4>, stream_all, "4 per element: y*g, its sum, y*sum, subtract",
     Relation::along_backward},
    {"aten._log_softmax_backward_data", softmax<4>, stream_all,
     "4 per element: sum of g, exp, multiply, subtract", Relation::along_backward},
    {"aten.native_layer_norm_backward", layer_norm_backward, stream_all, kLayerNorm,
     Relation::row_norm_backward},
    {"aten.native_group_norm_backward", layer_norm_backward, stream_all, kLayerNorm, LoopTrait::group_norm,
     kWholeRows},
    {"aten._fused_rms_norm_backward", rms_norm_backward, stream_all,
     "6 per element for the input (5 without weight), 2 for the weight, 1 for x^", Relation::row_norm_backward},
    {"aten.native_batch_norm_backward", batch_norm_backward, stream_all, kBatchNorm, LoopTrait::batch_norm,
     kWholeRows},
    {"aten.batch_norm_backward", batch_norm_backward, stream_all, kBatchNorm, LoopTrait::batch_norm,
     kWholeRows},
    {"aten.cudnn_batch_norm_backward", batch_norm_backward, stream_all, kBatchNorm, LoopTrait::batch_norm,
     kWholeRows},
    {"aten.miopen_batch_norm_backward", batch_norm_backward, stream_all, kBatchNorm, LoopTrait::batch_norm,
     kWholeRows},
};
constexpr auto kRows = op_rows(kTable, Relation::elements);

}  // namespace backward_pointwise_table
}  // namespace

std::span<const OpRule> backward_pointwise_rules() {
    return backward_pointwise_table::kRows;
}

}  // namespace infercost

// Products of quantized operands. The dtype of the arithmetic is that of the engine: int8 or fp8 if both
// operands are narrow, and the dtype of the activation if only the weight is narrow. Operands move at their
// width in memory, so a packed int4 weight is half a byte per element; scales and zero points move as well.
//
// Beside the products, a bias costs 1 per result, and quantization costs:
// - quantize: 5 per element (divide, round, add the zero point, two bounds); a fused relu is one of the
// bounds;
// - choose scale and zero point: 2 per element (min, max);
// - apply a scale to a sum of products: 1 per result.
// Packed weights are captured as the tensors that they contain: `weight`, `bias`, `weight_scale`,
// `weight_zero_point`. Sources: torch's operator documentation and the reference kernels in
// aten/src/ATen/native/quantized.
#include "ops/contraction.hpp"
#include "ops/convolution.hpp"
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace quantized_table {

constexpr int kQuantize = 5;
constexpr int kChoose = 2;

TensorIndex input_of(const Call& call) {
    for (const char* name : {"qx", "X", "x", "input", "inp"}) {
        if (const TensorIndex t = call.tensor(name); t != kNoTensor) return t;
    }
    return call.require_tensor("self");
}

bool is_narrow(DType dtype) {
    return !is_floating(dtype) && bits_of(dtype) <= 8;
}

// [..., k] x [k, n]: the shape of a packed weight does not give k.
void product(const Call& call, Work& work, DType engine, const Expr& k) {
    const Expr n = call.dim(call.output(), -1);
    set_contraction(work, WorkKind::gemm, engine, 1, ratio(call.numel(call.output()), n), n, k);
}

// Operations on each sum of products after the product.
void finish(const Call& call, Work& work) {
    const Expr results = call.numel(call.output());
    if (call.has("bias") || call.has("B")) work.pointwise_flops += results;
    work.pointwise_flops += results * (is_narrow(call.stored_dtype(call.output())) ? kQuantize : 1);
}

// ---- narrow times narrow ----------------------------------------------------------------------------

void int_mm(const Call& call, Work& work) {
    const TensorIndex a = call.require_tensor("self");
    product(call, work, call.engine_dtype(a), call.dim(a, 1));
}

// torch counts two fp4 values as one element.
int values_in_element(const Call& call, TensorIndex t) {
    return call.stored_dtype(t) == DType::float4_e2m1fn_x2 ? 2 : 1;
}

int bits_in_memory(const Call& call, TensorIndex t) {
    return bits_of(call.stored_dtype(t)) / values_in_element(call, t);
}

// Bits of a weight that is widened: of its elements, unless the call says that more of them are beside.
int widened_bits(const Call& call, TensorIndex weight) {
    const Expr stated = call.integer("weight_bits", 0);
    if (stated.is_constant() && stated.constant() > 0 && stated.constant() <= 64) {
        return static_cast<int>(stated.constant());
    }
    return bits_in_memory(call, weight);
}

void scaled_mm(const Call& call, Work& work) {
    const TensorIndex a = call.require_tensor("self");
    product(call, work, call.engine_dtype(a), call.dim(a, 1) * values_in_element(call, a));
    const Expr results = call.numel(call.output());
    work.pointwise_flops = results * (call.has("bias") ? 2 : 1);
}

void scaled_grouped_mm(const Call& call, Work& work) {
    grouped_product(call, work);
    const int values = values_in_element(call, input_of(call));
    work.contraction_flops = work.contraction_flops * values;
    work.causal_flops = work.contraction_flops;
    work.dims.k = work.dims.k * values;
    work.pointwise_flops += call.numel(call.output());
}

void two_operands(const Call& call, Work& work) {
    const TensorIndex a = call.require_tensor("self");
    const TensorIndex b = call.require_tensor("mat2");
    call.for_each_input([&](TensorIndex t) {
        if (t == a || t == b) {
            call.read_operand(work, t);
        } else {
            call.read(work, t);
        }
    });
    write_all(call, work);
}
constexpr TrafficShape operands{two_operands, never};

void grouped_and_scales(const Call& call, Work& work) {
    grouped_traffic(call, work);
    for (const char* name : {"scale_a", "scale_b"}) {
        if (const TensorIndex t = call.tensor(name); t != kNoTensor) call.read(work, t);
        for (const TensorIndex t : call.tensors(name)) call.read(work, t);
    }
}
constexpr TrafficShape grouped{grouped_and_scales, never};

// Weights of experts in a narrow format, stored as [experts, outputs, inputs], with scales for each expert.
void grouped_and_stored(const Call& call, Work& work) {
    const TensorIndex input = input_of(call);
    call.for_each_input([&](TensorIndex t) {
        const Traffic role = call.traffic(t);
        const bool is_stacked =
            t != input && role == Traffic::weight && call.rank(t) >= 2 && t != call.tensor("bias");
        call.read(work, t, is_stacked ? grouped_elements(call, t) : call.distinct(t));
    });
    write_all(call, work);
}
constexpr TrafficShape of_experts{grouped_and_stored, never};

// A linear layer with an int8 input.
void linear(const Call& call, Work& work) {
    const TensorIndex input = input_of(call);
    product(call, work, DType::int8, call.dim(input, -1));
    finish(call, work);
}
void linear_then(const Call& call, Work& work, int activation) {
    linear(call, work);
    work.pointwise_flops += call.numel(call.output()) * activation;
}
void linear_leaky_relu(const Call& call, Work& work) {
    linear_then(call, work, 3);
}
void linear_tanh(const Call& call, Work& work) {
    linear_then(call, work, 1);
}

// The kernel quantizes its float input with a known scale.
void linear_quantizing(const Call& call, Work& work) {
    linear(call, work);
    work.pointwise_flops += call.numel(input_of(call)) * kQuantize;
}
// As linear_quantizing, and the kernel chooses the scale from the input.
void linear_dynamic(const Call& call, Work& work) {
    linear(call, work);
    work.pointwise_flops += call.numel(input_of(call)) * (kChoose + kQuantize);
}
void linear_relu_dynamic(const Call& call, Work& work) {
    linear_dynamic(call, work);
    work.pointwise_flops += call.numel(call.output());
}

void matmul(const Call& call, Work& work) {
    const TensorIndex a = call.require_tensor("qa");
    const TensorIndex result = call.output();
    const Expr m = call.dim(result, -2);
    const Expr n = call.dim(result, -1);
    set_contraction(work, WorkKind::gemm, DType::int8, ratio(call.numel(result), m * n), m, n,
                    call.dim(a, -1));
    finish(call, work);
}

// Activations are quantized by row; each block of the weight has a scale.
void dynamic_4bit(const Call& call, Work& work) {
    const TensorIndex input = input_of(call);
    const Expr k = call.dim(input, -1);
    product(call, work, DType::int8, k);
    const Expr blocks = Expr::ceil_div(k, call.integer("block_size", 1));
    work.pointwise_flops = call.numel(call.output()) * blocks + call.numel(input) * (kChoose + kQuantize);
}

// ---- only the weight is narrow ----------------------------------------------------------------------

// Each weight is converted to the dtype of the activation as it is read, and the scale of a row multiplies
// the sum.
void weight_only(const Call& call, Work& work) {
    const TensorIndex input = input_of(call);
    product(call, work, call.engine_dtype(input), call.dim(input, -1));
    work.dims.weight_bits = 8;
    work.pointwise_flops = call.numel(call.output()) * (call.has("bias") ? 2 : 1);
}
// Each group of a row has a scale and a zero point, which apply to the weight: multiply, add.
void weight_only_groups(const Call& call, Work& work) {
    const TensorIndex input = input_of(call);
    const Expr k = call.dim(input, -1);
    product(call, work, call.engine_dtype(input), k);
    work.dims.weight_bits = 4;
    work.pointwise_flops = work.dims.n * k * 2;
}
// One kernel for all formats: a scale per row multiplies the sum, and a scale per group multiplies the
// weight.
void linear_weight_only(const Call& call, Work& work) {
    const TensorIndex input = input_of(call);
    const TensorIndex weight = call.require_tensor("weight");
    const Expr k = call.dim(input, -1);
    product(call, work, call.engine_dtype(input), k);
    work.dims.weight_bits = widened_bits(call, weight);
    const Expr results = call.numel(call.output());
    const Expr scaled = call.has("group_size") ? work.dims.n * k : results;
    work.pointwise_flops = scaled + (call.has("bias") ? results : Expr(0));
}
// The same for tokens sorted by expert.
void grouped_weight_only(const Call& call, Work& work) {
    grouped_product(call, work);
    const TensorIndex weight = call.require_tensor("weight");
    work.dims.weight_bits = widened_bits(call, weight);
    const Expr results = call.numel(call.output());
    work.pointwise_flops += call.has("group_size") ? groups_used(call) * work.dims.n * work.dims.k : results;
}
// Two of four weights are zero; the others are stored contiguously, with two bits each for their position.
void linear_semi_structured(const Call& call, Work& work) {
    const TensorIndex input = input_of(call);
    product(call, work, call.engine_dtype(input), call.dim(input, -1));
    work.dims.semi_structured = true;
    work.pointwise_flops = call.has("bias") ? call.numel(call.output()) : Expr(0);
}
// Both operands are already narrow; their scales apply to the sums.
void linear_quantized(const Call& call, Work& work) {
    const TensorIndex input = input_of(call);
    product(call, work, call.engine_dtype(input), call.dim(input, -1) * values_in_element(call, input));
    work.pointwise_flops = call.numel(call.output()) * (call.has("bias") ? 2 : 1);
}
// The same for tokens sorted by expert.
void grouped_quantized(const Call& call, Work& work) {
    scaled_grouped_mm(call, work);
    work.dims.block_scales = call.has("group_size");
}
// A float16 weight with a wider activation: there are no scales.
template <int kActivation>
void weight_float16(const Call& call, Work& work) {
    const TensorIndex input = input_of(call);
    product(call, work, call.engine_dtype(input), call.dim(input, -1));
    work.pointwise_flops = call.numel(call.output()) * ((call.has("bias") ? 1 : 0) + kActivation);
}

// ---- convolutions -----------------------------------------------------------------------------------

void convolution(const Call& call, Work& work) {
    const TensorIndex weight =
        call.tensor("weight") != kNoTensor ? call.tensor("weight") : call.require_tensor("qw");
    convolve(call, work, input_of(call), weight, call.flag("transposed", false));
    work.dtype = DType::int8;
    work.pointwise_flops = 0;
    finish(call, work);
}
void convolution_add(const Call& call, Work& work) {
    convolution(call, work);
    work.pointwise_flops += call.numel(call.output());
}
void convolution_dynamic(const Call& call, Work& work) {
    convolution(call, work);
    work.pointwise_flops += call.numel(input_of(call)) * (kChoose + kQuantize);
}

// Fused calls of compiled CPU code: a string argument names the ops after the product.
int named_activations(const Call& call) {
    int count = 0;
    for (const char* name :
         {"attr", "post_op_name", "unary_attr", "unary_post_op", "binary_attr", "binary_post_op"}) {
        const std::string_view word = call.text(name);
        if (!word.empty() && word != "none") ++count;
    }
    return count;
}
void convolution_pointwise(const Call& call, Work& work) {
    convolution(call, work);
    work.pointwise_flops += call.numel(call.output()) * named_activations(call);
}
void linear_pointwise(const Call& call, Work& work) {
    linear(call, work);
    work.pointwise_flops += call.numel(call.output()) * named_activations(call);
}

constexpr std::string_view kInt8 = "2*m*n*k on int8; bias 1, requantizing 5 per result";
constexpr std::string_view kDynamic =
    "2*m*n*k on int8; quantizing the input 7 each, bias and scale 1 per result";
constexpr std::string_view kGroups = "2*m*n*k in the activation's dtype; 2 per weight to scale it";
constexpr std::string_view kFloat16 = "2*m*n*k in the activation's dtype; bias 1 per result";
constexpr std::string_view kConvolution = "as conv on int8; bias 1, requantizing 5 per result";
constexpr std::string_view kConvolutionDynamic =
    "as conv on int8; quantizing the input 7 each, bias and scale 1 per result";
constexpr std::string_view kFused = "as the quantized product; 1 per result for each fused operation";
constexpr std::string_view kPacks = "moves bytes into another layout";

constexpr WorkShape kPack = moves<WorkKind::copy>;

constexpr OpRule kTable[] = {
    {"aten._int_mm", int_mm, operands, "2*m*n*k on int8"},
    {"aten._scaled_mm", scaled_mm, operands, "2*m*n*k on fp8 or fp4; scale and bias are pointwise"},
    {"aten._scaled_mm_v2", scaled_mm, operands, "2*m*n*k on fp8 or fp4; scale and bias are pointwise"},
    {"aten._scaled_grouped_mm", scaled_grouped_mm, grouped, "as _grouped_mm on fp8; scale 1 per result"},
    {"aten._scaled_grouped_mm_v2", scaled_grouped_mm, grouped,
     "as _grouped_mm on fp8 or fp4; scale 1 per result"},
    {"aten._weight_int8pack_mm", weight_only, stream_all,
     "2*m*n*k in the activation's dtype; scale 1 per result"},
    {"pyinfercost.linear_quantized", linear_quantized, stream_all,
     "2*m*n*k in the operands' dtype; 1 per result to scale it; bias 1", Relation::narrow_linear},
    {"pyinfercost.linear_semi_structured", linear_semi_structured, stream_all,
     "2*m*n*k, zeros included; bias 1 per result", Relation::narrow_linear},
    {"pyinfercost.linear_weight_only", linear_weight_only, stream_all,
     "2*m*n*k in the activation's dtype; 1 per result to scale it, or per weight where groups have scales; "
     "bias 1", Relation::narrow_linear},
    {"pyinfercost.grouped_quantized", grouped_quantized, of_experts,
     "as _grouped_mm in the operands' dtype; 1 per result to scale it; bias 1", Relation::narrow_grouped},
    {"pyinfercost.grouped_weight_only", grouped_weight_only, of_experts,
     "as _grouped_mm in the activation's dtype; 1 per result to scale it, or per weight read where groups "
     "have scales; bias 1", Relation::narrow_grouped},
    {"aten._mixed_dtypes_linear", weight_only, stream_all,
     "2*m*n*k in the activation's dtype; scale and bias 1 per result"},
    {"aten._weight_int4pack_mm", weight_only_groups, stream_all, kGroups},
    {"aten._weight_int4pack_mm_for_cpu", weight_only_groups, stream_all, kGroups},
    {"aten._weight_int4pack_mm_with_scales_and_zeros", weight_only_groups, stream_all, kGroups},
    {"quantized.int4mm_packed_weight_cpu", weight_only_groups, stream_all, kGroups},
    {"aten._dyn_quant_matmul_4bit", dynamic_4bit, stream_all,
     "2*m*n*k on int8; 7 per input, 1 per result and block"},
    {"aten._convert_weight_to_int4pack", kPack, stream_all, kPacks},
    {"aten._convert_weight_to_int4pack_for_cpu", kPack, stream_all, kPacks},
    {"aten._dyn_quant_pack_4bit_weight", kPack, stream_all, kPacks},
    {"quantized.linear", linear, stream_all, kInt8},
    {"quantized.linear_relu", linear, stream_all, kInt8},
    {"quantized.linear_leaky_relu", linear_leaky_relu, stream_all, "as quantized.linear; 3 more per result"},
    {"quantized.linear_tanh", linear_tanh, stream_all, "as quantized.linear; 1 more per result"},
    {"quantized.linear_with_input_q_dq_qweight_dq_output_fp32", linear_quantizing, stream_all,
     "2*m*n*k on int8; quantizing the input 5 each"},
    {"quantized.linear_with_input_q_dq_qweight_dq_relu_output_fp32", linear_quantizing, stream_all,
     "2*m*n*k on int8; quantizing the input 5 each"},
    {"quantized.linear_dynamic", linear_dynamic, stream_all, kDynamic},
    {"quantized.linear_relu_dynamic", linear_relu_dynamic, stream_all,
     "as linear_dynamic; 1 more per result"},
    {"quantized.linear_dynamic_fp16", weight_float16<0>, stream_all, kFloat16},
    {"quantized.linear_relu_dynamic_fp16", weight_float16<1>, stream_all, kFloat16},
    {"quantized.linear_dynamic_fp16_unpacked_weight", weight_float16<0>, stream_all, kFloat16},
    {"onednn.linear_dynamic_fp16", weight_float16<0>, stream_all, kFloat16},
    {"onednn.linear_relu_dynamic_fp16", weight_float16<1>, stream_all, kFloat16},
    {"quantized.matmul", matmul, stream_all, kInt8},
    {"quantized.conv1d", convolution, stream_all, kConvolution},
    {"quantized.conv2d", convolution, stream_all, kConvolution},
    {"quantized.conv3d", convolution, stream_all, kConvolution},
    {"quantized.conv1d_relu", convolution, stream_all, kConvolution},
    {"quantized.conv2d_relu", convolution, stream_all, kConvolution},
    {"quantized.conv3d_relu", convolution, stream_all, kConvolution},
    {"quantized.conv2d_add", convolution_add, stream_all,
     "as quantized.conv2d; the added tensor 1 per result"},
    {"quantized.conv2d_add_relu", convolution_add, stream_all,
     "as quantized.conv2d; the added tensor 1 per result"},
    {"quantized.conv_transpose1d", convolution, stream_all, kConvolution},
    {"quantized.conv_transpose2d", convolution, stream_all, kConvolution},
    {"quantized.conv_transpose3d", convolution, stream_all, kConvolution},
    {"quantized.conv1d_dynamic", convolution_dynamic, stream_all, kConvolutionDynamic},
    {"quantized.conv2d_dynamic", convolution_dynamic, stream_all, kConvolutionDynamic},
    {"quantized.conv3d_dynamic", convolution_dynamic, stream_all, kConvolutionDynamic},
    {"quantized.conv_transpose1d_dynamic", convolution_dynamic, stream_all, kConvolutionDynamic},
    {"quantized.conv_transpose2d_dynamic", convolution_dynamic, stream_all, kConvolutionDynamic},
    {"quantized.conv_transpose3d_dynamic", convolution_dynamic, stream_all, kConvolutionDynamic},
    {"onednn.qlinear_pointwise", linear_pointwise, stream_all, kFused},
    {"onednn.qconv_pointwise", convolution_pointwise, stream_all, kFused},
    {"onednn.qconv1d_pointwise", convolution_pointwise, stream_all, kFused},
    {"onednn.qconv2d_pointwise", convolution_pointwise, stream_all, kFused},
    {"onednn.qconv3d_pointwise", convolution_pointwise, stream_all, kFused},
};
constexpr auto kRows = op_rows(kTable, Untied("weights are packed as one library reads them"));

}  // namespace quantized_table
}  // namespace

std::span<const OpRule> quantized_rules() {
    return quantized_table::kRows;
}

}  // namespace infercost

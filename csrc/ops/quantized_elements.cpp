// Quantize, dequantize, and elementwise ops on quantized tensors.
//
// - Quantize: 5 per element (divide by the scale, round, add the zero point, two bounds).
// - Dequantize: 2 (subtract the zero point, multiply by the scale), or 1 without a zero point.
// - An op on quantized tensors dequantizes its operands, computes, and quantizes its result; a fused relu is
// one of
//   the bounds. An op that needs no scale (maximum, relu, copy) works on integers and has the row of its
//   float version.
// - Choose scale and zero point: 2 per element (min, max); operations per tensor or per row are not counted.
//
// Sources: torch.ao.quantization.fx._decomposed, aten/src/ATen/native/quantized,
// torchao.quantization.quant_primitives.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace quantized_elements_table {

constexpr int kQuantize = 5;
constexpr int kDequantize = 2;
constexpr int kChoose = 2;

template <int N>
constexpr WorkShape unary = per_output<kDequantize + N + kQuantize>;
template <int N>
constexpr WorkShape binary = per_output<2 * kDequantize + N + kQuantize>;
constexpr WorkShape kRange = per_input<kChoose>;

// Symmetric quantization has no zero point to subtract. A zero point that is given as a number is present.
void dequantize(const Call& call, Work& work) {
    per_output<1>(call, work);
    const bool decomposed = call.op().name.find("per_channel") != std::string::npos;
    const bool symmetric = decomposed && !call.has("zero_points");
    if (!symmetric) work.pointwise_flops = work.pointwise_flops * 2;
}

// Tensors of a list are processed one by one.
template <int N>
void per_element(const Call& call, Work& work) {
    work.kind = WorkKind::pointwise;
    work.dtype = arithmetic_dtype(call);
    for (std::size_t i = 0; i < call.output_count(); ++i)
        work.pointwise_flops += call.numel(call.output(i)) * N;
}
// A block of threads traverses each row twice to find its scale. With a scale per group of a few elements,
// which one thread holds, the kernel streams.
void quantized_row(const Call& call, TensorIndex input, TensorIndex scale, Work& work) {
    if (call.rank(input) == 0 || call.stored_dtype(call.output()) == DType::float4_e2m1fn_x2) return;
    const bool by_axis = scale != kNoTensor && call.rank(scale) == call.rank(input);
    if (by_axis && call.dim(scale, -1) != Expr(1)) return;
    work.dims.m = 1;
    for (int axis = 0; axis + 1 < call.rank(input); ++axis) work.dims.m *= call.dim(input, axis);
    work.dims.n = call.dim(input, -1);
}
void to_float8(const Call& call, Work& work) {
    per_output<3>(call, work);
    const TensorIndex input = call.first_operand();
    const TensorIndex scale = call.tensor("scale");
    if (scale == kNoTensor || call.numel(scale) == Expr(1)) return;
    quantized_row(call, input, scale, work);
}
// The same kernel, which also returns the scales; the width of a row is that of the input.
void quantize_rows(const Call& call, Work& work) {
    const TensorIndex input = call.first_operand();
    per_output<kChoose + kQuantize>(call, work);
    work.pointwise_flops = call.numel(input) * (kChoose + kQuantize);
    quantized_row(call, input, call.output_count() > 1 ? call.output(1) : kNoTensor, work);
}
constexpr WorkShape kToInteger = per_element<kQuantize>;
constexpr WorkShape kToIntegerDynamic = per_element<kChoose + kQuantize>;
constexpr WorkShape kToFloat = per_element<kDequantize>;

// As the float versions, between dequantize and quantize: see normalization.cpp.
template <int kOwn>
void normalize(const Call& call, Work& work) {
    work.kind = WorkKind::normalization;
    work.dtype = arithmetic_dtype(call);
    const int affine = kOwn == 2 ? 0 : (call.has("weight") ? 1 : 0) + (call.has("bias") ? 1 : 0);
    work.pointwise_flops = call.numel(call.first_operand()) * (kDequantize + kOwn + affine + kQuantize);
}

void softmax(const Call& call, Work& work) {
    per_output<kDequantize + 5 + kQuantize, WorkKind::softmax>(call, work);
}

template <int kAxes>
void window(const Call& call, Work& work) {
    work.kind = WorkKind::pooling;
    work.dtype = arithmetic_dtype(call);
    const List<Expr> kernel = call.integers("kernel_size");
    Expr elements = 1;
    for (int axis = 0; axis < kAxes; ++axis) {
        elements = elements * kernel.at(kernel.size() == 1 ? 0 : static_cast<std::size_t>(axis));
    }
    work.pointwise_flops = call.numel(call.output()) * elements;
}

// Each selected row is dequantized; a bag adds its rows.
template <int kPerElement>
void embedding(const Call& call, Work& work) {
    work.kind = WorkKind::gather;
    const TensorIndex weight = call.require_tensor("weight");
    work.pointwise_flops = call.numel(call.require_tensor("indices")) * call.dim(weight, 1) * kPerElement;
}
void rows(const Call& call, Work& work) {
    const TensorIndex weight = call.require_tensor("weight");
    const Expr asked = call.numel(call.require_tensor("indices"));
    call.read(work, weight, asked * call.dim(weight, 1));
    for (const char* name : {"weight_scale", "weight_zero_point"}) {
        if (const TensorIndex t = call.tensor(name); t != kNoTensor) call.read(work, t, asked);
    }
    for (const char* name : {"indices", "offsets", "per_sample_weights", "compressed_indices_mapping"}) {
        if (const TensorIndex t = call.tensor(name); t != kNoTensor) call.read(work, t);
    }
    write_all(call, work);
}
constexpr TrafficShape gathers{rows, never};

constexpr std::string_view kToIntegerWords = "5 per element: divide, round, add, two bounds";
constexpr std::string_view kDynamicWords = "7 per element: min, max, and quantizing";
constexpr std::string_view kToFloatWords = "2 per element: subtract, multiply; 1 without zero points";
constexpr std::string_view kRangeWords = "2 per element read: min, max";
constexpr std::string_view kBinaryWords =
    "10 per element: 2 operands dequantized, the operation, the result quantized";
constexpr std::string_view kNormalize = "as the float op, and 7 per element to dequantize and quantize";
constexpr std::string_view kRowsRead = "2 per element of the selected rows, which are read at their width";
constexpr std::string_view kBagRead = "3 per element of the selected rows: dequantized and added";
constexpr std::string_view kScalar = "6 per element: the sum, quantized again";
constexpr std::string_view kAsCat = "7 per element: dequantized and quantized with the common scale";

constexpr OpRule kTable[] = {
    {"aten.quantize_per_tensor", kToInteger, stream_all, kToIntegerWords, Relation::like_first},
    {"aten.quantize_per_channel", kToInteger, stream_all, kToIntegerWords},
    {"aten.quantize_per_tensor_dynamic", kToIntegerDynamic, stream_all, kDynamicWords},
    {"aten.dequantize", kToFloat, stream_all, kToFloatWords},
    {"aten.int_repr", moves<WorkKind::copy>, stream_all, "moves bytes"},
    {"aten.q_scale", no_work, no_traffic, "metadata only"},
    {"aten.q_zero_point", no_work, no_traffic, "metadata only"},
    {"aten.q_per_channel_scales", no_work, no_traffic, "metadata only"},
    {"aten.q_per_channel_zero_points", no_work, no_traffic, "metadata only"},
    {"aten._make_per_tensor_quantized_tensor", moves<WorkKind::copy>, stream_all, "moves bytes"},
    {"aten._make_per_channel_quantized_tensor", moves<WorkKind::copy>, stream_all, "moves bytes"},
    {"aten._choose_qparams_per_tensor", kRange, stream_all, kRangeWords},
    {"aten.quantized_max_pool1d", window<1>, stream_all, "window size per result"},
    {"aten.quantized_max_pool2d", window<2>, stream_all, "window size per result"},
    {"aten.quantized_max_pool3d", window<3>, stream_all, "window size per result"},
    {"quantized_decomposed.quantize_per_tensor", kToInteger, stream_all, kToIntegerWords},
    {"quantized_decomposed.quantize_per_channel", kToInteger, stream_all, kToIntegerWords},
    {"quantized_decomposed.quantize_per_channel_group", kToInteger, stream_all, kToIntegerWords},
    {"quantized_decomposed.quantize_per_token", kToInteger, stream_all, kToIntegerWords},
    {"quantized_decomposed.dequantize_per_tensor", dequantize, stream_all, kToFloatWords},
    {"quantized_decomposed.dequantize_per_channel", dequantize, stream_all, kToFloatWords},
    {"quantized_decomposed.dequantize_per_channel_group", dequantize, stream_all, kToFloatWords,
     Relation::widen},
    {"quantized_decomposed.dequantize_per_token", dequantize, stream_all, kToFloatWords,
     Relation::like_first},
    {"quantized_decomposed.choose_qparams", kRange, stream_all, kRangeWords},
    {"quantized_decomposed.choose_qparams_symmetric", kRange, stream_all, kRangeWords},
    {"quantized_decomposed.choose_qparams_per_token", kRange, stream_all, kRangeWords},
    {"quantized_decomposed.choose_qparams_per_token_asymmetric", kRange, stream_all, kRangeWords},
    {"quantized_decomposed._choose_qparams_per_token_asymmetric_impl", kRange, stream_all, kRangeWords},
    {"quantized_decomposed.convert_element_type", moves<WorkKind::copy>, stream_all, "moves bytes"},
    {"pyinfercost.quantize_rows", quantize_rows, stream_all, kDynamicWords, Relation::quantized_rows},
    {"torchao.quantize_affine", kToInteger, stream_all, kToIntegerWords},
    {"torchao.dequantize_affine", kToFloat, stream_all, kToFloatWords},
    {"torchao.choose_qparams_affine", kRange, stream_all, kRangeWords},
    {"torchao.choose_scale_float8", kRange, stream_all, "2 per element read: abs, max"},
    {"torchao.quantize_affine_float8_non_decomposed", to_float8, stream_all,
     "3 per element: divide, two bounds"},
    {"torchao.dequantize_affine_float8_non_decomposed", per_output<1>, stream_all, "1 per element: multiply"},
    {"quantized.add", binary<1>, stream_all, kBinaryWords},
    {"quantized.add_relu", binary<1>, stream_all, kBinaryWords},
    {"quantized.mul", binary<1>, stream_all, kBinaryWords},
    {"quantized.mul_relu", binary<1>, stream_all, kBinaryWords},
    {"onednn.qadd", binary<1>, stream_all, kBinaryWords},
    {"onednn.qadd_relu", binary<1>, stream_all, kBinaryWords},
    {"onednn.qmul", binary<1>, stream_all, kBinaryWords},
    {"quantized.add_scalar", per_output<1 + kQuantize>, stream_all, kScalar},
    {"quantized.add_scalar_relu", per_output<1 + kQuantize>, stream_all, kScalar},
    {"quantized.mul_scalar", moves<WorkKind::copy>, stream_all, "moves bytes: the factor goes on the scale"},
    {"quantized.mul_scalar_relu", per_output<1>, stream_all,
     "1 per element: max; the factor goes on the scale"},
    {"quantized.cat", unary<0>, stream_all, kAsCat},
    {"quantized.cat_relu", unary<0>, stream_all, kAsCat},
    {"quantized.relu6", per_output<2>, stream_all, "2 per element: max, min"},
    {"quantized.threshold", per_output<2>, stream_all, "2 per element: compare, select"},
    {"quantized.leaky_relu", unary<3>, stream_all,
     "leaky_relu, and 7 per element to dequantize and quantize"},
    {"quantized.prelu", unary<3>, stream_all, "prelu, and 7 per element to dequantize and quantize"},
    {"quantized.elu", unary<5>, stream_all, "elu, and 7 per element to dequantize and quantize"},
    {"quantized.celu", unary<6>, stream_all, "celu, and 7 per element to dequantize and quantize"},
    {"quantized.hardswish", unary<5>, stream_all, "hardswish, and 7 per element to dequantize and quantize"},
    {"quantized.sigmoid", unary<4>, stream_all, "sigmoid, and 7 per element to dequantize and quantize"},
    {"quantized.softmax", softmax, stream_all, "softmax, and 7 per element to dequantize and quantize"},
    {"quantized.batch_norm", normalize<2>, stream_all, kNormalize, LoopTrait::batch_norm},
    {"quantized.batch_norm1d", normalize<2>, stream_all, kNormalize, LoopTrait::batch_norm},
    {"quantized.batch_norm2d", normalize<2>, stream_all, kNormalize, LoopTrait::batch_norm},
    {"quantized.batch_norm3d", normalize<2>, stream_all, kNormalize, LoopTrait::batch_norm},
    {"quantized.batch_norm_relu", normalize<2>, stream_all, kNormalize, LoopTrait::batch_norm},
    {"quantized.batch_norm1d_relu", normalize<2>, stream_all, kNormalize, LoopTrait::batch_norm},
    {"quantized.batch_norm2d_relu", normalize<2>, stream_all, kNormalize, LoopTrait::batch_norm},
    {"quantized.batch_norm3d_relu", normalize<2>, stream_all, kNormalize, LoopTrait::batch_norm},
    {"onednn.qbatch_norm2d", normalize<2>, stream_all, kNormalize, LoopTrait::batch_norm},
    {"aten.quantized_batch_norm", normalize<2>, stream_all, kNormalize, LoopTrait::batch_norm},
    {"quantized.layer_norm", normalize<5>, stream_all, kNormalize},
    {"quantized.group_norm", normalize<5>, stream_all, kNormalize, LoopTrait::group_norm},
    {"quantized.instance_norm", normalize<5>, stream_all, kNormalize, LoopTrait::instance_norm},
    {"quantized.max_pool1d", window<1>, stream_all, "window size per result"},
    {"quantized.max_pool2d", window<2>, stream_all, "window size per result"},
    {"quantized.embedding_byte", embedding<2>, gathers, kRowsRead},
    {"quantized.embedding_4bit", embedding<2>, gathers, kRowsRead},
    {"quantized.embedding_bag_byte", embedding<3>, gathers, kBagRead},
    {"quantized.embedding_bag_4bit", embedding<3>, gathers, kBagRead},
};
constexpr auto kRows = op_rows(kTable, Untied("scales are of whole tensors, rows or channels"));

}  // namespace quantized_elements_table
}  // namespace

std::span<const OpRule> quantized_element_rules() {
    return quantized_elements_table::kRows;
}

}  // namespace infercost

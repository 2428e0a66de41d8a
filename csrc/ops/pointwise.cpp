// Elementwise ops. The convention: one per elementary operation of the definition. Add, multiply, compare,
// select, divide, sqrt, exp, log, erf, tanh and similar functions count one each. An operation on a complex
// number is one on each of its two parts, unless the row states otherwise.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace pointwise_table {

// An inactive dropout returns its operand.
bool is_dropout_off(const Call& call) {
    return !call.flag("train", false) && !call.flag("training", false);
}
void dropout(const Call& call, Work& work) {
    if (is_dropout_off(call)) return no_work(call, work);
    per_output<3>(call, work);
}
bool dropout_aliases(const Call& call) {
    return is_dropout_off(call) || call.in_place();
}
void dropout_bytes(const Call& call, Work& work) {
    if (!is_dropout_off(call)) read_all_write_all(call, work);
}
constexpr TrafficShape unless_off{dropout_bytes, dropout_aliases};

// (a + bi)(c + di): four products, two sums. If one operand is real, two products remain.
void multiply(const Call& call, Work& work) {
    per_output<1>(call, work);
    if (complex_operands(call) > 1) work.pointwise_flops = call.numel(call.output()) * 6;
}
// (a + bi)(c - di) / (c^2 + d^2): a product, three operations for the denominator, two quotients.
void divide(const Call& call, Work& work) {
    if (call.has("rounding_mode")) return per_output<2>(call, work);
    per_output<1>(call, work);
    const TensorIndex by = call.tensor("other");
    if (by != kNoTensor && is_complex(call.stored_dtype(by))) {
        work.pointwise_flops = call.numel(call.output()) * 11;
    }
}
// exp(a) * (cos(b) + i sin(b))
void exponential(const Call& call, Work& work) {
    per_output<1>(call, work);
    if (complex_operands(call) > 0) work.pointwise_flops = call.numel(call.output()) * 5;
}
// Square root of a sum of two squares.
void magnitude(const Call& call, Work& work) {
    per_output<1>(call, work);
    if (complex_operands(call) > 0) work.pointwise_flops = call.numel(call.output()) * 4;
}

// With only one bound, a clamp is a single comparison.
void clamp(const Call& call, Work& work) {
    if (call.has("min") && call.has("max")) {
        per_output<2>(call, work);
    } else {
        per_output<1>(call, work);
    }
}

void gelu(const Call& call, Work& work) {
    if (call.text("approximate") == "tanh") {
        per_output<9>(call, work);
    } else {
        per_output<5>(call, work);
    }
}

constexpr std::string_view kOne = "1 per element";
constexpr std::string_view kTwo = "2 per element";
constexpr std::string_view kThree = "3 per element";
constexpr std::string_view kMultiply = "1 per element; 6 for two complex numbers, 2 for one";
constexpr std::string_view kDivide = "1 per element; 2 when the quotient is rounded; 11 by a complex number";
constexpr std::string_view kExponential = "1 per element; 5 of a complex number: exp, cos, sin, two products";
constexpr std::string_view kMagnitude = "1 per element; 4 of a complex number: two squares, add, sqrt";
constexpr std::string_view kRemainder = "4 per element: divide, round, multiply, subtract";
constexpr std::string_view kClamp = "1 per element and bound";

constexpr OpRule kTable[] = {
    {"aten.add", per_output<1>, stream_all, "1 per element; a factor alpha is not counted", PartialSum::adds,
     ByteCost{0.8}},
    {"aten.sub", per_output<1>, stream_all, "1 per element; a factor alpha is not counted", PartialSum::adds,
     ByteCost{0.8}},
    {"aten.subtract", per_output<1>, stream_all, kOne},
    {"aten.rsub", per_output<1>, stream_all, kOne},
    {"aten.mul", multiply, stream_all, kMultiply, PartialSum::multiplies, ByteCost{1.7}},
    {"aten.multiply", multiply, stream_all, kMultiply, PartialSum::multiplies},
    {"aten.div", divide, stream_all, kDivide, PartialSum::divides, ByteCost{1.7}},
    {"aten.divide", divide, stream_all, kDivide, PartialSum::divides},
    {"aten.true_divide", divide, stream_all, kDivide},
    {"aten.floor_divide", per_output<2>, stream_all, "2 per element: divide, floor"},
    {"aten.remainder", per_output<4>, stream_all, kRemainder},
    {"aten.fmod", per_output<4>, stream_all, kRemainder},
    {"aten.addcmul", per_output<3>, stream_all, kThree, CastPolicy::widest},
    {"aten.addcdiv", per_output<3>, stream_all, kThree, CastPolicy::widest},
    {"aten.lerp", per_output<3>, stream_all, kThree},
    {"aten.pow", per_output<1>, stream_all, kOne, CastPolicy::full, LoopCost{SlowLoop::library, 1.0}},
    {"aten.square", per_output<1>, stream_all, kOne},
    {"aten.float_power", per_output<1>, stream_all, kOne},
    {"aten.neg", per_output<1>, stream_all, kOne, PartialSum::keeps},
    {"aten.abs", magnitude, stream_all, kMagnitude},
    {"aten.sign", per_output<1>, stream_all, kOne},
    {"aten.sgn", per_output<1>, stream_all, kOne},
    {"aten.reciprocal", per_output<1>, stream_all, kOne, CastPolicy::full},
    {"aten.sqrt", per_output<1>, stream_all, kOne, LoopCost{SlowLoop::library, 1.0}},
    {"aten.rsqrt", per_output<2>, stream_all, "2 per element: sqrt, divide", CastPolicy::full},
    {"aten.exp", exponential, stream_all, kExponential, CastPolicy::full, LoopCost{SlowLoop::library, 0.33}},
    {"aten.exp2", per_output<1>, stream_all, kOne},
    {"aten.expm1", per_output<1>, stream_all, kOne, CastPolicy::full},
    {"aten.log", per_output<1>, stream_all, kOne, CastPolicy::full, LoopCost{SlowLoop::library, 0.33}},
    {"aten.log2", per_output<1>, stream_all, kOne, CastPolicy::full},
    {"aten.log10", per_output<1>, stream_all, kOne, CastPolicy::full},
    {"aten.log1p", per_output<1>, stream_all, kOne, CastPolicy::full},
    {"aten.sin", per_output<1>, stream_all, kOne, LoopCost{SlowLoop::library, 0.33}},
    {"aten.cos", per_output<1>, stream_all, kOne, LoopCost{SlowLoop::library, 0.33}},
    {"aten.tan", per_output<1>, stream_all, kOne, CastPolicy::full},
    {"aten.asin", per_output<1>, stream_all, kOne, CastPolicy::full},
    {"aten.acos", per_output<1>, stream_all, kOne, CastPolicy::full},
    {"aten.atan", per_output<1>, stream_all, kOne},
    {"aten.atan2", per_output<1>, stream_all, kOne, CastPolicy::widest},
    {"aten.sinh", per_output<1>, stream_all, kOne, CastPolicy::full},
    {"aten.cosh", per_output<1>, stream_all, kOne, CastPolicy::full},
    {"aten.tanh", per_output<1>, stream_all, kOne, LoopCost{SlowLoop::library, 1.0}, ByteCost{0.8}},
    {"aten.erf", per_output<1>, stream_all, kOne, LoopCost{SlowLoop::library, 0.33}},
    {"aten.erfinv", per_output<1>, stream_all, kOne, CastPolicy::full},
    {"aten.floor", per_output<1>, stream_all, kOne},
    {"aten.ceil", per_output<1>, stream_all, kOne},
    {"aten.round", per_output<1>, stream_all, kOne},
    {"aten.trunc", per_output<1>, stream_all, kOne},
    {"aten.frac", per_output<2>, stream_all, kTwo},
    {"aten.maximum", per_output<1>, stream_all, kOne},
    {"aten.minimum", per_output<1>, stream_all, kOne},
    {"aten.fmax", per_output<1>, stream_all, kOne},
    {"aten.fmin", per_output<1>, stream_all, kOne},
    {"aten.max.other", per_output<1>, stream_all, kOne, Relation::extreme},
    {"aten.min.other", per_output<1>, stream_all, kOne, Relation::extreme},
    {"aten.clamp", clamp, stream_all, kClamp},
    {"aten.clip", clamp, stream_all, kClamp},
    {"aten.clamp_min", per_output<1>, stream_all, kOne},
    {"aten.clamp_max", per_output<1>, stream_all, kOne},
    {"aten.nan_to_num", per_output<6>, stream_all,
     "6 per element: compare and select for each of nan, +inf, -inf"},
    {"aten.isnan", per_output<1>, stream_all, kOne},
    {"aten.isinf", per_output<1>, stream_all, kOne},
    {"aten.isfinite", per_output<1>, stream_all, kOne},
    {"aten.eq", per_output<1>, stream_all, kOne},
    {"aten.ne", per_output<1>, stream_all, kOne},
    {"aten.not_equal", per_output<1>, stream_all, kOne},
    {"aten.lt", per_output<1>, stream_all, kOne},
    {"aten.le", per_output<1>, stream_all, kOne},
    {"aten.gt", per_output<1>, stream_all, kOne},
    {"aten.ge", per_output<1>, stream_all, kOne},
    {"aten.greater_equal", per_output<1>, stream_all, kOne},
    {"aten.less_equal", per_output<1>, stream_all, kOne},
    {"aten.logical_and", per_output<1>, stream_all, kOne},
    {"aten.logical_or", per_output<1>, stream_all, kOne},
    {"aten.logical_not", per_output<1>, stream_all, kOne},
    {"aten.logical_xor", per_output<1>, stream_all, kOne},
    {"aten.bitwise_and", per_output<1>, stream_all, kOne},
    {"aten.bitwise_or", per_output<1>, stream_all, kOne},
    {"aten.bitwise_xor", per_output<1>, stream_all, kOne},
    {"aten.bitwise_not", per_output<1>, stream_all, kOne},
    {"aten.__and__", per_output<1>, stream_all, kOne},
    {"aten.__or__", per_output<1>, stream_all, kOne},
    {"aten.__xor__", per_output<1>, stream_all, kOne},
    {"aten.__iand__", per_output<1>, stream_all, kOne},
    {"aten.__ior__", per_output<1>, stream_all, kOne},
    {"aten.__ixor__", per_output<1>, stream_all, kOne},
    {"aten.where", per_output<1>, stream_all, "1 per element: select"},
    {"aten.masked_fill", per_output<1>, stream_all, "1 per element: select", PartialSum::keeps},
    {"aten.relu", per_output<1>, stream_all, "1 per element: max"},
    {"aten.relu6", per_output<2>, stream_all, "2 per element: max, min"},
    {"aten.hardtanh", per_output<2>, stream_all, "2 per element: max, min"},
    {"aten.threshold", per_output<2>, stream_all, "2 per element: compare, select"},
    {"aten.leaky_relu", per_output<3>, stream_all, "3 per element: compare, multiply, select", ByteCost{0.8}},
    {"aten.prelu", per_output<3>, stream_all, "3 per element: compare, multiply, select", CastPolicy::lower},
    {"aten._prelu_kernel", per_output<3>, stream_all, "3 per element: compare, multiply, select"},
    {"aten.elu", per_output<5>, stream_all, "5 per element: exp, subtract, multiply, compare, select",
     LoopTrait::reads_twice, LoopCost{SlowLoop::special, 1.0}, ByteCost{3.5}},
    {"aten.celu", per_output<6>, stream_all,
     "6 per element: divide, exp, subtract, multiply, compare, select", LoopCost{SlowLoop::special, 1.0}},
    {"aten.selu", per_output<6>, stream_all, "6 per element: elu and a scale",
     LoopCost{SlowLoop::special, 1.0}},
    {"aten.sigmoid", per_output<4>, stream_all, "4 per element: negate, exp, add, divide",
     LoopCost{SlowLoop::special, 1.0}, ByteCost{0.8}},
    {"aten.log_sigmoid", per_output<5>, stream_all, "5 per element: negate, exp, add, log, negate",
     WorkspaceRule::like_result, LoopCost{SlowLoop::special, 2.0}},
    {"aten.silu", per_output<5>, stream_all, "5 per element: sigmoid and a product", LoopTrait::reads_twice,
     LoopCost{SlowLoop::special, 1.0}, ByteCost{1.4}},
    {"aten.gelu", gelu, stream_all, "5 per element: scale, erf, add, product, half; 9 with tanh",
     LoopTrait::reads_twice, LoopCost{SlowLoop::special, 1.1}, ByteCost{3.5}},
    {"aten.hardsigmoid", per_output<4>, stream_all, "4 per element: add, max, min, divide", ByteCost{1.6}},
    {"aten.hardswish", per_output<5>, stream_all, "5 per element: hardsigmoid and a product",
     LoopTrait::reads_twice, ByteCost{2.4}},
    {"aten.softplus", per_output<5>, stream_all, "5 per element: scale, exp, add, log, divide",
     CastPolicy::full, LoopCost{SlowLoop::special, 2.0}},
    {"aten.mish", per_output<5>, stream_all, "5 per element: exp, add, log, tanh, product",
     LoopTrait::reads_twice, LoopCost{SlowLoop::special, 3.0}, ByteCost{3.5}},
    {"aten.glu", per_output<5>, stream_all, "5 per element: sigmoid and a product", Relation::gated,
     LoopCost{SlowLoop::special, 1.0}},
    {"aten.dropout", dropout, unless_off, "3 per element when training; nothing when off", PartialSum::keeps},
    {"aten.native_dropout", dropout, unless_off, "3 per element when training; nothing when off"},
    {"aten.feature_dropout", dropout, unless_off, "3 per element when training; nothing when off"},
    {"aten.alpha_dropout", dropout, unless_off, "3 per element when training; nothing when off"},
};
constexpr auto kRows = op_rows(kTable, Relation::elements);

}  // namespace pointwise_table
}  // namespace

std::span<const OpRule> pointwise_rules() {
    return pointwise_table::kRows;
}

}  // namespace infercost

#include "lowering/slow_loops.hpp"

#include "ops/rule.hpp"

namespace infercost {
namespace {

// Scores of attention in a quantized model are written and masked, and a table of exponentials is looked up
// for each; 2.8 ns per score in the same measurement, where a softmax of torch takes 0.6.
constexpr double kByteScore = 4.8;

std::int64_t hundredths(double per_element) {
    return static_cast<std::int64_t>(per_element * kSlowLoopUnit + 0.5);
}

bool is_half(DType dtype) {
    return dtype == DType::bfloat16 || dtype == DType::float16;
}

// Torch multiplies for small whole exponents.
bool is_a_product(const Call& call) {
    const Argument* given = call.find("exponent");
    if (!given || (given->kind != ArgKind::integer && given->kind != ArgKind::real)) return false;
    if (given->kind == ArgKind::real) return false;
    const Expr exponent = call.integer("exponent", 0);
    return exponent == Expr(1) || exponent == Expr(2) || exponent == Expr(3);
}

// Loops of eager execution over 16-bit floats widen what they read, compute, and round the results.
Expr half_elements(const Call& call, const Work& work) {
    const bool loop = work.kind == WorkKind::pointwise || work.kind == WorkKind::reduction ||
                      work.kind == WorkKind::normalization || work.kind == WorkKind::softmax;
    if (!loop || work.pointwise_flops == Expr(0) || !is_half(call.stored_dtype(call.output()))) return {0};
    const TensorIndex input = call.first_operand();
    return work.kind == WorkKind::reduction && input != kNoTensor ? call.numel(input)
                                                                  : call.numel(call.output());
}

}  // namespace

SlowLoops slow_loops(const Call& call, const Work& work) {
    SlowLoops loops;
    const OpTraits& traits = traits_of(call);
    // Statistics of the batch itself.
    if (call.op().name == "aten.batch_norm" && call.flag("training", false)) {
        loops[SlowLoop::row] = call.numel(call.output()) * kSlowLoopUnit;
        return loops;
    }
    if (call.output_count() == 0) return loops;
    const bool bytes = bits_of(call.stored_dtype(call.output())) == 8;
    if (work.kind == WorkKind::attention) {
        const Expr scores = work.dims.batch * work.dims.m * work.dims.n;
        loops[bytes ? SlowLoop::softmax : SlowLoop::score] = scores * hundredths(bytes ? kByteScore : 1.0);
        return loops;
    }
    if (bytes && traits.bytes.per_element > 0) {
        loops[SlowLoop::special] = call.numel(call.output()) * hundredths(traits.bytes.per_element);
        return loops;
    }
    loops[SlowLoop::half] = half_elements(call, work) * kSlowLoopUnit;
    const auto [loop, per_element] = traits.slow;
    if (per_element <= 0 || is_a_product(call)) return loops;
    // In hundredths, because quantities are integers.
    const Expr elements = loop == SlowLoop::window ? work.pointwise_flops : call.numel(call.output());
    loops[loop] = elements * hundredths(per_element);
    return loops;
}

}  // namespace infercost

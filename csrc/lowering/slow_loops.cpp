#include "lowering/slow_loops.hpp"

#include <string_view>
#include <unordered_map>

namespace infercost {
namespace {

struct LoopCost {
    SlowLoop loop;
    double per_element;  // units of the loop per element of the result
};

// The unit of `special` is a sigmoid, which torch vectorizes itself. The unit of `library` is a tanh, which
// eager execution delegates to a vendor library. Ratios were measured with torch 2.13 on x86-64, over arrays
// that fit L2.
const std::unordered_map<std::string_view, LoopCost>& costs() {
    static const std::unordered_map<std::string_view, LoopCost> kCosts = {
        {"aten.sigmoid",           {SlowLoop::special, 1.0} },
        {"aten.silu",              {SlowLoop::special, 1.0} },
        {"aten.gelu",              {SlowLoop::special, 1.1} },
        {"aten.elu",               {SlowLoop::special, 1.0} },
        {"aten.celu",              {SlowLoop::special, 1.0} },
        {"aten.selu",              {SlowLoop::special, 1.0} },
        {"aten.softplus",          {SlowLoop::special, 2.0} },
        {"aten.log_sigmoid",       {SlowLoop::special, 2.0} },
        {"aten.mish",              {SlowLoop::special, 3.0} },
        {"aten.glu",               {SlowLoop::special, 1.0} },
        {"aten.tanh",              {SlowLoop::library, 1.0} },
        {"aten.pow",               {SlowLoop::library, 1.0} },
        {"aten.exp",               {SlowLoop::library, 0.33}},
        {"aten.log",               {SlowLoop::library, 0.33}},
        {"aten.sin",               {SlowLoop::library, 0.33}},
        {"aten.cos",               {SlowLoop::library, 0.33}},
        {"aten.erf",               {SlowLoop::library, 0.33}},
        {"aten.sqrt",              {SlowLoop::library, 1.0} },
        {"aten.layer_norm",        {SlowLoop::row, 1.0}     },
        {"aten.native_layer_norm", {SlowLoop::row, 1.0}     },
        {"aten.group_norm",        {SlowLoop::row, 1.0}     },
        {"timm.fast_group_norm",   {SlowLoop::row, 1.0}     },
        {"aten.native_group_norm", {SlowLoop::row, 1.0}     },
        {"aten.instance_norm",     {SlowLoop::row, 1.0}     },
        {"aten.rms_norm",          {SlowLoop::row, 1.0}     },
        {"aten._fused_rms_norm",   {SlowLoop::row, 1.0}     },
        {"aten.softmax",           {SlowLoop::softmax, 1.0} },
        {"aten._softmax",          {SlowLoop::softmax, 1.0} },
        {"aten._safe_softmax",     {SlowLoop::softmax, 1.0} },
        {"aten.log_softmax",       {SlowLoop::softmax, 1.0} },
        {"aten.max_pool1d",        {SlowLoop::window, 1.0}  },
        {"aten.max_pool2d",        {SlowLoop::window, 1.0}  },
        {"aten.max_pool3d",        {SlowLoop::window, 1.0}  },
        {"aten.avg_pool1d",        {SlowLoop::window, 0.3}  },
        {"aten.avg_pool2d",        {SlowLoop::window, 0.3}  },
        {"aten.avg_pool3d",        {SlowLoop::window, 0.3}  },
    };
    return kCosts;
}

// Elementwise kernels of quantized models on a CPU read bytes, compute on floats or look results up, and
// write bytes. Several ops run as two or three kernels: a sigmoid and a product, or conversions around a
// function. In units of `special`, measured with ONNX Runtime 1.32 on an EPYC: QLinearSigmoid and QLinearAdd
// 0.25 ns per element, QLinearMul with a value per channel 0.5, HardSigmoid with its conversions and a
// product 0.7, Gelu with them 1.1, where a sigmoid of torch in fp32 takes 0.3.
const std::unordered_map<std::string_view, double>& byte_costs() {
    static const std::unordered_map<std::string_view, double> kCosts = {
        {"aten.add",         0.8},
        {"aten.sub",         0.8},
        {"aten.mul",         1.7},
        {"aten.div",         1.7},
        {"aten.sigmoid",     0.8},
        {"aten.tanh",        0.8},
        {"aten.leaky_relu",  0.8},
        {"aten.hardsigmoid", 1.6},
        {"aten.hardswish",   2.4},
        {"aten.silu",        1.4},
        {"aten.gelu",        3.5},
        {"aten.mish",        3.5},
        {"aten.elu",         3.5},
    };
    return kCosts;
}
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
    std::string_view name = call.op().name;
    if (name == "aten.batch_norm" && call.flag("training", false)) {  // statistics of the batch itself
        loops[SlowLoop::row] = call.numel(call.output()) * kSlowLoopUnit;
        return loops;
    }
    if (name.ends_with('_') && !name.ends_with("__")) name.remove_suffix(1);
    if (call.output_count() == 0) return loops;
    const bool bytes = bits_of(call.stored_dtype(call.output())) == 8;
    if (work.kind == WorkKind::attention) {
        const Expr scores = work.dims.batch * work.dims.m * work.dims.n;
        loops[bytes ? SlowLoop::softmax : SlowLoop::score] = scores * hundredths(bytes ? kByteScore : 1.0);
        return loops;
    }
    if (const auto quantized = byte_costs().find(name); bytes && quantized != byte_costs().end()) {
        loops[SlowLoop::special] = call.numel(call.output()) * hundredths(quantized->second);
        return loops;
    }
    loops[SlowLoop::half] = half_elements(call, work) * kSlowLoopUnit;
    const auto found = costs().find(name);
    if (found == costs().end() || (name == "aten.pow" && is_a_product(call))) return loops;
    const auto [loop, per_element] = found->second;
    // In hundredths, because quantities are integers.
    const Expr elements = loop == SlowLoop::window ? work.pointwise_flops : call.numel(call.output());
    loops[loop] = elements * hundredths(per_element);
    return loops;
}

}  // namespace infercost

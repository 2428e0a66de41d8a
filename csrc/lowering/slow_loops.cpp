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

}  // namespace

SlowLoops slow_loops(const Call& call, const Work& work) {
    SlowLoops loops;
    std::string_view name = call.op().name;
    if (name == "aten.batch_norm" && call.flag("training", false)) {  // statistics of the batch itself
        loops[SlowLoop::row] = call.numel(call.output()) * kSlowLoopUnit;
        return loops;
    }
    if (name.ends_with('_') && !name.ends_with("__")) name.remove_suffix(1);
    const auto found = costs().find(name);
    if (found == costs().end() || call.output_count() == 0) return loops;
    const auto [loop, per_element] = found->second;
    // In hundredths, because quantities are integers.
    const Expr elements = loop == SlowLoop::window ? work.pointwise_flops : call.numel(call.output());
    loops[loop] = elements * static_cast<std::int64_t>(per_element * kSlowLoopUnit + 0.5);
    return loops;
}

}  // namespace infercost

#include "ops/loops.hpp"

#include <string_view>
#include <unordered_map>

namespace infercost {
namespace {

struct LoopCost {
    VectorLoop loop;
    double per_element;  // how many of the loop's unit an element of the result takes
};

// The unit of `special` is a sigmoid, that of `library` a tanh: torch has its own vectors for the first, and
// hands the second to a vendor's library in eager execution. Ratios were measured with torch 2.13 on x86-64,
// over arrays that stay in the second cache.
const std::unordered_map<std::string_view, LoopCost>& costs() {
    static const std::unordered_map<std::string_view, LoopCost> kCosts = {
        {"aten.sigmoid",           {VectorLoop::special, 1.0} },
        {"aten.silu",              {VectorLoop::special, 1.0} },
        {"aten.gelu",              {VectorLoop::special, 1.1} },
        {"aten.elu",               {VectorLoop::special, 1.0} },
        {"aten.celu",              {VectorLoop::special, 1.0} },
        {"aten.selu",              {VectorLoop::special, 1.0} },
        {"aten.softplus",          {VectorLoop::special, 2.0} },
        {"aten.log_sigmoid",       {VectorLoop::special, 2.0} },
        {"aten.mish",              {VectorLoop::special, 3.0} },
        {"aten.glu",               {VectorLoop::special, 1.0} },
        {"aten.tanh",              {VectorLoop::library, 1.0} },
        {"aten.pow",               {VectorLoop::library, 1.0} },
        {"aten.exp",               {VectorLoop::library, 0.33}},
        {"aten.log",               {VectorLoop::library, 0.33}},
        {"aten.sin",               {VectorLoop::library, 0.33}},
        {"aten.cos",               {VectorLoop::library, 0.33}},
        {"aten.erf",               {VectorLoop::library, 0.33}},
        {"aten.sqrt",              {VectorLoop::library, 1.0} },
        {"aten.layer_norm",        {VectorLoop::row, 1.0}     },
        {"aten.native_layer_norm", {VectorLoop::row, 1.0}     },
        {"aten.group_norm",        {VectorLoop::row, 1.0}     },
        {"aten.native_group_norm", {VectorLoop::row, 1.0}     },
        {"aten.instance_norm",     {VectorLoop::row, 1.0}     },
        {"aten.rms_norm",          {VectorLoop::row, 1.0}     },
        {"aten._fused_rms_norm",   {VectorLoop::row, 1.0}     },
        {"aten.softmax",           {VectorLoop::softmax, 1.0} },
        {"aten._softmax",          {VectorLoop::softmax, 1.0} },
        {"aten._safe_softmax",     {VectorLoop::softmax, 1.0} },
        {"aten.log_softmax",       {VectorLoop::softmax, 1.0} },
        {"aten.max_pool1d",        {VectorLoop::window, 1.0}  },
        {"aten.max_pool2d",        {VectorLoop::window, 1.0}  },
        {"aten.max_pool3d",        {VectorLoop::window, 1.0}  },
        {"aten.avg_pool1d",        {VectorLoop::window, 0.3}  },
        {"aten.avg_pool2d",        {VectorLoop::window, 0.3}  },
        {"aten.avg_pool3d",        {VectorLoop::window, 0.3}  },
    };
    return kCosts;
}

// Whether a copy reads along another axis than it writes: then it loads columns and stores rows. The stride
// of a dimension of length 1 is never used.
bool crosses(const Call& call) {
    const TensorIndex from = call.first_operand();
    const TensorIndex to = call.output();
    const auto innermost = [&](TensorIndex t) {
        const std::vector<Expr> lengths = call.shape(t);
        const std::vector<Expr> strides = call.strides(t);
        for (std::size_t i = lengths.size(); i-- > 0;) {
            if (strides[i] == Expr(1) && !(lengths[i] == Expr(1))) return static_cast<int>(i);
        }
        return -1;
    };
    if (call.rank(from) == call.rank(to)) return innermost(from) != innermost(to);
    // A reshape that copies does so because its operand was permuted.
    const int axis = innermost(from);
    return axis >= 0 && axis != call.rank(from) - 1;
}

}  // namespace

void add_loops(const Call& call, Work& work) {
    if (work.kind == WorkKind::copy && call.first_operand() != kNoTensor && call.output_count() == 1 &&
        crosses(call)) {
        work.loop(VectorLoop::transpose) = call.numel(call.output()) * kLoopUnit;
        return;
    }
    std::string_view name = call.op().name;
    if (name == "aten.batch_norm" && call.flag("training", false)) {  // statistics of these very rows
        work.loop(VectorLoop::row) = call.numel(call.output()) * kLoopUnit;
        return;
    }
    if (name.ends_with('_') && !name.ends_with("__")) name.remove_suffix(1);
    const auto found = costs().find(name);
    if (found == costs().end() || call.output_count() == 0) return;
    const auto [loop, per_element] = found->second;
    // In hundredths, since quantities are whole numbers.
    const Expr elements = loop == VectorLoop::window ? work.pointwise_flops : call.numel(call.output());
    work.loop(loop) = elements * static_cast<std::int64_t>(per_element * kLoopUnit + 0.5);
}

}  // namespace infercost

// Pooling. A window of w elements costs w per result: comparisons, or additions and a division.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace pooling_table {

template <int kAxes>
void windowed(const Call& call, Work& work) {
    work.kind = WorkKind::pooling;
    work.dtype = arithmetic_dtype(call);
    const List<Expr> kernel = call.integers("kernel_size");
    Expr window = 1;
    for (int axis = 0; axis < kAxes; ++axis) {
        // A single number applies to all axes.
        window = window * kernel.at(kernel.size() == 1 ? 0 : static_cast<std::size_t>(axis));
    }
    work.pointwise_flops = call.numel(call.output()) * window;
}

// Windows along an axis extend from floor(i * in / out) to ceil((i + 1) * in / out). Neighboring windows
// share an element unless i * in / out is an integer, so all windows together contain in + out - gcd(in, out)
// elements.
template <int kAxes>
void adaptive(const Call& call, Work& work) {
    work.kind = WorkKind::pooling;
    work.dtype = arithmetic_dtype(call);
    const TensorIndex input = call.first_operand();
    Expr touched = call.numel(input);
    for (int axis = -kAxes; axis < 0; ++axis) {
        const Expr in = call.dim(input, axis);
        const Expr out = call.dim(call.output(), axis);
        touched = ratio(touched, in) * (in + out - Expr::gcd(in, out));
    }
    work.pointwise_flops = touched;
}

constexpr std::string_view kWindow = "window size per result";
constexpr std::string_view kAdaptive = "window size per result; windows overlap where lengths do not divide";

constexpr OpRule kTable[] = {
    {"aten.max_pool1d", windowed<1>, stream_all, kWindow, LoopCost{SlowLoop::window, 1.0}},
    {"aten.max_pool2d", windowed<2>, stream_all, kWindow, WorkspaceRule::places_of_maxima,
     LoopCost{SlowLoop::window, 1.0}},
    {"aten.max_pool3d", windowed<3>, stream_all, kWindow, WorkspaceRule::places_of_maxima,
     LoopCost{SlowLoop::window, 1.0}},
    {"aten.max_pool2d_with_indices", windowed<2>, stream_all, kWindow},
    {"aten.max_pool3d_with_indices", windowed<3>, stream_all, kWindow},
    {"aten.avg_pool1d", windowed<1>, stream_all, kWindow, LoopCost{SlowLoop::window, 0.3}},
    {"aten.avg_pool2d", windowed<2>, stream_all, kWindow, LoopCost{SlowLoop::window, 0.3}},
    {"aten.avg_pool3d", windowed<3>, stream_all, kWindow, LoopCost{SlowLoop::window, 0.3}},
    {"aten.adaptive_avg_pool1d", adaptive<1>, stream_all, kAdaptive, LoopTrait::adaptive_pool},
    {"aten.adaptive_avg_pool2d", adaptive<2>, stream_all, kAdaptive, LoopTrait::adaptive_pool},
    {"aten.adaptive_avg_pool3d", adaptive<3>, stream_all, kAdaptive, LoopTrait::adaptive_pool},
    {"aten._adaptive_avg_pool2d", adaptive<2>, stream_all, kAdaptive, LoopTrait::adaptive_pool},
    {"aten._adaptive_avg_pool3d", adaptive<3>, stream_all, kAdaptive, LoopTrait::adaptive_pool},
    {"aten.adaptive_max_pool1d", adaptive<1>, stream_all, kAdaptive, LoopTrait::adaptive_pool,
     WorkspaceRule::places_of_maxima},
    {"aten.adaptive_max_pool2d", adaptive<2>, stream_all, kAdaptive, LoopTrait::adaptive_pool},
    {"aten.adaptive_max_pool3d", adaptive<3>, stream_all, kAdaptive, LoopTrait::adaptive_pool},
    {"aten.max_pool1d_with_indices", windowed<1>, stream_all, kWindow},
    {"aten.mkldnn_max_pool2d", windowed<2>, stream_all, kWindow},
    {"aten.mkldnn_max_pool3d", windowed<3>, stream_all, kWindow},
    {"aten.mkldnn_adaptive_avg_pool2d", adaptive<2>, stream_all, kAdaptive, LoopTrait::adaptive_pool},
    {"aten.fractional_max_pool2d", windowed<2>, stream_all, kWindow},
    {"aten.fractional_max_pool3d", windowed<3>, stream_all, kWindow},
    {"aten.max_unpool2d", moves<WorkKind::scatter>, stream_all, "moves bytes"},
    {"aten.max_unpool3d", moves<WorkKind::scatter>, stream_all, "moves bytes"},
};
constexpr auto kRows = op_rows(kTable, Untied("windows read neighbors"));

}  // namespace pooling_table
}  // namespace

std::span<const OpRule> pooling_rules() {
    return pooling_table::kRows;
}

}  // namespace infercost

// Convolutions as implicit matrix products: every output element is a dot product over one group's window.
#include "ops/convolution.hpp"

#include <algorithm>

#include "ops/shapes.hpp"

namespace infercost {

void convolve(const Call& call, Work& work, TensorIndex input, TensorIndex weight, bool transposed) {
    const Expr groups = call.integer("groups", 1);
    Expr window = 1;
    for (int axis = 2; axis < call.rank(weight); ++axis) window = window * call.dim(weight, axis);
    const Expr in_channels = transposed ? call.dim(weight, 0) : call.dim(weight, 1) * groups;
    const Expr out_channels = transposed ? call.dim(weight, 1) * groups : call.dim(weight, 0);
    // A transposed convolution scatters: the window is applied to each input position instead of each output
    // position.
    const TensorIndex dense = transposed ? input : call.output();
    const Expr positions = ratio(call.numel(dense), transposed ? in_channels : out_channels);
    set_contraction(work, WorkKind::convolution, call.engine_dtype(input), groups, positions,
                    out_channels / groups, in_channels / groups * window);
    if (window.is_constant()) work.dims.filter_elements = window.constant();
    if (call.rank(call.output()) == call.rank(weight)) work.dims.images = call.dim(call.output(), 0);
    if (call.has("bias")) work.pointwise_flops = call.numel(call.output());
}

Expr elements_in_windows(const Call& call, TensorIndex input, TensorIndex weight, TensorIndex result) {
    const List<Expr> steps = call.integers("stride");
    const int spatial = call.rank(weight) - 2;
    Expr all = call.distinct(input);
    if (!(all == call.numel(input)) || call.flag("transposed", false)) return all;
    Expr elements = 1;
    for (int axis = 0; axis < call.rank(input) - spatial; ++axis) elements = elements * call.dim(input, axis);
    bool leaves_out = false;
    for (int axis = 0; axis < spatial; ++axis) {
        const Expr step =
            steps.empty() ? Expr(1) : steps[std::min(static_cast<std::size_t>(axis), steps.size() - 1)];
        const Expr window = call.dim(weight, axis + 2);
        const Expr length = call.dim(input, axis - spatial);
        const bool skips = step.is_constant() && window.is_constant() && window.constant() < step.constant();
        leaves_out = leaves_out || skips;
        const Expr covered = call.dim(result, axis - spatial) * window;
        elements = elements * (skips ? Expr::minimum(length, covered) : length);
    }
    return leaves_out ? elements : all;
}

namespace {
namespace convolution_table {

// Library-specific convolutions name their input "self".
TensorIndex input_of(const Call& call) {
    const TensorIndex input = call.tensor("input");
    return input != kNoTensor ? input : call.require_tensor("self");
}

void convolve(const Call& call, Work& work, bool transposed) {
    convolve(call, work, input_of(call), call.require_tensor("weight"), transposed);
}
void direct(const Call& call, Work& work) {
    convolve(call, work, false);
}
void transposed(const Call& call, Work& work) {
    convolve(call, work, true);
}
void either(const Call& call, Work& work) {
    convolve(call, work, call.flag("transposed", false));
}

// One filter per channel and result, [channels * results, 1, *window], whatever the value of `groups`.
void depthwise(const Call& call, Work& work) {
    const TensorIndex weight = call.require_tensor("weight");
    Expr window = 1;
    for (int axis = 2; axis < call.rank(weight); ++axis) window = window * call.dim(weight, axis);
    const Expr channels = call.dim(weight, 0);
    set_contraction(work, WorkKind::convolution, call.engine_dtype(weight), channels,
                    ratio(call.numel(call.output()), channels), 1, window);
    if (window.is_constant()) work.dims.filter_elements = window.constant();
    if (call.has("bias")) work.pointwise_flops = call.numel(call.output());
}

// One more comparison per result, and one addition if a tensor is added.
void rectified(const Call& call, Work& work) {
    convolve(call, work, false);
    work.pointwise_flops += call.numel(call.output()) * (call.has("z") ? 2 : 1);
}

// [time, batch, channels] with weights [window, in, out]
void time_first(const Call& call, Work& work) {
    const TensorIndex weight = call.require_tensor("weight");
    const Expr out = call.dim(weight, 2);
    const Expr results = call.numel(call.output());
    set_contraction(work, WorkKind::convolution, call.engine_dtype(weight), 1, ratio(results, out), out,
                    call.dim(weight, 0) * call.dim(weight, 1));
    work.pointwise_flops = results;
}

// Each element of a column is interpolated from four elements of the input; the columns are then multiplied
// by the weight. All channels of an offset group share positions and weights of the interpolation, which are
// not counted.
void deformed(const Call& call, Work& work) {
    convolve(call, work, false);
    const Expr sampled = work.dims.batch * work.dims.m * work.dims.k;
    work.pointwise_flops += sampled * (call.flag("use_mask", false) ? 8 : 7);
}

void deformed_operands(const Call& call, Work& work) {
    for (const char* name : {"input", "weight"}) call.read_operand(work, call.require_tensor(name));
    call.read(work, call.require_tensor("offset"));
    if (call.flag("use_mask", false)) call.read(work, call.require_tensor("mask"));
    if (const TensorIndex bias = call.tensor("bias"); bias != kNoTensor) call.read(work, bias);
    write_all(call, work);
}
constexpr TrafficShape deformed_once{deformed_operands, never};

void read_weight_and_write(const Call& call, Work& work) {
    call.read_operand(work, call.require_tensor("weight"));
    if (const TensorIndex added = call.tensor("z"); added != kNoTensor) call.read(work, added);
    if (const TensorIndex bias = call.tensor("bias"); bias != kNoTensor) call.read(work, bias);
    write_all(call, work);
}
void windows_and_result(const Call& call, Work& work) {
    const TensorIndex input = input_of(call);
    const TensorIndex weight = call.require_tensor("weight");
    call.read_operand(work, input, elements_in_windows(call, input, weight, call.output()));
    read_weight_and_write(call, work);
}
constexpr TrafficShape windows_once{windows_and_result, never};

void operands_and_result(const Call& call, Work& work) {
    call.read_operand(work, input_of(call));
    read_weight_and_write(call, work);
}
constexpr TrafficShape operands_once{operands_and_result, never};

constexpr OpRule kTable[] = {
    {"aten.conv1d", direct, windows_once, "2 * outputs * in/groups * window; bias add is pointwise",
     Relation::convolution, CastPolicy::lower, WorkspaceRule::convolution},
    {"aten.conv2d", direct, windows_once, "2 * outputs * in/groups * window; bias add is pointwise",
     Relation::convolution, CastPolicy::lower, WorkspaceRule::convolution},
    {"aten.conv3d", direct, windows_once, "2 * outputs * in/groups * window; bias add is pointwise",
     Relation::convolution, CastPolicy::lower, WorkspaceRule::convolution},
    {"aten.convolution", either, windows_once, "as conv, or as conv_transpose when transposed",
     Relation::convolution, CastPolicy::lower, WorkspaceRule::convolution},
    {"aten._convolution", either, windows_once, "as conv, or as conv_transpose when transposed",
     CastPolicy::lower, WorkspaceRule::convolution},
    {"aten._convolution_mode", direct, windows_once, "as conv; padding given in words", CastPolicy::lower,
     WorkspaceRule::convolution},
    {"aten.cudnn_convolution", direct, windows_once, "as conv", WorkspaceRule::convolution},
    {"aten.mkldnn_convolution", direct, windows_once, "as conv", WorkspaceRule::convolution},
    {"aten.conv_transpose1d", transposed, operands_once, "2 * inputs * out/groups * window",
     CastPolicy::lower, WorkspaceRule::convolution},
    {"aten.conv_transpose2d", transposed, operands_once, "2 * inputs * out/groups * window",
     CastPolicy::lower, WorkspaceRule::convolution},
    {"aten.conv_transpose3d", transposed, operands_once, "2 * inputs * out/groups * window",
     CastPolicy::lower, WorkspaceRule::convolution},
    {"torchvision.deform_conv2d", deformed, deformed_once, "as conv2d; 7 per sampled element, 8 with a mask",
     CastPolicy::restored},
    {"aten.convolution_overrideable", either, windows_once, "as convolution", WorkspaceRule::convolution},
    {"aten.conv_tbc", time_first, operands_once, "2 * outputs * in * window; bias add is pointwise",
     CastPolicy::lower, WorkspaceRule::convolution},
    {"aten.thnn_conv2d", direct, windows_once, "as conv", WorkspaceRule::convolution},
    {"aten._slow_conv2d_forward", direct, windows_once, "as conv", WorkspaceRule::convolution},
    {"aten.slow_conv3d", direct, windows_once, "as conv", WorkspaceRule::convolution},
    {"aten.slow_conv3d_forward", direct, windows_once, "as conv", WorkspaceRule::convolution},
    {"aten.slow_conv_dilated2d", direct, windows_once, "as conv", WorkspaceRule::convolution},
    {"aten.slow_conv_dilated3d", direct, windows_once, "as conv", WorkspaceRule::convolution},
    {"aten.slow_conv_transpose2d", transposed, operands_once, "as conv_transpose",
     WorkspaceRule::convolution},
    {"aten.slow_conv_transpose3d", transposed, operands_once, "as conv_transpose",
     WorkspaceRule::convolution},
    {"aten._conv_depthwise2d", depthwise, windows_once, "2 * outputs * window", WorkspaceRule::convolution},
    {"aten.conv_depthwise3d", depthwise, windows_once, "2 * outputs * window", WorkspaceRule::convolution},
    {"aten.cudnn_convolution_transpose", transposed, operands_once, "as conv_transpose",
     WorkspaceRule::convolution},
    {"aten.cudnn_convolution_relu", rectified, windows_once, "as conv, then 1 per result",
     WorkspaceRule::convolution},
    {"aten.cudnn_convolution_add_relu", rectified, windows_once, "as conv, then 2 per result",
     WorkspaceRule::convolution},
    {"aten.miopen_convolution", direct, windows_once, "as conv", WorkspaceRule::convolution},
    {"aten.miopen_convolution_relu", rectified, windows_once, "as conv, then 1 per result",
     WorkspaceRule::convolution},
    {"aten.miopen_convolution_add_relu", rectified, windows_once, "as conv, then 2 per result",
     WorkspaceRule::convolution},
    {"aten.miopen_convolution_transpose", transposed, operands_once, "as conv_transpose",
     WorkspaceRule::convolution},
    {"aten.miopen_depthwise_convolution", direct, windows_once, "as conv", WorkspaceRule::convolution},
};
constexpr auto kRows = op_rows(kTable, Untied("windows read neighbors"));

}  // namespace convolution_table
}  // namespace

std::span<const OpRule> convolution_rules() {
    return convolution_table::kRows;
}

}  // namespace infercost

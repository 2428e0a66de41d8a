// Backward of ops that select, pad, look up, pool and resample: gradients are scattered to the positions that
// the forward read, and added if positions overlap.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace backward_movement_table {

// The operand of the forward is an argument only for its shape.
void spread_bytes(const Call& call, Work& work) {
    const TensorIndex shape_only = call.tensor("self");
    call.for_each_input([&](TensorIndex t) {
        if (t != shape_only) call.read(work, t);
    });
    write_all(call, work);
}
constexpr TrafficShape spreads{spread_bytes, never};

// N operations for each element of the gradient.
template <int N>
constexpr WorkShape spread = per_input<N, WorkKind::scatter>;

// A share of the gradient is added to every element of the window: 1 per element.
template <int kAxes>
void window_backward(const Call& call, Work& work) {
    const List<Expr> kernel = call.integers("kernel_size");
    Expr window = 1;
    for (int axis = 0; axis < kAxes; ++axis) {
        window = window * kernel.at(kernel.size() == 1 ? 0 : static_cast<std::size_t>(axis));
    }
    work.kind = WorkKind::pooling;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.first_operand()) * (window + 1);
}

// The windows do not overlap: each element receives one share.
void adaptive_backward(const Call& call, Work& work) {
    work.kind = WorkKind::pooling;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.first_operand()) + call.numel(call.output());
}

// Each gradient is added to its neighbors: one product and one addition each.
template <int kNeighbors>
constexpr WorkShape resample_backward = per_input<2 * kNeighbors, WorkKind::pooling>;

// Input: 2 per neighbor. Grid: neighbor times gradient, then one product and one addition per axis. All
// channels share positions and weights, which are not counted.
template <int kAxes>
void grid_backward(const Call& call, Work& work) {
    const Expr mode = call.integer("interpolation_mode", 0);
    const List<Expr> mask = call.integers("output_mask");
    const auto want = [&](std::size_t i) { return i >= mask.size() || !(mask[i] == Expr(0)); };
    const bool nearest = mode == Expr(1);
    const int linear = kAxes == 2 ? 4 : 8;
    const int neighbors = mode == Expr(2) ? 16 : linear;
    int each = 0;
    if (want(0)) each += nearest ? 1 : 2 * neighbors;
    if (want(1) && !nearest) each += neighbors * (1 + 2 * kAxes);
    work.kind = WorkKind::scatter;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.first_operand()) * each;
}

// Every row of a bag's gradient is added to all members of the bag: divided by their number for a mean, and
// of a maximum to one member for each feature.
void bag_backward(const Call& call, Work& work) {
    const Expr mode = call.integer("mode", 0);
    const TensorIndex grad = call.first_operand();
    const Expr rows = mode == Expr(2) ? call.dim(grad, 0) : call.numel(call.require_tensor("indices"));
    const int weighted = call.has("per_sample_weights") ? 1 : 0;
    work.kind = WorkKind::scatter;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = rows * call.dim(grad, -1) * ((mode == Expr(1) ? 2 : 1) + weighted);
}

// Subtract, multiply and add for each pair and feature.
void distance_backward(const Call& call, Work& work) {
    work.kind = WorkKind::reduction;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.first_operand()) * call.dim(call.require_tensor("x1"), -1) * 3;
}

// The difference of each pair and feature, times a factor, is added to one point and subtracted from the
// other.
void own_distance_backward(const Call& call, Work& work) {
    work.kind = WorkKind::reduction;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.first_operand()) * call.dim(call.require_tensor("self"), -1) * 4;
}

constexpr WorkShape kCopy = moves<WorkKind::copy>;
constexpr std::string_view kPlaced = "moves bytes: zeros, and the gradient at its place";
constexpr std::string_view kAdded = "1 per element of the gradient: added at its place";
constexpr std::string_view kNeighbors = "2 per element of the gradient and neighbor: product, addition";
constexpr std::string_view kWindow = "window size + 1 per element of the gradient";
constexpr std::string_view kBag =
    "1 per index and feature: added at its place; 1 more for a mean, 1 more with weights of samples";
constexpr std::string_view kAdaptive = "1 per element of the gradient and of the result";

constexpr OpRule kTable[] = {
    {"aten.slice_backward", kCopy, spreads, kPlaced, Relation::placed},
    {"aten.select_backward", kCopy, spreads, kPlaced, Relation::placed_one},
    {"aten.diagonal_backward", kCopy, spreads, kPlaced},
    {"aten.unfold_backward", spread<1>, spreads, kAdded},
    {"aten.reflection_pad1d_backward", spread<1>, spreads, kAdded},
    {"aten.reflection_pad2d_backward", spread<1>, spreads, kAdded},
    {"aten.reflection_pad3d_backward", spread<1>, spreads, kAdded},
    {"aten.replication_pad1d_backward", spread<1>, spreads, kAdded},
    {"aten.replication_pad2d_backward", spread<1>, spreads, kAdded},
    {"aten.replication_pad3d_backward", spread<1>, spreads, kAdded},
    {"aten.embedding_dense_backward", spread<1>, spreads, kAdded, Relation::embedding_backward},
    {"aten._embedding_bag_dense_backward", bag_backward, spreads, kBag},
    {"aten._embedding_bag_backward", bag_backward, spreads, kBag},
    {"aten.max_pool2d_with_indices_backward", spread<1>, spreads, kAdded},
    {"aten.max_pool3d_with_indices_backward", spread<1>, spreads, kAdded},
    {"aten.fractional_max_pool2d_backward", spread<1>, spreads, kAdded},
    {"aten.fractional_max_pool3d_backward", spread<1>, spreads, kAdded},
    {"aten.adaptive_max_pool2d_backward", spread<1>, spreads, kAdded, LoopTrait::adaptive_pool},
    {"aten.adaptive_max_pool3d_backward", spread<1>, spreads, kAdded, LoopTrait::adaptive_pool},
    {"aten.avg_pool2d_backward", window_backward<2>, spreads, kWindow},
    {"aten.avg_pool3d_backward", window_backward<3>, spreads, kWindow},
    {"aten._adaptive_avg_pool2d_backward", adaptive_backward, spreads, kAdaptive, LoopTrait::adaptive_pool},
    {"aten._adaptive_avg_pool3d_backward", adaptive_backward, spreads, kAdaptive, LoopTrait::adaptive_pool},
    {"aten.upsample_nearest1d_backward", spread<1>, spreads, kAdded},
    {"aten.upsample_nearest2d_backward", spread<1>, spreads, kAdded},
    {"aten.upsample_nearest3d_backward", spread<1>, spreads, kAdded},
    {"aten._upsample_nearest_exact1d_backward", spread<1>, spreads, kAdded},
    {"aten._upsample_nearest_exact2d_backward", spread<1>, spreads, kAdded},
    {"aten._upsample_nearest_exact3d_backward", spread<1>, spreads, kAdded},
    {"aten.upsample_linear1d_backward", resample_backward<2>, spreads, kNeighbors},
    {"aten.upsample_bilinear2d_backward", resample_backward<4>, spreads, kNeighbors},
    {"aten.upsample_trilinear3d_backward", resample_backward<8>, spreads, kNeighbors},
    {"aten.upsample_bicubic2d_backward", resample_backward<16>, spreads, kNeighbors},
    {"aten._upsample_bilinear2d_aa_backward", resample_backward<4>, spreads, kNeighbors},
    {"aten._upsample_bicubic2d_aa_backward", resample_backward<16>, spreads, kNeighbors},
    {"aten.grid_sampler_2d_backward", grid_backward<2>, spreads,
     "2 per neighbor for the input, 5 for the grid"},
    {"aten.grid_sampler_3d_backward", grid_backward<3>, spreads,
     "2 per neighbor for the input, 7 for the grid"},
    {"aten._cdist_backward", distance_backward, spreads, "3 per pair and feature: subtract, multiply, add"},
    {"aten._pdist_backward", own_distance_backward, stream_all,
     "4 per pair and feature: subtract, multiply, add, subtract"},
};
constexpr auto kRows =
    op_rows(kTable, Untied("an element of the result is a sum of elements at several places"));

}  // namespace backward_movement_table
}  // namespace

std::span<const OpRule> backward_movement_rules() {
    return backward_movement_table::kRows;
}

}  // namespace infercost

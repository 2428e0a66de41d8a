// Normalizations and softmax. Counts are per element, one per elementary operation of the definition.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace normalization_table {

void normalize(const Call& call, Work& work, int per_element) {
    work.kind = WorkKind::normalization;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.first_operand()) * per_element;
}

// The last `count` axes are normalized together.
void set_rows(const Call& call, Work& work, int count) {
    const TensorIndex self = call.first_operand();
    Expr rows = 1;
    Expr length = 1;
    for (int axis = 0; axis < call.rank(self); ++axis) {
        Expr& side = axis < call.rank(self) - count ? rows : length;
        side *= call.dim(self, axis);
    }
    work.dims.m = rows;
    work.dims.n = length;
}

int affine(const Call& call) {
    return (call.has("weight") ? 1 : 0) + (call.has("bias") ? 1 : 0);
}

// mean: 1; variance: subtract, square, add; then scale, and weight and bias if given
void layer_norm(const Call& call, Work& work) {
    normalize(call, work, 5 + affine(call));
    set_rows(call, work, static_cast<int>(call.integers("normalized_shape").size()));
}

// The channels of a group and all positions are normalized together.
void group_norm(const Call& call, Work& work) {
    normalize(call, work, 5 + affine(call));
    const TensorIndex self = call.first_operand();
    if (call.rank(self) < 2) return;
    const Expr groups = call.integer(call.has("num_groups") ? "num_groups" : "group", 1);
    work.dims.m = call.dim(self, 0) * groups;
    work.dims.n = call.dim(self, 1) / groups;
    for (int axis = 2; axis < call.rank(self); ++axis) work.dims.n *= call.dim(self, axis);
}
// square, add; then scale, and weight if given
void rms_norm(const Call& call, Work& work) {
    normalize(call, work, 3 + affine(call));
    set_rows(call, work, static_cast<int>(call.integers("normalized_shape").size()));
}

// Statistics are constants at inference: one multiply and one add per element.
void batch_norm(const Call& call, Work& work) {
    const bool training = call.flag("training", false) || call.flag("train", false);
    normalize(call, work, training ? 5 + affine(call) : 2);
}

void batch_norm_training(const Call& call, Work& work) {
    normalize(call, work, 5 + affine(call));
}

// The norm of each slice, then one factor for the whole slice.
void weight_norm(const Call& call, Work& work) {
    normalize(call, work, 3);
}

void softmax(const Call& call, Work& work) {
    per_output<5, WorkKind::softmax>(call, work);
    const TensorIndex self = call.first_operand();
    const Expr axis = call.integer("dim", -1);
    if (!axis.is_constant() || call.rank(self) == 0) return;
    const auto along =
        static_cast<int>(axis.constant() < 0 ? axis.constant() + call.rank(self) : axis.constant());
    work.dims.m = 1;
    work.dims.n = call.dim(self, along);
    for (int i = 0; i < call.rank(self); ++i) {
        if (i != along) work.dims.m *= call.dim(self, i);
    }
}

// 5 as in softmax, plus a selection by the mask.
void masked_softmax(const Call& call, Work& work) {
    work.kind = WorkKind::softmax;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.output()) * (call.has("mask") ? 6 : 5);
}

constexpr OpRule kTable[] = {
    {"aten.batch_norm", batch_norm, stream_all,
     "2 per element (folded scale and shift); as layer_norm in training", LoopTrait::batch_norm,
     Relation::channel_norm, WorkspaceRule::batch_norm},
    {"aten.native_batch_norm", batch_norm, stream_all,
     "2 per element (folded scale and shift); as layer_norm in training", LoopTrait::batch_norm},
    {"aten._native_batch_norm_legit", batch_norm, stream_all, "2 per element; as layer_norm in training",
     LoopTrait::batch_norm},
    {"aten._native_batch_norm_legit_no_training", batch_norm, stream_all, "2 per element",
     LoopTrait::batch_norm},
    {"aten._batch_norm_no_update", batch_norm, stream_all, "2 per element", LoopTrait::batch_norm},
    {"aten.cudnn_batch_norm", batch_norm, stream_all, "2 per element; as layer_norm in training",
     LoopTrait::batch_norm},
    {"aten.layer_norm", layer_norm, stream_all, "5 per element, and 1 each for weight and bias",
     Relation::row_norm, CastPolicy::full, WorkspaceRule::layer_norm, LoopCost{SlowLoop::row, 1.0},
     LibraryTrait::contiguous_rows},
    {"aten.native_layer_norm", layer_norm, stream_all, "5 per element, and 1 each for weight and bias",
     Relation::row_norm, CastPolicy::full, WorkspaceRule::contiguous_operand, LoopCost{SlowLoop::row, 1.0},
     LibraryTrait::contiguous_rows},
    {"timm.fast_group_norm", group_norm, stream_all, "as aten.group_norm; autocast leaves it narrow",
     LoopTrait::group_norm, CastPolicy::lower, WorkspaceRule::group_norm, LoopCost{SlowLoop::row, 1.0}},
    {"aten.group_norm", group_norm, stream_all, "5 per element, and 1 each for weight and bias",
     LoopTrait::group_norm, Relation::group_norm, CastPolicy::full, WorkspaceRule::group_norm,
     LoopCost{SlowLoop::row, 1.0}},
    {"aten.native_group_norm", group_norm, stream_all, "5 per element, and 1 each for weight and bias",
     LoopTrait::group_norm, Relation::group_norm, CastPolicy::full, LoopCost{SlowLoop::row, 1.0}},
    {"aten.instance_norm", layer_norm, stream_all, "5 per element, and 1 each for weight and bias",
     LoopTrait::instance_norm, LoopCost{SlowLoop::row, 1.0}},
    {"aten.rms_norm", rms_norm, stream_all, "4 per element with weight, 3 without", Relation::row_norm,
     CastPolicy::full, WorkspaceRule::rms_norm, LoopCost{SlowLoop::row, 1.0}},
    {"aten._fused_rms_norm", rms_norm, stream_all, "4 per element with weight, 3 without", Relation::row_norm,
     CastPolicy::full, LoopCost{SlowLoop::row, 1.0}},
    {"aten.softmax", softmax, stream_all, "5 per element: max, subtract, exp, sum, divide", Relation::along,
     CastPolicy::full_softmax, WorkspaceRule::contiguous_operand, LoopCost{SlowLoop::softmax, 1.0},
     LibraryTrait::contiguous_rows},
    {"aten._softmax", softmax, stream_all, "5 per element: max, subtract, exp, sum, divide", Relation::along,
     CastPolicy::full_softmax, WorkspaceRule::contiguous_operand, LoopCost{SlowLoop::softmax, 1.0},
     LibraryTrait::contiguous_rows},
    {"aten._safe_softmax", softmax, stream_all, "5 per element: max, subtract, exp, sum, divide",
     Relation::along, WorkspaceRule::contiguous_operand, LoopCost{SlowLoop::softmax, 1.0}},
    {"aten.log_softmax", softmax, stream_all, "5 per element: max, subtract, exp, sum, subtract",
     Relation::along, CastPolicy::full_softmax, WorkspaceRule::contiguous_operand,
     LoopCost{SlowLoop::softmax, 1.0}, LibraryTrait::contiguous_rows},
    {"aten._log_softmax", softmax, stream_all, "5 per element: max, subtract, exp, sum, subtract",
     Relation::along, CastPolicy::full_softmax, WorkspaceRule::contiguous_operand,
     LibraryTrait::contiguous_rows},
    {"aten._masked_softmax", masked_softmax, stream_all, "5 per element, and 1 for the mask"},
    {"aten.special_softmax", softmax, stream_all, "5 per element: max, subtract, exp, sum, divide"},
    {"aten.special_log_softmax", softmax, stream_all, "5 per element: max, subtract, exp, sum, subtract"},
    {"aten._batch_norm_impl_index", batch_norm, stream_all, "2 per element; as layer_norm in training",
     LoopTrait::batch_norm},
    {"aten._batch_norm_with_update", batch_norm_training, stream_all, "as layer_norm",
     LoopTrait::batch_norm_update},
    {"aten._batch_norm_with_update_functional", batch_norm_training, stream_all, "as layer_norm",
     LoopTrait::batch_norm_update},
    {"aten._native_batch_norm_legit_functional", batch_norm, stream_all,
     "2 per element; as layer_norm in training", LoopTrait::batch_norm},
    {"aten.miopen_batch_norm", batch_norm, stream_all, "2 per element; as layer_norm in training",
     LoopTrait::batch_norm},
    {"aten._weight_norm", weight_norm, stream_all, "3 per element: square, add, scale"},
    {"aten._weight_norm_interface", weight_norm, stream_all, "3 per element: square, add, scale"},
    {"aten.renorm", weight_norm, stream_all, "3 per element: power, add, scale", CastPolicy::full},
};
constexpr auto kRows = op_rows(kTable, Untied("statistics are of whole rows, groups or channels"));

}  // namespace normalization_table
}  // namespace

std::span<const OpRule> normalization_rules() {
    return normalization_table::kRows;
}

}  // namespace infercost

// Views, copies and casts. These ops compute nothing; their rows determine whether bytes move.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace movement_table {

// reshape, flatten and similar ops are views if strides allow it.
bool reshape_aliases(const Call& call) {
    return is_viewable(call, call.first_operand(), call.shape(call.output()));
}

// contiguous and conversions return their operand if it already has the requested layout. The stride of a
// dimension of length 1 is unused and may have any value.
bool already_in_layout(const Call& call) {
    const List<Expr> lengths = call.shape(call.output());
    const List<Expr> have = call.strides(call.first_operand());
    const List<Expr> want = call.strides(call.output());
    if (have.size() != want.size()) return false;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
        if (!(lengths[i] == Expr(1)) && !(have[i] == want[i])) return false;
    }
    return true;
}
bool already_converted(const Call& call) {
    return call.stored_dtype(call.first_operand()) == call.stored_dtype(call.output()) &&
           !call.flag("copy", false) && already_in_layout(call);
}

void copy(const Call& call, Work& work) {
    const TensorIndex source = call.first_operand();
    call.read(work, source);
    call.write(work, call.output());
}

template <bool (*kAliases)(const Call&)>
void copy_unless(const Call& call, Work& work) {
    if (!kAliases(call)) copy(call, work);
}
template <bool (*kAliases)(const Call&)>
void copies_unless(const Call& call, Work& work) {
    work.kind = kAliases(call) ? WorkKind::free : WorkKind::copy;
}
template <bool (*kAliases)(const Call&)>
constexpr TrafficShape view_if{copy_unless<kAliases>, kAliases};

// destination.copy_(source): the destination is written without a read.
void overwrite(const Call& call, Work& work) {
    call.read(work, call.require_tensor("src"));
    call.write(work, call.output());
}

// Results are parts of the operand: bytes read equal bytes written.
void part(const Call& call, Work& work) {
    call.read(work, call.first_operand(),
              Expr::minimum(call.distinct(call.first_operand()), call.numel(call.output())));
    write_all(call, work);
}

constexpr TrafficShape copies{copy, in_place_only};
constexpr TrafficShape copies_part{part, in_place_only};
constexpr TrafficShape overwrites{overwrite, always};

constexpr WorkShape kReshape = copies_unless<reshape_aliases>;
constexpr WorkShape kLayout = copies_unless<already_in_layout>;
constexpr WorkShape kConvert = copies_unless<already_converted>;
constexpr WorkShape kCopy = moves<WorkKind::copy>;

constexpr std::string_view kView = "metadata only";
constexpr std::string_view kMaybe = "metadata only where strides allow, else a copy";
constexpr std::string_view kMoves = "moves bytes";

constexpr OpRule kTable[] = {
    {"aten.view", no_work, view_of_first, kView, Relation::regroup},
    {"aten._unsafe_view", no_work, view_of_first, kView, Relation::regroup},
    {"aten.view_as", no_work, view_of_first, kView, Relation::regroup},
    {"aten.view_as_real", no_work, view_of_first, kView, Relation::to_pairs},
    {"aten.view_as_complex", no_work, view_of_first, kView, Relation::to_complex},
    {"aten._reshape_alias", no_work, view_of_first, kView, Relation::regroup},
    {"aten.as_strided", no_work, view_of_first, kView},
    {"aten.alias", no_work, view_of_first, kView, Relation::like_first},
    {"pyinfercost.python_call", no_work, view_of_first,
     "a view; Python code that takes the host as long as calls of `operators`"},
    {"aten.detach", no_work, view_of_first, kView, Relation::like_first},
    {"aten.lift_fresh", no_work, view_of_first, kView, Relation::like_first},
    {"aten.lift_fresh_copy", kCopy, copies, kMoves, Relation::like_first},
    {"aten.transpose", no_work, view_of_first, kView, Relation::swap_dims},
    {"aten.t", no_work, view_of_first, kView, Relation::swap_last},
    {"aten.numpy_T", no_work, view_of_first, kView, Relation::swap_last},
    {"aten.mT", no_work, view_of_first, kView, Relation::swap_last},
    {"aten.permute", no_work, view_of_first, kView, Relation::permute},
    {"aten.movedim", no_work, view_of_first, kView},
    {"aten.moveaxis", no_work, view_of_first, kView},
    {"aten.swapaxes", no_work, view_of_first, kView, Relation::swap_axes},
    {"aten.swapdims", no_work, view_of_first, kView, Relation::swap_dims},
    {"aten.select", no_work, view_of_first, kView, Relation::take_out},
    {"aten.slice", no_work, view_of_first, kView, Relation::cut},
    {"aten.narrow", no_work, view_of_first, kView, Relation::cut},
    {"aten.diagonal", no_work, view_of_first, kView},
    {"aten.unfold", no_work, view_of_first, kView},
    {"aten.expand", no_work, view_of_first, kView, Relation::expand},
    {"aten.expand_as", no_work, view_of_first, kView, Relation::expand},
    {"aten.broadcast_to", no_work, view_of_first, kView, Relation::expand},
    {"aten.unsqueeze", no_work, view_of_first, kView, Relation::unsqueeze},
    {"aten.squeeze", no_work, view_of_first, kView, Relation::squeeze},
    {"aten.unflatten", no_work, view_of_first, kView, Relation::regroup},
    {"aten.split", no_work, view_of_first, kView, Relation::split},
    {"aten.split_with_sizes", no_work, view_of_first, kView, Relation::split},
    {"aten.chunk", no_work, view_of_first, kView, Relation::split},
    {"aten.tensor_split", no_work, view_of_first, kView, Relation::split},
    {"aten.unbind", no_work, view_of_first, kView, Relation::take_out},
    {"aten.real", no_work, view_of_first, kView, Relation::like_first},
    {"aten.imag", no_work, view_of_first, kView, Relation::like_first},
    {"aten.conj", no_work, view_of_first, kView, Relation::like_first},
    {"aten._conj", no_work, view_of_first, kView, Relation::like_first},
    {"aten.reshape", kReshape, view_if<reshape_aliases>, kMaybe, Relation::regroup},
    {"aten.reshape_as", kReshape, view_if<reshape_aliases>, kMaybe, Relation::regroup},
    {"aten.flatten", kReshape, view_if<reshape_aliases>, kMaybe, Relation::regroup},
    {"aten.ravel", kReshape, view_if<reshape_aliases>, kMaybe, Relation::regroup},
    {"aten.contiguous", kLayout, view_if<already_in_layout>, kMaybe, Relation::like_first},
    {"aten.to", kConvert, view_if<already_converted>, "a copy unless dtype and layout are already right",
     Relation::like_first},
    {"aten.type_as", kConvert, view_if<already_converted>, "a copy unless dtype and layout are already right",
     Relation::like_first},
    {"aten._to_copy", kConvert, view_if<already_converted>,
     "a cast; nothing where the precision makes it one dtype", Relation::like_first},
    {"aten.clone", kCopy, copies, kMoves, Relation::like_first},
    {"aten.copy", kCopy, stream_all, kMoves, Relation::elements, PartialSum::copies},
    {"aten.copy_", kCopy, overwrites, "reads the source, writes the destination", Relation::elements,
     PartialSum::copies},
    {"aten.cat", kCopy, stream_all, kMoves, Relation::concatenate},
    {"aten.concat", kCopy, stream_all, kMoves, Relation::concatenate},
    {"aten.concatenate", kCopy, stream_all, kMoves, Relation::concatenate},
    {"aten.stack", kCopy, stream_all, kMoves, Relation::stack},
    {"aten.hstack", kCopy, stream_all, kMoves},
    {"aten.vstack", kCopy, stream_all, kMoves},
    {"aten.pad", kCopy, copies, kMoves, Relation::pad},
    {"aten.constant_pad_nd", kCopy, copies, kMoves, Relation::pad},
    {"aten.reflection_pad1d", kCopy, copies, kMoves},
    {"aten.reflection_pad2d", kCopy, copies, kMoves},
    {"aten.replication_pad1d", kCopy, copies, kMoves},
    {"aten.replication_pad2d", kCopy, copies, kMoves},
    {"aten.roll", kCopy, copies, kMoves, Relation::along_dims, WorkspaceRule::roll},
    {"aten.flip", kCopy, copies, kMoves, Relation::along_dims},
    {"aten.rot90", kCopy, copies, kMoves},
    {"aten.repeat", kCopy, copies, kMoves, Relation::repeat},
    {"aten.tile", kCopy, copies, kMoves, Relation::repeat},
    {"aten.repeat_interleave", kCopy, copies, kMoves, Relation::repeat_each},
    {"aten.channel_shuffle", kCopy, copies, kMoves},
    {"aten.pixel_shuffle", kCopy, copies, kMoves},
    {"aten.pixel_unshuffle", kCopy, copies, kMoves},
    {"aten.im2col", kCopy, copies, kMoves, WorkspaceRule::like_operand},
    {"aten.col2im", per_input<1, WorkKind::scatter>, stream_all, "1 per element read: overlaps are added"},
    {"aten.tril", kCopy, copies_part, kMoves, Relation::triangle},
    {"aten.triu", kCopy, copies_part, kMoves, Relation::triangle},
    {"aten.complex", kCopy, stream_all, kMoves, Relation::elements},
    {"aten.unsafe_split", no_work, view_of_first, kView, Relation::split},
    {"aten.unsafe_split_with_sizes", no_work, view_of_first, kView, Relation::split},
    {"aten.unsafe_chunk", no_work, view_of_first, kView, Relation::split},
    {"aten.hsplit", no_work, view_of_first, kView},
    {"aten.vsplit", no_work, view_of_first, kView},
    {"aten.dsplit", no_work, view_of_first, kView},
    {"aten.positive", no_work, view_of_first, kView, Relation::like_first},
    {"aten.resolve_conj", no_work, view_of_first, kView},
    {"aten.resolve_neg", no_work, view_of_first, kView},
    {"aten.lift", no_work, view_of_first, kView},
    {"aten.matrix_H", no_work, view_of_first, kView},
    {"aten.mH", no_work, view_of_first, kView},
    {"aten.adjoint", no_work, view_of_first, kView},
    {"aten.linalg_diagonal", no_work, view_of_first, kView},
    {"aten._neg_view", no_work, view_of_first, kView},
    {"aten.set_", no_work, view_of_first, kView},
    {"aten.pin_memory", no_work, view_of_first, kView},
    {"aten._pin_memory", no_work, view_of_first, kView},
    {"aten.atleast_1d", no_work, view_of_each, kView},
    {"aten.atleast_2d", no_work, view_of_each, kView},
    {"aten.atleast_3d", no_work, view_of_each, kView},
    {"aten.meshgrid", no_work, view_of_each, "metadata only: each result is a view of its own operand"},
    {"aten.broadcast_tensors", no_work, view_of_each,
     "metadata only: each result is a view of its own operand"},
    {"aten.alias_copy", kCopy, copies_part, kMoves},
    {"aten.as_strided_copy", kCopy, copies_part, kMoves},
    {"aten.detach_copy", kCopy, copies_part, kMoves},
    {"aten.diagonal_copy", kCopy, copies_part, kMoves},
    {"aten.expand_copy", kCopy, copies_part, kMoves, Relation::expand},
    {"aten.permute_copy", kCopy, copies_part, kMoves, Relation::permute},
    {"aten.select_copy", kCopy, copies_part, kMoves, Relation::take_out},
    {"aten.slice_copy", kCopy, copies_part, kMoves, Relation::cut},
    {"aten.split_copy", kCopy, copies_part, kMoves},
    {"aten.split_with_sizes_copy", kCopy, copies_part, kMoves},
    {"aten.squeeze_copy", kCopy, copies_part, kMoves, Relation::squeeze},
    {"aten.t_copy", kCopy, copies_part, kMoves, Relation::swap_last},
    {"aten.transpose_copy", kCopy, copies_part, kMoves, Relation::swap_dims},
    {"aten.unbind_copy", kCopy, copies_part, kMoves, Relation::take_out},
    {"aten.unfold_copy", kCopy, copies_part, kMoves},
    {"aten.unsqueeze_copy", kCopy, copies_part, kMoves, Relation::unsqueeze},
    {"aten.view_copy", kCopy, copies_part, kMoves, Relation::regroup},
    {"aten.view_as_real_copy", kCopy, copies_part, kMoves},
    {"aten.view_as_complex_copy", kCopy, copies_part, kMoves},
    {"aten._conj_copy", kCopy, copies_part, kMoves},
    {"aten._neg_view_copy", kCopy, copies_part, kMoves},
    {"aten._reshape_alias_copy", kCopy, copies_part, kMoves},
    {"aten.narrow_copy", kCopy, copies_part, kMoves, Relation::cut},
    {"aten.diag", kCopy, copies_part, kMoves},
    {"aten.fliplr", kCopy, copies_part, kMoves},
    {"aten.flipud", kCopy, copies_part, kMoves},
    {"aten.diag_embed", kCopy, stream_all, kMoves},
    {"aten.diagflat", kCopy, stream_all, kMoves},
    {"aten.block_diag", kCopy, stream_all, kMoves},
    {"aten.column_stack", kCopy, stream_all, kMoves},
    {"aten.dstack", kCopy, stream_all, kMoves},
    {"aten.row_stack", kCopy, stream_all, kMoves},
    {"aten._stack", kCopy, stream_all, kMoves},
    {"aten._chunk_cat", kCopy, stream_all, kMoves},
    {"aten.pad_sequence", kCopy, stream_all, kMoves},
    {"aten.cartesian_prod", kCopy, stream_all, kMoves},
    {"aten.combinations", kCopy, stream_all, kMoves},
    {"aten._pack_padded_sequence", kCopy, stream_all, kMoves},
    {"aten._pad_packed_sequence", kCopy, stream_all, kMoves},
    {"aten.native_channel_shuffle", kCopy, stream_all, kMoves},
    {"aten.vander", kCopy, stream_all, kMoves},
    {"aten.linalg_vander", kCopy, stream_all, kMoves},
    {"aten.reflection_pad3d", kCopy, copies, kMoves},
    {"aten.replication_pad3d", kCopy, copies, kMoves},
    {"aten._pad_enum", kCopy, copies, kMoves},
    {"aten._pad_circular", kCopy, copies, kMoves},
};
constexpr auto kRows = op_rows(kTable, Untied("elements move across axes"));

}  // namespace movement_table
}  // namespace

std::span<const OpRule> movement_rules() {
    return movement_table::kRows;
}

}  // namespace infercost

// Classes of loops, by the conventions of torch's inductor: pooling and resampling are loops, a batch norm
// with constant statistics is pointwise, a norm or a softmax is a reduction whose result scales its rows.
#include <algorithm>

#include "lowering/loops.hpp"
#include "ops/rule.hpp"

namespace infercost {
namespace {

constexpr int kRankOfImages = 4;

// Whether each result is the mean or maximum of a whole plane of the operand.
bool pools_planes(const Call& call) {
    if (traits_of(call).loop != LoopTrait::adaptive_pool || call.rank(call.output()) < 3) return false;
    for (int axis = 2; axis < call.rank(call.output()); ++axis) {
        if (!(call.dim(call.output(), axis) == Expr(1))) return false;
    }
    return true;
}

// Whether the reduced axes are innermost, as captured or with channels last.
bool reduces_inner(const Call& call, bool channels_last) {
    const int rank = call.rank(call.first_operand());
    IndexedVector<std::int64_t, bool> reduced(rank, !call.has("dim"));
    for (const Expr& dim : call.integers("dim")) {
        if (!dim.is_constant()) return false;
        const std::int64_t axis = dim.constant() < 0 ? dim.constant() + rank : dim.constant();
        if (axis >= 0 && axis < rank) reduced[axis] = true;
    }
    if (std::all_of(reduced.begin(), reduced.end(), [](bool r) { return r; })) return true;
    if (rank == kRankOfImages && channels_last) return reduced[1];
    return reduced.back();
}

void classify_rows(Loop& loop, const Call& call, bool channels_last) {
    const TensorIndex input = call.first_operand();
    loop.kind = LoopClass::reduction;
    loop.uses = 2;
    const LoopTrait trait = traits_of(call).loop;
    if (trait == LoopTrait::batch_norm || trait == LoopTrait::batch_norm_update) {
        const bool training = call.flag("training", false) || call.flag("train", false) ||
                              trait == LoopTrait::batch_norm_update;
        if (!training) {
            loop.work.kind = WorkKind::pointwise;  // a scale and a shift
            loop.kind = LoopClass::pointwise;
            loop.uses = 1;
            return;
        }
        loop.length = ratio(call.numel(input), call.dim(input, 1));
        loop.inner = false;
    } else if (trait == LoopTrait::group_norm || trait == LoopTrait::instance_norm) {
        const Expr groups = trait == LoopTrait::group_norm
                                ? call.integer(call.has("num_groups") ? "num_groups" : "group", 1)
                                : call.dim(input, 1);
        loop.length = ratio(call.numel(input), call.dim(input, 0) * groups);
        loop.inner = call.rank(input) < kRankOfImages || (!channels_last && call.is_contiguous(input));
    } else if (const Expr& length = row_length(loop.work, loop.hints); !(length == Expr(0))) {
        loop.length = length;
    } else {
        loop.length = loop.results;
    }
    loop.results = ratio(loop.results, loop.length);
}

}  // namespace

void classify(Loop& loop, const Call& call, bool channels_last) {
    loop.results = call.numel(call.output());
    switch (loop.work.kind) {
        case WorkKind::pointwise:
            if (traits_of(call).loop == LoopTrait::reads_twice) loop.uses = 2;
            [[fallthrough]];
        case WorkKind::copy:
        case WorkKind::fill:
        case WorkKind::gather:
            loop.kind = LoopClass::pointwise;
            return;
        case WorkKind::scatter:
        case WorkKind::scan:
            loop.kind = LoopClass::closed;
            return;
        case WorkKind::pooling:
            loop.kind = LoopClass::window;
            if (pools_planes(call)) {
                loop.kind = LoopClass::reduction;
                loop.length = ratio(call.numel(call.first_operand()), loop.results);
                loop.inner = !channels_last;
            }
            return;
        case WorkKind::reduction:
            loop.kind = LoopClass::reduction;
            loop.length = ratio(call.numel(call.first_operand()), loop.results);
            loop.inner = reduces_inner(call, channels_last);
            return;
        case WorkKind::softmax:
        case WorkKind::normalization:
            classify_rows(loop, call, channels_last);
            return;
        default:
            return;
    }
}

}  // namespace infercost

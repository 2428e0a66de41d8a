#include "lowering/workspace.hpp"

#include <iterator>

#include "lowering/operand_copies.hpp"
#include "ops/shapes.hpp"

namespace infercost {
namespace {

constexpr std::int64_t kFloatBytes = 4;

// Channels vary fastest, as in `memory_format=torch.channels_last`.
bool is_channels_last(const Call& call, TensorIndex t) {
    const int rank = call.rank(t);
    if (rank < 4) return false;
    const List<Expr> lengths = call.shape(t);
    const List<Expr> steps = call.strides(t);
    Expr expected = 1;
    for (int axis : {1, 4, 3, 2, 0}) {
        if (axis >= rank) continue;
        if (!(lengths[axis] == Expr(1)) && !(steps[axis] == expected)) return false;
        expected = expected * lengths[axis];
    }
    return !call.is_contiguous(t);
}

// Two vectors with one entry per statistic.
Expr two_per(const Call& call, TensorIndex t, const Expr& statistics) {
    return call.bytes(t, statistics) * 2;
}

}  // namespace

Expr product_workspace(const Call& call) {
    Expr bytes;
    for (const OperandCopy& copy : product_copies(call)) bytes += copy.bytes;
    return bytes;
}
Expr contiguous_operand(const Call& call) {
    return copy_unless_contiguous(call, call.first_operand());
}
Expr like_operand(const Call& call) {
    return call.bytes(call.first_operand(), call.numel(call.first_operand()));
}
Expr like_result(const Call& call) {
    return call.bytes(call.output(), call.numel(call.output()));
}
Expr places_of_maxima(const Call& call) {
    return call.numel(call.output()) * 8;
}
Expr roll_workspace(const Call& call) {
    return call.integers("dims").size() > 1 ? like_result(call) : Expr(0);
}

Expr layer_norm_workspace(const Call& call) {
    const TensorIndex input = call.first_operand();
    Expr row = 1;
    for (const Expr& length : call.integers("normalized_shape")) row = row * length;
    return two_per(call, input, ratio(call.numel(input), row)) + copy_unless_contiguous(call, input);
}

Expr group_norm_workspace(const Call& call) {
    const TensorIndex input = call.first_operand();
    const Expr statistics = call.dim(input, 0) * call.integer("num_groups", 1);
    const Expr copy = is_channels_last(call, input) ? Expr(0) : copy_unless_contiguous(call, input);
    return two_per(call, input, statistics) + copy;
}

Expr batch_norm_workspace(const Call& call) {
    const TensorIndex input = call.first_operand();
    return call.rank(input) < 2 ? Expr(0) : two_per(call, input, call.dim(input, 1));
}

Expr rms_norm_workspace(const Call& call) {
    const TensorIndex input = call.first_operand();
    const Expr numbers = call.numel(input);
    Expr row = 1;
    for (const Expr& length : call.integers("normalized_shape")) row = row * length;
    const Expr rows = ratio(numbers, row) * kFloatBytes;
    if (bits_of(call.stored_dtype(input)) < 32) {  // computed in float32; the result is narrowed afterwards
        return numbers * kFloatBytes * 2 + rows * 2 - call.bytes(input, numbers);
    }
    return call.has("weight") ? call.bytes(input, numbers) + rows : rows * 2;
}

Expr interpolation_workspace(const Call& call) {
    const TensorIndex input = call.first_operand();
    const TensorIndex result = call.output();
    if (call.rank(input) != 4 || is_channels_last(call, input)) return {0};
    constexpr std::int64_t kSmall = 128;
    const Expr sides = call.dim(result, -1) + call.dim(result, -2);
    if (!sides.is_constant() || sides.constant() > kSmall) return {0};
    return like_operand(call) + like_result(call);
}

// torch's fused kernel multiplies blocks of queries by blocks of keys.
Expr attention_workspace(const Call& call) {
    const TensorIndex query = call.require_tensor("query");
    const TensorIndex key = call.require_tensor("key");
    const TensorIndex value = call.require_tensor("value");
    const TensorIndex mask = call.tensor("attn_mask");
    const Expr rows = call.dim(query, -2);
    const Expr columns = call.dim(key, -2);
    const Expr width = call.dim(query, -1);
    Expr batch = 1;
    for (int axis = 3; axis <= call.rank(query); ++axis) batch = batch * call.dim(call.output(), -axis);
    if (call.flag(kStoresNoScores, false)) return batch * rows * kFloatBytes;  // sums of the exponentials
    const bool boolean = mask != kNoTensor && call.stored_dtype(mask) == DType::boolean;
    Expr total;
    if (boolean) total += call.bytes(query, call.numel(mask));
    bool dense = true;
    for (const TensorIndex t : {query, key, value}) {
        dense = dense && (call.strides(t).back() == Expr(1) || call.dim(t, -1) == Expr(1));
    }
    // If the number of heads of keys and queries differs, keys are broadcast, unless the op is grouped-query
    // attention.
    bool same_heads = true;
    for (const TensorIndex t : {key, value}) {
        same_heads = same_heads &&
                     (call.rank(t) < 3 || call.rank(query) < 3 || call.dim(t, -3) == call.dim(query, -3));
    }
    // The same applies to queries or keys of fewer samples.
    const auto repeated = [&](TensorIndex t) {
        return call.rank(t) >= 4 && call.dim(t, -4) != call.dim(call.output(), -4);
    };
    const bool fused = !repeated(query) && !repeated(key) && (same_heads || call.flag("enable_gqa", false));
    if (call.rank(query) == 4 && dense && fused && width == call.dim(value, -1)) {
        // Blocks of 32 queries, 64 for at least 192, 256 for at least 768: a sum of steps, which also covers
        // open lengths.
        const auto from = [&](std::int64_t length) { return Expr::minimum(1, ratio(rows, length)); };
        const Expr block = Expr::minimum(rows, 32) + from(192) * 32 + from(768) * 192;
        const Expr keys = Expr::minimum(columns, 512);
        const bool narrow = bits_of(call.stored_dtype(query)) < 32;
        const Expr buffers =
            block * (keys + 2 + width) * kFloatBytes + (narrow ? call.bytes(query, block * keys) : Expr(0));
        return total + batch * rows * kFloatBytes + buffers * kWorkspaceThreads;
    }
    // First, queries and keys are scaled, and copied if their product needs it. Then the scores coexist with
    // their softmax, and with a boolean per score that marks minus infinity. Last comes the product with the
    // values.
    const Expr scores = batch * rows * columns;
    const Expr score_bytes = call.bytes(query, scores);
    if (call.flag("is_causal", false)) total += call.bytes(query, rows * columns);
    const auto copied = [&](TensorIndex t, const Expr& matrix) {
        return same_heads && !repeated(t) ? folding_copy(call, t, 2) : call.bytes(t, batch * matrix);
    };
    const Expr first = call.bytes(key, call.numel(key)) +
                       (repeated(query) ? copied(query, rows * width) : folding_copy(call, query, 2)) +
                       copied(key, columns * width) + score_bytes;
    const Expr second = score_bytes * 2 + scores + batch * rows;
    const Expr third = score_bytes + copied(value, call.dim(value, -1) * columns) + like_result(call);
    return total + like_operand(call) + Expr::maximum(first, Expr::maximum(second, third)) -
           like_result(call);
}

namespace {

// In the order of WorkspaceRule.
constexpr Workspace kWorkspaces[] = {nullptr,
                                     product_workspace,
                                     einsum_workspace,
                                     convolution_workspace,
                                     convolution_backward_workspace,
                                     recurrent_workspace,
                                     library_layer_workspace,
                                     attention_workspace,
                                     batch_norm_workspace,
                                     layer_norm_workspace,
                                     group_norm_workspace,
                                     rms_norm_workspace,
                                     interpolation_workspace,
                                     roll_workspace,
                                     contiguous_operand,
                                     places_of_maxima,
                                     like_operand,
                                     like_result};
static_assert(std::size(kWorkspaces) == static_cast<std::size_t>(WorkspaceRule::count_));

}  // namespace

Expr workspace_bytes(const Analyzer& analyzer, NodeIndex node) {
    if (analyzer.has_override(node)) return {0};
    const Call call = analyzer.call(node);
    const Workspace workspace = kWorkspaces[static_cast<std::size_t>(traits_of(call).workspace)];
    return workspace ? workspace(call) : Expr(0);
}

}  // namespace infercost

// Reductions, scans and sorts: one operation per input element, unless the row states otherwise.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace reduction_table {

template <int N>
constexpr WorkShape scan = per_input<N, WorkKind::scan>;
template <int N>
constexpr WorkShape sort = per_input<N, WorkKind::sort>;

void diagonal_sum(const Call& call, Work& work) {
    const TensorIndex self = call.first_operand();
    work.kind = WorkKind::reduction;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = Expr::minimum(call.dim(self, 0), call.dim(self, 1));
}

constexpr std::string_view kOne = "1 per element read";
constexpr std::string_view kNorm = "2 per element read: square, add";
constexpr std::string_view kSorted = "1 per element read; comparisons of the sort depend on the data";
constexpr std::string_view kVariance = "4 per element read: mean, then subtract, square, add";

constexpr OpRule kTable[] = {
    {"aten.sum", per_input<1>, stream_all, kOne, Relation::sum, PartialSum::sums, CastPolicy::full_result},
    {"aten.mean", per_input<1>, stream_all, "1 per element read; the division per result is not counted",
     Relation::statistic, PartialSum::sums},
    {"aten.nanmean", per_input<2>, stream_all, "2 per element read: compare, add"},
    {"aten.prod", per_input<1>, stream_all, kOne, Relation::extreme, CastPolicy::full_result},
    {"aten.max", per_input<1>, stream_all, kOne, Relation::extreme},
    {"aten.min", per_input<1>, stream_all, kOne, Relation::extreme},
    {"aten.amax", per_input<1>, stream_all, kOne, Relation::extreme},
    {"aten.amin", per_input<1>, stream_all, kOne, Relation::extreme},
    {"aten.aminmax", per_input<2>, stream_all, "2 per element read: min, max"},
    {"aten.argmax", per_input<1>, stream_all, kOne, Relation::extreme},
    {"aten.argmin", per_input<1>, stream_all, kOne, Relation::extreme},
    {"aten.any", per_input<1>, stream_all, kOne, Relation::extreme},
    {"aten.all", per_input<1>, stream_all, kOne, Relation::extreme},
    {"aten.count_nonzero", per_input<2>, stream_all, "2 per element read: compare, add"},
    {"aten.norm", per_input<2>, stream_all, "2 per element read: square, add", Relation::statistic,
     PartialSum::sums, CastPolicy::full_result},
    {"aten.linalg_vector_norm", per_input<2>, stream_all, "2 per element read: square, add",
     Relation::statistic, PartialSum::sums, CastPolicy::full_result},
    {"aten.var", per_input<4>, stream_all, kVariance, Relation::statistic, PartialSum::sums},
    {"aten.std", per_input<4>, stream_all, kVariance, Relation::statistic},
    {"aten.var_mean", per_input<4>, stream_all, kVariance, Relation::statistic, PartialSum::sums},
    {"aten.std_mean", per_input<4>, stream_all, kVariance},
    {"aten.logsumexp", per_input<4>, stream_all, "4 per element read: max, subtract, exp, add",
     Relation::extreme, CastPolicy::full, WorkspaceRule::like_operand},
    {"aten.cumsum", scan<1>, stream_all, kOne, Relation::along, CastPolicy::full_scan},
    {"aten.cumprod", scan<1>, stream_all, kOne, Relation::along, CastPolicy::full_scan},
    {"aten.cummax", scan<1>, stream_all, kOne},
    {"aten.cummin", scan<1>, stream_all, kOne},
    {"aten.logcumsumexp", scan<6>, stream_all, "6 per element read: max, subtract, exp, add, log, add"},
    {"aten.diff", per_output<1>, stream_all, "1 per element"},
    {"aten.topk", sort<1>, stream_all, "1 per element read; comparisons of the selection depend on the data",
     Relation::along_last},
    {"aten.sort", sort<1>, stream_all, "1 per element read; comparisons of the sort depend on the data",
     Relation::along_last},
    {"aten.argsort", sort<1>, stream_all, "1 per element read; comparisons of the sort depend on the data",
     Relation::along_last, WorkspaceRule::like_operand},
    {"aten.histc", sort<4>, stream_all, "4 per element read: subtract, scale, floor, add"},
    {"aten.bincount", sort<1>, stream_all, kOne},
    {"aten.nansum", per_input<2>, stream_all, "2 per element read: compare, add"},
    {"aten.special_logsumexp", per_input<4>, stream_all, "4 per element read: max, subtract, exp, add",
     WorkspaceRule::like_operand},
    {"aten.sum_to_size", per_input<1>, stream_all, kOne},
    {"aten._is_all_true", per_input<1>, stream_all, kOne},
    {"aten._is_any_true", per_input<1>, stream_all, kOne},
    {"aten.equal", per_input<2>, stream_all, "2 per element read: compare, and"},
    {"aten.allclose", per_input<7>, stream_all, "7 per element read: isclose, and"},
    {"aten._aminmax", per_input<2>, stream_all, "2 per element read: min, max"},
    {"aten.linalg_norm", per_input<2>, stream_all, kNorm},
    {"aten.linalg_matrix_norm", per_input<2>, stream_all, kNorm, CastPolicy::full_result},
    {"aten.linalg__powsum", per_input<2>, stream_all, kNorm},
    {"aten.frobenius_norm", per_input<2>, stream_all, kNorm, CastPolicy::full},
    {"aten.native_norm", per_input<2>, stream_all, kNorm},
    {"aten.norm_except_dim", per_input<2>, stream_all, kNorm},
    {"aten.segment_reduce", per_input<1>, stream_all, kOne},
    {"aten.trace", diagonal_sum, stream_all, "1 per element of the diagonal"},
    {"aten._logcumsumexp", scan<6>, stream_all, "6 per element read: max, subtract, exp, add, log, add"},
    {"aten.msort", sort<1>, stream_all, kSorted},
    {"aten.kthvalue", sort<1>, stream_all, kSorted},
    {"aten.median", sort<1>, stream_all, kSorted},
    {"aten.nanmedian", sort<1>, stream_all, kSorted},
    {"aten.mode", sort<1>, stream_all, kSorted},
    {"aten.quantile", sort<1>, stream_all, kSorted},
    {"aten.nanquantile", sort<1>, stream_all, kSorted},
    {"aten._unique", sort<1>, stream_all, kSorted},
    {"aten._unique2", sort<1>, stream_all, kSorted},
    {"aten.unique_dim", sort<1>, stream_all, kSorted},
    {"aten.unique_consecutive", sort<1>, stream_all, "1 per element read: compare with the one before"},
    {"aten.unique_dim_consecutive", sort<1>, stream_all, "1 per element read: compare with the one before"},
    {"aten.multinomial", sort<3>, stream_all, "3 per element read: draw, divide, compare"},
};
constexpr auto kRows = op_rows(kTable, Untied("a result depends on all elements"));

}  // namespace reduction_table
}  // namespace

std::span<const OpRule> reduction_rules() {
    return reduction_table::kRows;
}

}  // namespace infercost

// Ops that create tensors (allocations, fills, random numbers), and checks, which move no bytes.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace creation_table {

constexpr WorkShape kFill = moves<WorkKind::fill>;
constexpr std::string_view kFills = "writes only";

constexpr OpRule kTable[] = {
    {"aten.empty", no_work, no_traffic, "allocates only"},
    {"aten.empty_like", no_work, no_traffic, "allocates only"},
    {"aten.empty_strided", no_work, no_traffic, "allocates only"},
    {"aten.empty_permuted", no_work, no_traffic, "allocates only"},
    {"aten.new_empty", no_work, no_traffic, "allocates only"},
    {"aten.new_empty_strided", no_work, no_traffic, "allocates only"},
    {"aten.zeros", kFill, only_written, kFills},
    {"aten.zeros_like", kFill, only_written, kFills},
    {"aten.new_zeros", kFill, only_written, kFills},
    {"aten.ones", kFill, only_written, kFills},
    {"aten.ones_like", kFill, only_written, kFills},
    {"aten.new_ones", kFill, only_written, kFills},
    {"aten.full", kFill, only_written, kFills},
    {"aten.full_like", kFill, only_written, kFills},
    {"aten.new_full", kFill, only_written, kFills},
    {"aten.fill", kFill, only_written, kFills, Relation::like_first},
    {"aten.zero", kFill, only_written, kFills, Relation::like_first},
    {"aten.eye", kFill, only_written, kFills},
    {"aten.arange", kFill, only_written, kFills},
    {"aten.linspace", kFill, only_written, kFills},
    {"aten.scalar_tensor", kFill, only_written, kFills},
    {"aten.tril_indices", kFill, only_written, kFills},
    {"aten.triu_indices", kFill, only_written, kFills},
    {"aten.rand", kFill, only_written, kFills},
    {"aten.rand_like", kFill, only_written, kFills},
    {"aten.randn", kFill, only_written, kFills},
    {"aten.randn_like", kFill, only_written, kFills},
    {"aten.bernoulli", per_output<1>, stream_all, "1 per element"},
    {"aten.uniform", kFill, only_written, kFills},
    {"aten.normal_", kFill, only_written, kFills},
    {"aten._assert_async", no_work, no_traffic, "a check"},
    {"aten._assert_tensor_metadata", no_work, no_traffic, "a check"},
    {"aten._assert_scalar", no_work, no_traffic, "a check"},
    {"aten.logspace", kFill, only_written, kFills},
    {"aten.range", kFill, only_written, kFills},
    {"aten.randint", kFill, only_written, kFills},
    {"aten.randint_like", kFill, only_written, kFills},
    {"aten.randperm", kFill, only_written, kFills},
    {"aten.random", kFill, only_written, kFills},
    {"aten.normal_functional", kFill, only_written, kFills},
    {"aten.exponential", kFill, only_written, kFills},
    {"aten.cauchy", kFill, only_written, kFills},
    {"aten.geometric", kFill, only_written, kFills},
    {"aten.log_normal", kFill, only_written, kFills},
    {"aten._efficientzerotensor", kFill, only_written, kFills},
    {"aten.hann_window", kFill, only_written, kFills},
    {"aten.hamming_window", kFill, only_written, kFills},
    {"aten.bartlett_window", kFill, only_written, kFills},
    {"aten.blackman_window", kFill, only_written, kFills},
    {"aten.kaiser_window", kFill, only_written, kFills},
    {"aten._sobol_engine_draw", kFill, only_written, kFills},
    {"aten.normal", kFill, stream_all, "reads the parameters where they are tensors, writes"},
    {"aten.poisson", kFill, stream_all, "reads the parameters where they are tensors, writes"},
    {"aten.binomial", kFill, stream_all, "reads the parameters where they are tensors, writes"},
    {"aten._standard_gamma", kFill, stream_all, "reads the parameters where they are tensors, writes"},
    {"aten._sample_dirichlet", kFill, stream_all, "reads the parameters where they are tensors, writes"},
    {"aten.resize_", no_work, no_traffic, "allocates only"},
    {"aten.resize_as_", no_work, no_traffic, "allocates only"},
    {"aten._resize_output_", no_work, no_traffic, "allocates only"},
    {"aten.resize", no_work, no_traffic, "allocates only"},
    {"aten.resize_as", no_work, no_traffic, "allocates only"},
    {"aten._functional_assert_async", no_work, no_traffic, "a check"},
    {"aten.sym_constrain_range", no_work, no_traffic, "a check"},
    {"aten.sym_constrain_range_for_size", no_work, no_traffic, "a check"},
    {"aten._local_scalar_dense", no_work, no_traffic, "a number for the host"},
    {"aten.item", no_work, no_traffic, "a number for the host"},
    {"aten.is_nonzero", no_work, no_traffic, "a number for the host"},
    {"aten.sym_size", no_work, no_traffic, "a number for the host"},
    {"aten.sym_numel", no_work, no_traffic, "a number for the host"},
    {"aten.sym_stride", no_work, no_traffic, "a number for the host"},
    {"aten.sym_storage_offset", no_work, no_traffic, "a number for the host"},
    {"aten.sym_is_contiguous", no_work, no_traffic, "a number for the host"},
};
constexpr auto kRows = op_rows(kTable, Relation::made);

}  // namespace creation_table
}  // namespace

std::span<const OpRule> creation_rules() {
    return creation_table::kRows;
}

}  // namespace infercost

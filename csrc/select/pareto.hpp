// The rows of a table of doubles that no other row dominates.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace infercost {

// Return the ascending indices of the rows that no other row dominates. A row dominates another if it is at
// least as good in every objective and better in one. Smaller is better, or larger if `maximize` is set.
// `objectives` are columns of one length, at least one of them; `maximize` is empty (minimize all) or has one
// entry per column.
//
// Equal rows are all on the front or all off it. A row with a NaN is never on the front and dominates
// nothing; infinities are ordinary values.
//
// Time for n rows: O(n) for 1 objective, O(n log n) for 2 and 3, O(n log^(d-2) n) for d objectives; a filter
// drops most rows in a single pass if the front is small. Memory beside the columns: O(2^20 + the front), and
// one bit per row.
//
// Throws InputError if there are no columns, or if lengths differ.
std::vector<std::int64_t> pareto_front(std::span<const std::span<const double>> objectives,
                                       const std::vector<bool>& maximize = {});

}  // namespace infercost

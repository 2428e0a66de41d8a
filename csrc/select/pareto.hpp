// The rows of a table of doubles that no other row dominates.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace infercost {

// Ascending indices of the rows that no other row dominates. A row dominates another if it is at least as
// good in every objective and better in one; smaller is better, larger where `maximize` says so. `objectives`
// are columns of one length, at least one of them; `maximize` is empty (nothing is) or has an entry for each.
//
// Equal rows stay together. A row with a NaN is never on the front and dominates nothing; infinities are
// ordinary.
//
// Time for n rows: O(n) for 1 objective, O(n log n) for 2 and 3, O(n log^(d-2) n) for d of them; a filter
// drops most rows in a single pass where the front is small. Memory beside the columns: O(2^20 + the front),
// and a bit per row.
//
// Throws std::invalid_argument for no columns, or for lengths that differ.
std::vector<std::int64_t> pareto_front(std::span<const std::span<const double>> objectives,
                                       const std::vector<bool>& maximize = {});

}  // namespace infercost

// A filter in front of the exact search: a few rows of a sample that dominate most others.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "select/candidates.hpp"

namespace infercost {

// The columns as they are given, and -1 for each that is maximised; values are multiplied on their way.
struct Table {
    std::span<const std::span<const double>> columns;
    std::vector<double> signs;

    std::size_t rows() const { return columns[0].size(); }
    std::size_t objectives() const { return columns.size(); }
};

class Filter {
  public:
    // Chooses pivots from a sample of the table, or none where there are too few rows or none would help.
    explicit Filter(const Table& table);

    // How many rows one call looks at: what a block holds stays in the nearest cache.
    static constexpr std::size_t kBlock = 512;

    // Of the rows from `begin` on, a block of them, those that have no NaN and that no pivot dominates. Good
    // until the next call. O(rows x pivots).
    Block block_from(std::size_t begin);

  private:
    void drop_dropped();
    void choose_pivots();

    const Table& table_;
    std::vector<std::vector<double>> pivots_;   // the most useful first
    std::vector<std::vector<double>> columns_;  // of the block, one for each objective
    std::array<std::int64_t, kBlock> rows_{};
    // All bits or none, as wide as a double: then the loops over them are SIMD.
    std::array<std::int64_t, kBlock> dropped_{};
    std::size_t count_ = 0;
};

}  // namespace infercost

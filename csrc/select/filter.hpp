// A filter before the exact search: a few rows of a sample that dominate most others.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "select/candidates.hpp"

namespace infercost {

// The given columns, and -1 for each maximized one; values are multiplied as they are read.
struct Table {
    std::span<const std::span<const double>> columns;
    std::vector<double> signs;

    std::size_t rows() const { return columns[0].size(); }
    std::size_t objectives() const { return columns.size(); }
};

class Filter {
  public:
    // Choose pivots from a sample of the table; none if there are too few rows or none would help.
    explicit Filter(const Table& table);

    // Rows per call, so that a block fits the first-level cache.
    static constexpr std::size_t kBlock = 512;

    // Return the rows of a block from `begin` on that have no NaN and that no pivot dominates. Valid until
    // the next call. O(rows x pivots).
    Block block_from(std::size_t begin);

  private:
    void drop_dropped();
    void choose_pivots();

    const Table& table_;
    std::vector<std::vector<double>> pivots_;   // most effective first
    std::vector<std::vector<double>> columns_;  // of the block, one per objective
    std::array<std::int64_t, kBlock> rows_{};
    // All bits set or none, as wide as a double, so that loops over them vectorize.
    std::array<std::int64_t, kBlock> dropped_{};
    std::size_t count_ = 0;
};

}  // namespace infercost

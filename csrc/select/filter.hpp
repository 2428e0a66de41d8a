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

    // Appends the rows from `begin` on that have no NaN and that no pivot dominates; returns where the next
    // block begins. O(rows x pivots), over blocks that stay in the nearest cache.
    std::size_t append_block(std::size_t begin, Candidates& out);

  private:
    static constexpr std::size_t kBlock = 512;

    void drop_dropped();
    void choose_pivots();

    const Table& table_;
    std::vector<std::vector<double>> pivots_;  // the most useful first
    std::vector<std::vector<double>> block_;   // a column for each objective
    std::array<std::int64_t, kBlock> rows_{};
    std::array<std::int64_t, kBlock>
        dropped_{};  // all bits or none: as wide as a double, so that loops are SIMD
    std::size_t count_ = 0;
};

}  // namespace infercost

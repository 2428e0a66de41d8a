// Rows that may be on the front, with their values: maximized objectives are negated, and no value is NaN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace infercost {

// The rows of a block that pass the filter.
struct Block {
    std::span<const std::vector<double>> columns;  // one per objective, longer than `rows`
    std::span<const std::int64_t> rows;
};

// Candidates in any number of objectives.
struct Candidates {
    std::vector<std::vector<double>> values;
    std::vector<std::int64_t> rows;

    explicit Candidates(std::size_t objectives) : values(objectives) {}
    std::size_t size() const { return rows.size(); }
    std::size_t objectives() const { return values.size(); }
    std::int64_t row(std::size_t i) const { return rows[i]; }

    void reserve(std::size_t count) {
        for (std::vector<double>& column : values) column.reserve(count);
        rows.reserve(count);
    }
    void append(const Block& block) {
        const auto count = static_cast<std::ptrdiff_t>(block.rows.size());
        for (std::size_t k = 0; k < values.size(); ++k) {
            const std::vector<double>& from = block.columns[k];
            values[k].insert(values[k].end(), from.begin(), from.begin() + count);
        }
        rows.insert(rows.end(), block.rows.begin(), block.rows.end());
    }

    // Keep the candidates that no other candidate dominates, in any order. Requires two objectives or more.
    void keep_front();
};

// keep_front() for four objectives and more.
void divide_and_conquer(Candidates& candidates);

}  // namespace infercost

#include "select/pareto.hpp"

#include <algorithm>
#include <bit>
#include <string>

#include "core/errors.hpp"
#include "core/threads.hpp"
#include "select/filter.hpp"
#include "select/sort_scan.hpp"

namespace infercost {
namespace {

// Candidates are reduced to their front when they reach this number, and again after growing by a factor, so
// that memory is proportional to the front. The factor is larger if the reduction kept most candidates:
// sorting all of them again would gain little. This adds a tenth to the time of a front of all rows.
constexpr std::size_t kManyCandidates = std::size_t{1} << 20;
constexpr std::size_t kGrowth = 4;
constexpr std::size_t kGrowthOfLargeFront = 16;
// If more than one row in this many is a candidate, a scan over one bit per row is faster than sorting.
constexpr std::size_t kRowsPerSorted = 64;

Table make_table(std::span<const std::span<const double>> objectives, const std::vector<bool>& maximize) {
    if (objectives.empty()) throw InputError("pareto_front: got no columns; expected at least one");
    for (std::size_t k = 1; k < objectives.size(); ++k) {
        if (objectives[k].size() != objectives[0].size()) {
            throw InputError("pareto_front: column " + std::to_string(k) + " has " +
                             std::to_string(objectives[k].size()) + " rows; expected " +
                             std::to_string(objectives[0].size()) + " as in column 0");
        }
    }
    if (!maximize.empty() && maximize.size() != objectives.size()) {
        throw InputError("pareto_front: maximize has " + std::to_string(maximize.size()) +
                         " entries; expected " + std::to_string(objectives.size()) + ", one per column");
    }
    Table table{objectives, std::vector<double>(objectives.size(), 1.0)};
    for (std::size_t k = 0; k < maximize.size(); ++k) table.signs[k] = maximize[k] ? -1.0 : 1.0;
    return table;
}

std::vector<std::int64_t> rows_of_the_best(std::span<const double> column, double sign) {
    std::vector<std::int64_t> rows;
    bool any = false;
    double best = 0;
    for (std::size_t i = 0; i < column.size(); ++i) {
        const double value = sign * column[i];
        if (value != value || (any && value > best)) continue;
        if (!any || value < best) rows.clear();
        any = true;
        best = value;
        rows.push_back(static_cast<std::int64_t>(i));
    }
    return rows;
}

// Return the rows of the candidates in ascending order.
template <class Store>
std::vector<std::int64_t> sorted_rows(const Store& candidates, std::size_t count) {
    std::vector<std::int64_t> rows;
    if (candidates.size() < count / kRowsPerSorted) {
        for (std::size_t i = 0; i < candidates.size(); ++i) rows.push_back(candidates.row(i));
        std::sort(rows.begin(), rows.end());
        return rows;
    }
    std::vector<std::uint64_t> words(count / 64 + 1);
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        const auto row = static_cast<std::size_t>(candidates.row(i));
        words[row / 64] |= std::uint64_t{1} << (row % 64);
    }
    rows.reserve(candidates.size());
    for (std::size_t w = 0; w < words.size(); ++w) {
        for (std::uint64_t word = words[w]; word != 0; word &= word - 1) {
            const std::size_t row = w * 64 + static_cast<std::size_t>(std::countr_zero(word));
            rows.push_back(static_cast<std::int64_t>(row));
        }
    }
    return rows;
}

template <class Store>
std::vector<std::int64_t> search(const Table& table, Store candidates) {
    Filter filter(table);
    std::size_t limit = kManyCandidates;
    for (std::size_t row = 0; row < table.rows(); row += Filter::kBlock) {
        if (candidates.size() >= limit) {
            const std::size_t before = candidates.size();
            candidates.keep_front();
            const std::size_t growth = candidates.size() < before / 2 ? kGrowth : kGrowthOfLargeFront;
            limit = std::max(kManyCandidates, growth * candidates.size());
            // Unused capacity is never touched; growing step by step would touch twice as much memory.
            candidates.reserve(std::min(limit, candidates.size() + table.rows() - row) + Filter::kBlock);
        }
        check_interrupt();
        candidates.append(filter.block_from(row));
    }
    candidates.keep_front();
    return sorted_rows(candidates, table.rows());
}

}  // namespace

std::vector<std::int64_t> pareto_front(std::span<const std::span<const double>> objectives,
                                       const std::vector<bool>& maximize) {
    const Table table = make_table(objectives, maximize);
    if (table.objectives() == 1) return rows_of_the_best(objectives[0], table.signs[0]);
    if (table.objectives() == 2) return search(table, PointCandidates<2>());
    if (table.objectives() == 3) return search(table, PointCandidates<3>());
    return search(table, Candidates(table.objectives()));
}

}  // namespace infercost

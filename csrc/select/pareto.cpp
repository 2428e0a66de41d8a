#include "select/pareto.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>

#include "select/filter.hpp"

namespace infercost {
namespace {

// Candidates are reduced to their front when they have become this many, and again when they are four times
// what that left. Memory is then in proportion to the front, and a front that is all rows costs half as much
// again.
constexpr std::size_t kManyCandidates = std::size_t{1} << 20;
constexpr std::size_t kGrowth = 4;
// Above one candidate in this many rows, going through a bit per row is faster than sorting.
constexpr std::size_t kRowsPerSorted = 64;

Table make_table(std::span<const std::span<const double>> objectives, const std::vector<bool>& maximize) {
    if (objectives.empty())
        throw std::invalid_argument("pareto_front: got no columns, expected at least one");
    for (std::size_t k = 1; k < objectives.size(); ++k) {
        if (objectives[k].size() != objectives[0].size()) {
            throw std::invalid_argument("pareto_front: column " + std::to_string(k) + " has " +
                                        std::to_string(objectives[k].size()) + " rows, expected " +
                                        std::to_string(objectives[0].size()) + " as in column 0");
        }
    }
    if (!maximize.empty() && maximize.size() != objectives.size()) {
        throw std::invalid_argument("pareto_front: maximize has " + std::to_string(maximize.size()) +
                                    " entries, expected " + std::to_string(objectives.size()) +
                                    ", one for each column");
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

void sort_rows(std::vector<std::int64_t>& rows, std::size_t count) {
    if (rows.size() < count / kRowsPerSorted) {
        std::sort(rows.begin(), rows.end());
        return;
    }
    std::vector<std::uint64_t> words(count / 64 + 1);
    for (const std::int64_t row : rows) {
        words[static_cast<std::size_t>(row) / 64] |= std::uint64_t{1} << (static_cast<std::size_t>(row) % 64);
    }
    std::size_t next = 0;
    for (std::size_t w = 0; w < words.size(); ++w) {
        for (std::uint64_t word = words[w]; word != 0; word &= word - 1) {
            rows[next++] =
                static_cast<std::int64_t>(w * 64 + static_cast<std::size_t>(std::countr_zero(word)));
        }
    }
}

}  // namespace

std::vector<std::int64_t> pareto_front(std::span<const std::span<const double>> objectives,
                                       const std::vector<bool>& maximize) {
    const Table table = make_table(objectives, maximize);
    if (table.objectives() == 1) return rows_of_the_best(objectives[0], table.signs[0]);
    Filter filter(table);
    Candidates candidates(table.objectives());
    std::size_t limit = kManyCandidates;
    for (std::size_t row = 0; row < table.rows();) {
        row = filter.append_block(row, candidates);
        if (candidates.size() < limit || row == table.rows()) continue;
        keep_front(candidates);
        limit = std::max(kManyCandidates, kGrowth * candidates.size());
    }
    keep_front(candidates);
    std::vector<std::int64_t> rows = std::move(candidates.rows);
    sort_rows(rows, table.rows());
    return rows;
}

}  // namespace infercost

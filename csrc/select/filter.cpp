#include "select/filter.hpp"

#include <algorithm>
#include <numeric>

#include "select/point.hpp"

namespace infercost {
namespace {

constexpr std::size_t kSample = 4096;
constexpr std::size_t kFewestRows = 4 * kSample;
constexpr std::size_t kMostPivots = 64;
constexpr std::size_t kMostTried = 512;
// Testing a row against a pivot takes about a hundredth of the time that the exact search takes per row.
constexpr std::size_t kWorthwhileShare = 128;

std::int64_t all_bits(bool value) {
    return -static_cast<std::int64_t>(value);
}

// Mark the rows that a pivot dominates. Loops have no branches, and the compiler knows D.
template <std::size_t D>
void mark_dominated(const std::vector<std::vector<double>>& columns, const std::vector<double>& pivot,
                    std::size_t count, std::int64_t* dropped) {
    std::array<const double*, D> column;
    std::array<double, D> bar;
    for (std::size_t k = 0; k < D; ++k) {
        column[k] = columns[k].data();
        bar[k] = pivot[k];
    }
    for (std::size_t i = 0; i < count; ++i) {
        std::int64_t no_better = -1;
        std::int64_t differs = 0;
        for (std::size_t k = 0; k < D; ++k) {
            no_better &= all_bits(column[k][i] >= bar[k]);
            differs |= all_bits(column[k][i] != bar[k]);
        }
        dropped[i] |= no_better & differs;
    }
}

void mark_dominated(const std::vector<std::vector<double>>& columns, const std::vector<double>& pivot,
                    std::size_t count, std::int64_t* dropped) {
    switch (columns.size()) {
        case 2:
            return mark_dominated<2>(columns, pivot, count, dropped);
        case 3:
            return mark_dominated<3>(columns, pivot, count, dropped);
        case 4:
            return mark_dominated<4>(columns, pivot, count, dropped);
        default:
            break;
    }
    for (std::size_t i = 0; i < count; ++i) {
        bool no_better = true;
        bool differs = false;
        for (std::size_t k = 0; k < columns.size() && no_better; ++k) {
            no_better = columns[k][i] >= pivot[k];
            differs |= columns[k][i] != pivot[k];
        }
        dropped[i] |= all_bits(no_better && differs);
    }
}

// Move the entries that are not dropped to the front, and return their number.
template <class T>
std::size_t compact(T* values, const std::int64_t* dropped, std::size_t count) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count; ++i) {
        values[kept] = values[i];
        kept += dropped[i] == 0 ? 1 : 0;
    }
    return kept;
}

}  // namespace

Filter::Filter(const Table& table)
    : table_(table), columns_(table.objectives(), std::vector<double>(kBlock)) {
    if (table.rows() >= kFewestRows) choose_pivots();
}

// The candidates are the front of the sample; each pivot is the one that dominates most of the rows that
// earlier pivots left.
void Filter::choose_pivots() {
    const std::size_t objectives = table_.objectives();
    Candidates sample(objectives);
    for (std::size_t i = 0; i < kSample; ++i) {
        const std::size_t row = sample_position(i, kSample, table_.rows());
        bool ordered = true;
        for (const auto& column : table_.columns) ordered = ordered && column[row] == column[row];
        if (!ordered) continue;
        for (std::size_t k = 0; k < objectives; ++k) {
            sample.values[k].push_back(table_.signs[k] * table_.columns[k][row]);
        }
        sample.rows.push_back(static_cast<std::int64_t>(row));
    }
    Candidates front = sample;
    front.keep_front();
    const std::size_t step = front.size() / kMostTried + 1;
    std::vector<std::vector<double>> tried;
    for (std::size_t i = 0; i < front.size(); i += step) {
        tried.emplace_back();
        for (const auto& column : front.values) tried.back().push_back(column[i]);
    }
    std::vector<std::int64_t> dropped(sample.size());
    std::size_t left = sample.size();
    while (pivots_.size() < kMostPivots && !tried.empty()) {
        std::size_t best = 0;
        std::size_t best_gain = 0;
        for (std::size_t t = 0; t < tried.size(); ++t) {
            std::fill_n(dropped.begin(), left, 0);
            mark_dominated(sample.values, tried[t], left, dropped.data());
            const auto gain = static_cast<std::size_t>(-std::accumulate(
                dropped.begin(), dropped.begin() + static_cast<std::ptrdiff_t>(left), std::int64_t{0}));
            if (gain > best_gain) {
                best = t;
                best_gain = gain;
            }
        }
        if (best_gain < std::max<std::size_t>(2, left / kWorthwhileShare)) break;
        std::fill_n(dropped.begin(), left, 0);
        mark_dominated(sample.values, tried[best], left, dropped.data());
        for (auto& column : sample.values) compact(column.data(), dropped.data(), left);
        left -= best_gain;
        pivots_.push_back(std::move(tried[best]));
        tried[best] = std::move(tried.back());
        tried.pop_back();
    }
}

Block Filter::block_from(std::size_t begin) {
    count_ = std::min(kBlock, table_.rows() - begin);
    std::fill_n(dropped_.begin(), count_, 0);
    for (std::size_t k = 0; k < columns_.size(); ++k) {
        const double* column = table_.columns[k].data() + begin;
        const double sign = table_.signs[k];
        double* values = columns_[k].data();
        for (std::size_t i = 0; i < count_; ++i) {
            values[i] = sign * column[i];
            dropped_[i] |= all_bits(column[i] != column[i]);
        }
    }
    for (std::size_t i = 0; i < count_; ++i) rows_[i] = static_cast<std::int64_t>(begin + i);
    // The first pivots drop most rows, so the remaining rows are compacted often at first, then less often.
    std::size_t next = 0;
    for (std::size_t group = 1; next < pivots_.size(); group *= 2) {
        for (std::size_t i = 0; i < group && next < pivots_.size(); ++i) {
            mark_dominated(columns_, pivots_[next++], count_, dropped_.data());
        }
        if (next < pivots_.size()) drop_dropped();
    }
    drop_dropped();
    return {
        columns_, {rows_.data(), count_}
    };
}

void Filter::drop_dropped() {
    for (auto& column : columns_) compact(column.data(), dropped_.data(), count_);
    count_ = compact(rows_.data(), dropped_.data(), count_);
    std::fill_n(dropped_.begin(), count_, 0);
}

}  // namespace infercost

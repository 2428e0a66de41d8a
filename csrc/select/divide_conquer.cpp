// The front in four objectives and more, by divide and conquer (Kung, Luccio and Preparata 1975; Bentley
// 1980).
//
// Distinct points are in lexicographic order, so a point precedes all points that it dominates. The front of
// a range is the front of its first half, plus those points of the front of its second half that the first
// half does not dominate. For the latter, the first objective is decided; `settle` splits both halves at a
// median of the next objective, until three objectives remain, which one scan over a staircase decides. O(n
// log^(d-2) n) for n points in d objectives, for any size of the front.
#include <algorithm>
#include <span>

#include "core/indexed.hpp"
#include "core/threads.hpp"
#include "select/candidates.hpp"
#include "select/point.hpp"
#include "select/staircase.hpp"

namespace infercost {
namespace {

using Indices = std::vector<std::int64_t>;

// Below this many pairs, comparing all of them is faster than splitting.
constexpr std::size_t kFewPairs = 2048;
constexpr std::size_t kFewPoints = 32;
constexpr std::size_t kMedianSample = 63;

class DivideConquer {
  public:
    // `values` holds the points consecutively, distinct and in lexicographic order.
    DivideConquer(const std::vector<double>& values, std::size_t objectives)
        : values_(values), objectives_(objectives), dominated_(values.size() / objectives) {}

    Indices front(std::size_t begin, std::size_t end) {
        if (end - begin <= kFewPoints) return small_front(begin, end);
        const std::size_t middle = begin + (end - begin) / 2;
        Indices first = front(begin, middle);
        Indices second = front(middle, end);
        settle(first, second, 1);
        std::copy_if(second.begin(), second.end(), std::back_inserter(first),
                     [this](std::int64_t p) { return !is_dominated(p); });
        return first;
    }

  private:
    const double* at(std::int64_t point) const {
        return values_.data() + static_cast<std::size_t>(point) * objectives_;
    }
    bool is_dominated(std::int64_t point) const { return dominated_[point] != 0; }

    // Whether `a` is no worse than `b` in the objectives from `k` on.
    bool covers(std::int64_t a, std::int64_t b, std::size_t k) const {
        const double* x = at(a);
        const double* y = at(b);
        while (k < objectives_ && x[k] <= y[k]) ++k;
        return k == objectives_;
    }

    Indices small_front(std::size_t begin, std::size_t end) const {
        Indices result;
        for (std::size_t i = begin; i < end; ++i) {
            const auto point = static_cast<std::int64_t>(i);
            if (std::none_of(result.begin(), result.end(),
                             [&](std::int64_t kept) { return covers(kept, point, 1); })) {
                result.push_back(point);
            }
        }
        return result;
    }

    // Mark the points of `later` that a point of `earlier` covers in the objectives from `k` on. In the
    // objectives before `k`, every point of `earlier` is no worse than every point of `later`; no two points
    // are equal.
    void settle(const Indices& earlier, const Indices& later, std::size_t k) {
        if (earlier.empty() || later.empty()) return;
        check_interrupt();
        if (earlier.size() * later.size() <= kFewPairs) {
            for (const std::int64_t point : later) {
                dominated_[point] |=
                    static_cast<char>(std::any_of(earlier.begin(), earlier.end(), [&](std::int64_t other) {
                        return covers(other, point, k);
                    }));
            }
            return;
        }
        if (objectives_ - k == 3) return settle_by_scan(earlier, later);
        // Points on the median join the points above it, or those below it if there are none above.
        const double median = median_of(earlier, later, k);
        const auto below = [&](std::int64_t point) { return at(point)[k] < median; };
        const auto not_above = [&](std::int64_t point) { return at(point)[k] <= median; };
        Indices earlier_high;
        Indices later_high;
        Indices earlier_low = split(earlier, below, earlier_high);
        Indices later_low = split(later, below, later_high);
        if (earlier_low.empty() && later_low.empty()) {
            earlier_low = split(earlier, not_above, earlier_high);
            later_low = split(later, not_above, later_high);
            if (earlier_high.empty() && later_high.empty()) return settle(earlier, later, k + 1);
        }
        settle(earlier_low, later_low, k);
        settle(earlier_low, later_high, k + 1);
        settle(earlier_high, later_high, k);
    }

    // Return the points for which `is_low` holds, and put the others into `high`; settled points are dropped.
    template <class Predicate>
    Indices split(const Indices& points, const Predicate& is_low, Indices& high) const {
        Indices low;
        high.clear();
        for (const std::int64_t point : points) {
            if (!is_dominated(point)) (is_low(point) ? low : high).push_back(point);
        }
        return low;
    }

    double median_of(const Indices& earlier, const Indices& later, std::size_t k) const {
        std::vector<double> sample;
        for (const Indices* points : {&earlier, &later}) {
            const std::size_t count = std::min(points->size(), kMedianSample);
            for (std::size_t i = 0; i < count; ++i) {
                sample.push_back(at((*points)[sample_position(i, count, points->size())])[k]);
            }
        }
        const auto middle = sample.begin() + static_cast<std::ptrdiff_t>(sample.size() / 2);
        std::nth_element(sample.begin(), middle, sample.end());
        return *middle;
    }

    std::vector<Point<3>> last_three(const Indices& points) const {
        std::vector<Point<3>> result;
        result.reserve(points.size());
        for (const std::int64_t point : points) {
            const double* last = at(point) + (objectives_ - 3);
            if (!is_dominated(point))
                result.push_back({
                    {last[0], last[1], last[2]},
                    point
                });
        }
        sort_points(result);
        return result;
    }

    void settle_by_scan(const Indices& earlier, const Indices& later) {
        const std::vector<Point<3>> given = last_three(earlier);
        Staircase seen;
        std::size_t next = 0;
        for (const Point<3>& point : last_three(later)) {
            for (; next < given.size() && given[next].values[0] <= point.values[0]; ++next) {
                const auto& [x, y, z] = given[next].values;
                if (!seen.covers(y, z)) seen.add(y, z);
            }
            if (seen.covers(point.values[1], point.values[2])) {
                dominated_[point.row] = 1;
            }
        }
    }

    const std::vector<double>& values_;
    std::size_t objectives_;
    IndexedVector<std::int64_t, char> dominated_;
};

// Return the candidates' indices in lexicographic order.
Indices lexicographic(const Candidates& candidates) {
    const auto& columns = candidates.values;
    std::vector<Point<3>> points(candidates.size());
    for (std::size_t i = 0; i < points.size(); ++i) {
        points[i] = {
            {columns[0][i], columns[1][i], columns[2][i]},
            static_cast<std::int64_t>(i)
        };
    }
    sort_points(points);
    const auto by_the_others = [&](const Point<3>& a, const Point<3>& b) {
        for (std::size_t k = 3; k < columns.size(); ++k) {
            const double x = columns[k][static_cast<std::size_t>(a.row)];
            const double y = columns[k][static_cast<std::size_t>(b.row)];
            if (x != y) return x < y;
        }
        return false;
    };
    for (auto begin = points.begin(); begin != points.end();) {
        auto end = begin + 1;
        while (end != points.end() && end->values == begin->values) ++end;
        std::sort(begin, end, by_the_others);
        begin = end;
    }
    Indices order(points.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = points[i].row;
    return order;
}

}  // namespace

void divide_and_conquer(Candidates& candidates) {
    const std::size_t objectives = candidates.objectives();
    const Indices order = lexicographic(candidates);
    std::vector<double> values;      // of the distinct points
    std::vector<std::size_t> first;  // start of each group of equal points in `order`
    std::vector<double> point(objectives);
    for (std::size_t i = 0; i < order.size(); ++i) {
        for (std::size_t k = 0; k < objectives; ++k) {
            point[k] = candidates.values[k][static_cast<std::size_t>(order[i])];
        }
        if (i > 0 &&
            std::equal(point.begin(), point.end(), values.end() - static_cast<std::ptrdiff_t>(objectives))) {
            continue;
        }
        values.insert(values.end(), point.begin(), point.end());
        first.push_back(i);
    }
    first.push_back(order.size());

    Candidates front(objectives);
    for (const std::int64_t kept : DivideConquer(values, objectives).front(0, first.size() - 1)) {
        const auto group = static_cast<std::size_t>(kept);
        for (std::size_t i = first[group]; i < first[group + 1]; ++i) {
            const auto from = static_cast<std::size_t>(order[i]);
            for (std::size_t k = 0; k < objectives; ++k)
                front.values[k].push_back(candidates.values[k][from]);
            front.rows.push_back(candidates.rows[from]);
        }
    }
    candidates = std::move(front);
}

}  // namespace infercost

// The front of points in two and three objectives: sort, then one pass, O(n log n).
#include "select/sort_scan.hpp"

#include <algorithm>
#include <utility>

#include "core/threads.hpp"
#include "select/staircase.hpp"

namespace infercost {
namespace {

// The points seen so far, without the first objective, which their order covers. A point that covers another
// here precedes it, is no worse in the first objective and is not equal: it dominates.
template <std::size_t D>
class Seen;

template <>
class Seen<2> {
  public:
    bool covers(const Point<2>& p) const { return any_ && best_ <= p.values[1]; }
    void add(const Point<2>& p) {
        any_ = true;
        best_ = p.values[1];
    }

  private:
    bool any_ = false;  // no value of best_ could represent this: infinities are ordinary values
    double best_ = 0;
};

template <>
class Seen<3> {
  public:
    bool covers(const Point<3>& p) const { return steps_.covers(p.values[1], p.values[2]); }
    void add(const Point<3>& p) { steps_.add(p.values[1], p.values[2]); }

  private:
    Staircase steps_;
};

// Sorting one point takes about as long as testing whether it is covered, so the test pays off if many are.
template <std::size_t D>
bool is_worth_asking(std::size_t kept, std::size_t of) {
    return D == 2 || kept < of / 2;
}

// Choose the objective to sort by: the one with the shortest staircase of the other two, in a sample. Two
// objectives that only trade off against each other would give a staircase with one step per row, which
// exceeds the cache.
std::size_t objective_to_sort_by(const std::vector<Point<3>>& points) {
    constexpr std::size_t kSortSample = 4096;
    if (points.size() < 4 * kSortSample) return 0;
    std::array<std::size_t, 3> steps{};
    for (std::size_t k = 0; k < 3; ++k) {
        PointCandidates<2> others;
        others.reserve(kSortSample);
        for (std::size_t i = 0; i < kSortSample; ++i) {
            const Point<3>& p = points[sample_position(i, kSortSample, points.size())];
            others.add({
                {p.values[(k + 1) % 3], p.values[(k + 2) % 3]},
                p.row
            });
        }
        others.keep_front();
        steps[k] = others.size();
    }
    const auto best = static_cast<std::size_t>(std::min_element(steps.begin(), steps.end()) - steps.begin());
    // A small improvement does not justify moving all values.
    return steps[best] < steps[0] / 2 ? best : 0;
}

std::size_t objective_to_sort_by(const std::vector<Point<2>>& /* either will do */) {
    return 0;
}

template <std::size_t D>
void swap_first(std::vector<Point<D>>& points, std::size_t k) {
    if (k == 0) return;
    for (Point<D>& p : points) std::swap(p.values[0], p.values[k]);
}

}  // namespace

template <std::size_t D>
void PointCandidates<D>::keep_front() {
    const std::size_t sorted_by = objective_to_sort_by(points_);
    swap_first(points_, sorted_by);
    Seen<D> seen;
    std::size_t kept = 0;
    std::size_t begin = 0;
    bool ask_first = false;
    for (const std::size_t end : deal_points(points_)) {
        check_interrupt();
        const auto first = points_.begin() + static_cast<std::ptrdiff_t>(begin);
        auto last = points_.begin() + static_cast<std::ptrdiff_t>(end);
        if (ask_first) last = std::remove_if(first, last, [&](const Point<D>& p) { return seen.covers(p); });
        std::sort(first, last);
        const std::size_t kept_before = kept;
        Point<D> previous{};
        bool keep = false;
        for (auto it = first; it != last; ++it) {
            const Point<D> point = *it;
            // A point that equals its predecessor has the same result and is not compared with it.
            if (it == first || point.values != previous.values) {
                keep = !seen.covers(point);
                if (keep) seen.add(point);
            }
            if (keep) points_[kept++] = point;
            previous = point;
        }
        ask_first = is_worth_asking<D>(kept - kept_before, end - begin);
        begin = end;
    }
    points_.resize(kept);
    swap_first(points_, sorted_by);
}

template class PointCandidates<2>;
template class PointCandidates<3>;

namespace {

template <std::size_t D>
void sort_and_scan(Candidates& candidates) {
    PointCandidates<D> points;
    Candidates front(D);
    points.reserve(candidates.size());
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        Point<D> point{{}, static_cast<std::int64_t>(i)};
        for (std::size_t k = 0; k < D; ++k) point.values[k] = candidates.values[k][i];
        points.add(point);
    }
    points.keep_front();
    for (std::size_t i = 0; i < points.size(); ++i) {
        const auto from = static_cast<std::size_t>(points.row(i));
        for (std::size_t k = 0; k < D; ++k) front.values[k].push_back(candidates.values[k][from]);
        front.rows.push_back(candidates.rows[from]);
    }
    candidates = std::move(front);
}

}  // namespace

void Candidates::keep_front() {
    if (objectives() > 3) return divide_and_conquer(*this);
    return objectives() == 2 ? sort_and_scan<2>(*this) : sort_and_scan<3>(*this);
}

}  // namespace infercost

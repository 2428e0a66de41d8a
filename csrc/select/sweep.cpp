// The front of points in two and three objectives: sort, then one pass, O(n log n).
#include "select/candidates.hpp"
#include "select/point.hpp"
#include "select/staircase.hpp"

namespace infercost {
namespace {

// What has been seen so far, without the first objective: the order of the points accounts for that one.
// Whatever covers a point here came before it, is no worse in the first objective and not equal: it
// dominates.
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
    bool any_ = false;  // no value of best_ could say so: an infinity is a value as any other
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

template <std::size_t D>
void keep_uncovered(std::vector<Point<D>>& points) {
    Seen<D> seen;
    Point<D> previous{};
    bool keep = false;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
        const Point<D> point = points[i];
        // A point that equals the one before shares its fate, and is not held against it.
        if (i == 0 || point.values != previous.values) {
            keep = !seen.covers(point);
            if (keep) seen.add(point);
        }
        if (keep) points[kept++] = point;
        previous = point;
    }
    points.resize(kept);
}

template <std::size_t D>
void sweep(Candidates& candidates) {
    std::vector<Point<D>> points(candidates.size());
    for (std::size_t i = 0; i < points.size(); ++i) {
        for (std::size_t k = 0; k < D; ++k) points[i].values[k] = candidates.values[k][i];
        points[i].row = candidates.rows[i];
    }
    candidates = Candidates(D);  // frees the columns before sorting takes as much again
    sort_points(points);
    keep_uncovered(points);
    candidates.rows.resize(points.size());
    for (std::vector<double>& column : candidates.values) column.resize(points.size());
    for (std::size_t i = 0; i < points.size(); ++i) {
        for (std::size_t k = 0; k < D; ++k) candidates.values[k][i] = points[i].values[k];
        candidates.rows[i] = points[i].row;
    }
}

}  // namespace

void keep_front(Candidates& candidates) {
    if (candidates.objectives() == 2) {
        sweep<2>(candidates);
    } else if (candidates.objectives() == 3) {
        sweep<3>(candidates);
    } else {
        keep_front_by_halves(candidates);
    }
}

}  // namespace infercost

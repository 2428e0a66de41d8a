// Candidates in two or three objectives, stored consecutively for sorting.
#pragma once

#include <vector>

#include "select/candidates.hpp"
#include "select/point.hpp"

namespace infercost {

template <std::size_t D>
class PointCandidates {
  public:
    std::size_t size() const { return points_.size(); }
    std::int64_t row(std::size_t i) const { return points_[i].row; }
    void reserve(std::size_t count) { points_.reserve(count); }

    void add(const Point<D>& point) { points_.push_back(point); }

    void append(const Block& block) {
        const std::size_t before = points_.size();
        points_.resize(before + block.rows.size());
        for (std::size_t i = 0; i < block.rows.size(); ++i) {
            for (std::size_t k = 0; k < D; ++k) points_[before + i].values[k] = block.columns[k][i];
            points_[before + i].row = block.rows[i];
        }
    }

    // Keep the candidates that no other candidate dominates, in any order. O(n log n).
    void keep_front();

  private:
    std::vector<Point<D>> points_;
};

extern template class PointCandidates<2>;
extern template class PointCandidates<3>;

}  // namespace infercost

#include "serving/knots.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace infercost {
namespace {

constexpr std::size_t kShortest = 32;  // points that a line is tried for at first
constexpr double kRounding = 1e-12;

// All lines from `begin` that pass within the tolerance of a point have slopes between two bounds, and a line
// to a point is good if its slope is within the bounds of all points before it.
class Slopes {
  public:
    Slopes(std::span<const double> at, std::span<const double> values, std::size_t begin, double tolerance)
        : at_(at), values_(values), begin_(begin), tolerance_(tolerance) {}

    bool reaches(std::size_t end) {
        const double step = at_[end] - at_[begin_];
        const double slope = (values_[end] - values_[begin_]) / step;
        const double room = tolerance_ * std::abs(values_[end]) / step + kRounding * std::abs(slope);
        low_ = std::max(low_, slope - room);
        high_ = std::min(high_, slope + room);
        return slope >= low_ && slope <= high_;
    }

  private:
    std::span<const double> at_;
    std::span<const double> values_;
    std::size_t begin_;
    double tolerance_;
    double low_ = -std::numeric_limits<double>::infinity();
    double high_ = std::numeric_limits<double>::infinity();
};

}  // namespace

std::vector<std::size_t> chosen_knots(std::span<const double> at,
                                      std::span<const std::span<const double>> tables, double tolerance) {
    for (const std::span<const double> table : tables) {
        if (table.size() == at.size()) continue;
        throw std::invalid_argument("a table has " + std::to_string(table.size()) + " values; expected " +
                                    std::to_string(at.size()) + ", one for each position");
    }
    if (at.empty()) throw std::invalid_argument("there are no positions; expected at least one");
    const std::size_t last = at.size() - 1;
    std::vector<std::size_t> places = {0};
    std::size_t window = kShortest;
    std::vector<Slopes> slopes;
    while (places.back() < last) {
        const std::size_t begin = places.back();
        slopes.clear();
        for (const std::span<const double> table : tables) slopes.emplace_back(at, table, begin, tolerance);
        std::size_t reached = begin + 1;
        std::size_t stop = std::min(last, begin + window);
        for (std::size_t end = begin + 1; end <= stop; ++end) {
            bool good = true;
            for (Slopes& each : slopes) good &= each.reaches(end);
            if (good) reached = end;
            if (end == stop && reached == stop && stop < last) {  // the line may go on
                window *= 2;
                stop = std::min(last, begin + window);
            }
        }
        places.push_back(reached);
        window = std::max(kShortest, 2 * (reached - begin));
    }
    return places;
}

}  // namespace infercost

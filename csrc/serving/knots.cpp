#include "serving/knots.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>

#include "core/portable.hpp"

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

double at_least(double least, double value) {
    return value < least ? least : value;
}

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

Whole geometric(std::int64_t low, std::int64_t high, std::size_t count) {
    const double begin = portable::log(static_cast<double>(low));
    const double step = (portable::log(static_cast<double>(high)) - begin) / static_cast<double>(count - 1);
    Whole made = {low};
    for (std::size_t i = 1; i + 1 < count; ++i) {
        // A power of a whole ratio is that whole number.
        const double at = portable::exp(begin + static_cast<double>(i) * step);
        made.push_back(static_cast<std::int64_t>(at * (1 + kRounding)));
    }
    made.push_back(high);
    return made;
}

Whole ascending(const Whole& values) {
    const std::set<std::int64_t> found(values.begin(), values.end());
    return {found.begin(), found.end()};
}

Whole count_from(std::int64_t first, std::int64_t last) {
    Whole made;
    for (std::int64_t value = first; value <= last; ++value) made.push_back(value);
    return made;
}

double extended(double at, const Numbers& places, const Numbers& values) {
    const std::size_t last = places.size() - 1;
    if (at >= places[last]) {
        const double slope =
            (values[last] - values[last - 1]) / std::max(1.0, places[last] - places[last - 1]);
        return at_least(0.0, values[last] + (at - places[last]) * slope);
    }
    if (at <= places[0]) return at_least(0.0, values[0]);
    const auto after = std::upper_bound(places.begin(), places.end(), at) - places.begin();
    const auto i = static_cast<std::size_t>(after) - 1;
    const double slope = (values[i + 1] - values[i]) / (places[i + 1] - places[i]);
    return at_least(0.0, values[i] + slope * (at - places[i]));
}

Curve stairs(const Numbers& at, const Numbers& seconds, const Numbers& joules) {
    Curve made;
    for (std::size_t i = 0; i < at.size(); ++i) {
        if (i + 1 < at.size() && seconds[i + 1] == seconds[i]) continue;
        made.knots.push_back(at[i]);
        made.seconds.push_back(seconds[i]);
        made.joules.push_back(joules[i]);
    }
    return made;
}

StepCost next_of(const Curve& stairs, double at) {
    const auto found = std::lower_bound(stairs.knots.begin(), stairs.knots.end(), at) - stairs.knots.begin();
    const auto place = std::min(static_cast<std::size_t>(found), stairs.knots.size() - 1);
    return {stairs.seconds[place], stairs.joules[place]};
}

StepTables with_known_energy(StepTables tables) {
    const auto clear = [](Numbers& joules) {
        for (double& each : joules) {
            if (std::isnan(each)) each = 0;
        }
    };
    for (Curve* const curve : {&tables.tokens, &tables.graphs, &tables.outputs, &tables.drafts}) {
        clear(curve->joules);
    }
    for (Surface* const surface : {&tables.decode_attention, &tables.prefill_attention})
        clear(surface->joules);
    if (!std::isfinite(tables.idle_w)) tables.idle_w = 0;
    return tables;
}

}  // namespace infercost

#include "simulate/drawn_requests.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "core/portable.hpp"
#include "simulate/random.hpp"

namespace infercost {
namespace {

constexpr std::int64_t kMostRequests = 10'000'000;
constexpr double kMostDrawnTokens = 1e8;
constexpr double kMostVariation = 1e3;

// Draws of one column, which do not depend on those of others.
class Draws {
  public:
    Draws(std::uint64_t seed, std::uint64_t column) : seed_(mixed(seed, column)) {}

    // Above 0, to 1.
    double unit() { return 1 - uniform(seed_, 0, drawn_++); }
    double exponential() { return -portable::log(unit()); }
    // Marsaglia's polar method, which needs no functions of angles.
    double normal() {
        while (true) {
            const double x = 2 * unit() - 1;
            const double y = 2 * unit() - 1;
            const double square = x * x + y * y;
            if (square >= 1 || square == 0) continue;
            return x * std::sqrt(-2 * portable::log(square) / square);
        }
    }

  private:
    std::uint64_t seed_;
    std::uint64_t drawn_ = 0;
};

void check(double value, const char* name, double least, double most) {
    if (value >= least && value <= most) return;
    throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) +
                                "; expected a number from " + std::to_string(least) + " to " +
                                std::to_string(most));
}

std::vector<std::int32_t> lengths(const DrawnLengths& given, const RequestDraw& draw, std::uint64_t column) {
    const double most = draw.longest > 0 ? static_cast<double>(draw.longest) : kMostDrawnTokens;
    const auto whole = [&](double value) {
        return static_cast<std::int32_t>(std::clamp(std::nearbyint(value), 1.0, most));
    };
    const auto count = static_cast<std::size_t>(draw.requests);
    if (given.variation == 0) return std::vector<std::int32_t>(count, whole(given.mean));
    const double square = portable::log(1 + given.variation * given.variation);
    const double deviation = std::sqrt(square);
    const double middle = portable::log(given.mean) - square / 2;
    Draws draws(draw.seed, column);
    std::vector<std::int32_t> made;
    for (std::size_t i = 0; i < count; ++i) {
        made.push_back(whole(portable::exp(middle + deviation * draws.normal())));
    }
    return made;
}

}  // namespace

DrawnArrivals parse_drawn_arrivals(std::string_view name) {
    if (name == "poisson") return DrawnArrivals::poisson;
    if (name == "constant") return DrawnArrivals::constant;
    if (name == "at_once") return DrawnArrivals::at_once;
    throw std::invalid_argument("arrivals is '" + std::string(name) +
                                "'; expected poisson, constant or at_once");
}

UnitRequests drawn_requests(const RequestDraw& draw) {
    check(static_cast<double>(draw.requests), "requests", 1, static_cast<double>(kMostRequests));
    check(draw.prompt.mean, "prompt", 1, kMostDrawnTokens);
    check(draw.output.mean, "output", 1, kMostDrawnTokens);
    check(draw.prompt.variation, "prompt_variation", 0, kMostVariation);
    check(draw.output.variation, "output_variation", 0, kMostVariation);
    check(static_cast<double>(draw.longest), "longest", 0, kMostDrawnTokens);
    UnitRequests made;
    made.prompt = lengths(draw.prompt, draw, 1);
    made.output = lengths(draw.output, draw, 2);
    Draws draws(draw.seed, 0);
    double at = 0;
    for (std::int64_t i = 0; i < draw.requests; ++i) {
        if (draw.arrivals == DrawnArrivals::poisson) at += draws.exponential();
        if (draw.arrivals == DrawnArrivals::constant) at += 1;
        made.arrival_s.push_back(at);
    }
    return made;
}

}  // namespace infercost

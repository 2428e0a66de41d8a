#include "simulate/latencies.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace infercost {
namespace {

constexpr std::size_t kUnrolled = 8;
constexpr std::size_t kBlock = 128;

// numpy's order of additions: eight sums in a block, and halves of longer ranges apart.
double pairwise_sum(std::span<const double> values) {
    const std::size_t count = values.size();
    if (count < kUnrolled) {
        double sum = 0;
        for (const double value : values) sum += value;
        return sum;
    }
    if (count <= kBlock) {
        double r[kUnrolled];
        std::copy_n(values.begin(), kUnrolled, r);
        std::size_t i = kUnrolled;
        for (; i + kUnrolled <= count; i += kUnrolled) {
            for (std::size_t lane = 0; lane < kUnrolled; ++lane) r[lane] += values[i + lane];
        }
        double sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        for (; i < count; ++i) sum += values[i];
        return sum;
    }
    const std::size_t half = count / 2 / kUnrolled * kUnrolled;
    return pairwise_sum(values.first(half)) + pairwise_sum(values.subspan(half));
}

double percentile(const std::vector<double>& sorted, double share) {
    const double place = share * static_cast<double>(sorted.size() - 1);
    const double below = std::floor(place);
    const auto at = static_cast<std::size_t>(below);
    const double low = sorted[at];
    const double high = sorted[std::min(at + 1, sorted.size() - 1)];
    const double part = place - below;
    const double step = high - low;
    return part >= 0.5 ? high - step * (1 - part) : low + step * part;
}

}  // namespace

Distribution distribution(std::vector<double> values) {
    std::erase_if(values, [](double value) { return !std::isfinite(value); });
    if (values.empty()) {
        constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
        return {kNone, kNone, kNone, kNone};
    }
    std::sort(values.begin(), values.end());
    return {pairwise_sum(values) / static_cast<double>(values.size()), percentile(values, 0.5),
            percentile(values, 0.9), percentile(values, 0.99)};
}

}  // namespace infercost

#include "simulate/distributions.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace infercost {
namespace {

constexpr std::size_t kUnrolled = 8;
constexpr std::size_t kBlock = 128;

double percentile(std::span<const double> ascending, double share) {
    const double place = share * static_cast<double>(ascending.size() - 1);
    const double below = std::floor(place);
    const auto at = static_cast<std::size_t>(below);
    const double low = ascending[at];
    const double high = ascending[std::min(at + 1, ascending.size() - 1)];
    const double part = place - below;
    const double step = high - low;
    return part >= 0.5 ? high - step * (1 - part) : low + step * part;
}

// Whole numbers in the order of their floating-point numbers.
constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
std::uint64_t key_of(double value) {
    const auto bits = std::bit_cast<std::uint64_t>(value);
    return bits & kSign ? ~bits : bits | kSign;
}
double value_of(std::uint64_t key) {
    return std::bit_cast<double>(key & kSign ? key & ~kSign : ~key);
}

}  // namespace

void sort_numbers(std::vector<double>& values) {
    constexpr std::size_t kFew = 4096;  // below, comparisons are faster
    if (values.size() < kFew) {
        std::sort(values.begin(), values.end());
        return;
    }
    // The leading bits of the distance to the smallest key, digit by digit; what they leave equal is
    // compared.
    constexpr int kBits = 11;
    constexpr std::size_t kPasses = 3;
    constexpr std::size_t kDigits = std::size_t{1} << kBits;
    std::vector<std::uint64_t> keys(values.size());
    std::transform(values.begin(), values.end(), keys.begin(), key_of);
    const auto [least, most] = std::minmax_element(keys.begin(), keys.end());
    const std::uint64_t base = *least;
    const int shift =
        std::max(0, static_cast<int>(std::bit_width(*most - base)) - kBits * static_cast<int>(kPasses));
    const auto leading = [&](std::uint64_t key) { return (key - base) >> shift; };
    const auto digit = [&](std::uint64_t key, std::size_t pass) {
        return static_cast<std::size_t>(leading(key) >> (pass * kBits) & (kDigits - 1));
    };
    std::vector<std::array<std::size_t, kDigits>> places(kPasses);
    for (const std::uint64_t key : keys) {
        for (std::size_t pass = 0; pass < kPasses; ++pass) ++places[pass][digit(key, pass)];
    }
    std::vector<std::uint64_t> sorted(keys.size());
    for (std::size_t pass = 0; pass < kPasses; ++pass) {
        std::size_t place = 0;
        for (std::size_t& count : places[pass]) place += std::exchange(count, place);
        for (const std::uint64_t key : keys) sorted[places[pass][digit(key, pass)]++] = key;
        keys.swap(sorted);
    }
    for (auto first = keys.begin(); shift > 0 && first != keys.end();) {
        const auto last = std::find_if(first + 1, keys.end(),
                                       [&](std::uint64_t key) { return leading(key) != leading(*first); });
        if (last - first > 1) std::sort(first, last);
        first = last;
    }
    std::transform(keys.begin(), keys.end(), values.begin(), value_of);
}

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

Distribution distribution_of(std::span<const double> ascending) {
    if (ascending.empty()) return {};
    return {.mean = pairwise_sum(ascending) / static_cast<double>(ascending.size()),
            .p50 = percentile(ascending, 0.5),
            .p90 = percentile(ascending, 0.9),
            .p99 = percentile(ascending, 0.99),
            .max = ascending.back()};
}

}  // namespace infercost

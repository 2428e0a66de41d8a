// Points in lexicographic order. A point precedes all points that it dominates, so one pass is sufficient.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/threads.hpp"

namespace infercost {

template <std::size_t D>
struct Point {
    std::array<double, D> values;
    std::int64_t row;

    bool operator<(const Point& other) const {
        for (std::size_t k = 0; k + 1 < D; ++k) {
            if (values[k] != other.values[k]) return values[k] < other.values[k];
        }
        return values[D - 1] < other.values[D - 1];
    }
};

// Position of the i-th of `samples` samples from `n` rows: pseudo-random within its own share. Equal steps
// would hit the same values repeatedly in a table that enumerates a grid of sizes.
inline std::size_t sample_position(std::size_t i, std::size_t samples, std::size_t n) {
    std::uint64_t bits = (i + 1) * std::uint64_t{0x9E3779B97F4A7C15};
    bits = (bits ^ (bits >> 30)) * std::uint64_t{0xBF58476D1CE4E5B9};
    const std::size_t share = n / samples;
    return i * share + static_cast<std::size_t>(bits >> 20) % share;
}

// Number of ascending values that are smaller than `x`, or not larger with `OrEqual`. No branch depends on a
// value, because it would be mispredicted half of the time.
template <bool OrEqual>
std::size_t count_below(const double* values, std::size_t count, double x) {
    const auto below = [x](double value) { return OrEqual ? value <= x : value < x; };
    const double* base = values;
    while (count > 1) {
        const std::size_t half = count / 2;
        base += half * static_cast<std::size_t>(below(base[half - 1]));
        count -= half;
    }
    return static_cast<std::size_t>(base - values) + (count == 1 && below(*base) ? 1 : 0);
}

// Distribute points to buckets between quantiles of a sample of their first values, for any distribution, and
// return the end of each bucket. A bucket fits a cache while it is sorted. Points with equal first values
// share a bucket.
template <std::size_t D>
std::vector<std::size_t> deal_points(std::vector<Point<D>>& points) {
    constexpr std::size_t kPointsPerBucket = 2048;
    constexpr std::size_t kMostBuckets = 2048;
    constexpr std::size_t kSamplesPerBucket = 8;
    const std::size_t n = points.size();
    const std::size_t wanted = std::min(n / kPointsPerBucket, kMostBuckets);
    if (wanted < 4) return {n};
    std::vector<double> sample(wanted * kSamplesPerBucket);
    for (std::size_t i = 0; i < sample.size(); ++i) {
        sample[i] = points[sample_position(i, sample.size(), n)].values[0];
    }
    std::sort(sample.begin(), sample.end());
    std::vector<double> splitters;
    for (std::size_t i = kSamplesPerBucket; i < sample.size(); i += kSamplesPerBucket) {
        if (splitters.empty() || splitters.back() != sample[i]) splitters.push_back(sample[i]);
    }

    std::vector<std::uint16_t> bucket_of(n);
    std::vector<std::size_t> next(splitters.size() + 2, 0);
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t bucket =
            count_below<false>(splitters.data(), splitters.size(), points[i].values[0]);
        bucket_of[i] = static_cast<std::uint16_t>(bucket);
        ++next[bucket + 1];
    }
    for (std::size_t b = 1; b < next.size(); ++b) next[b] += next[b - 1];
    std::vector<Point<D>> dealt(n);
    for (std::size_t i = 0; i < n; ++i) dealt[next[bucket_of[i]]++] = points[i];
    points.swap(dealt);
    // Each entry has advanced to the end of its bucket, and the last but one to the end of all.
    next.pop_back();
    return next;
}

template <std::size_t D>
void sort_points(std::vector<Point<D>>& points) {
    const std::vector<std::size_t> ends = deal_points(points);
    auto begin = points.begin();  // read after distribution, which moves the points to other memory
    for (const std::size_t bucket_end : ends) {
        check_interrupt();
        const auto end = points.begin() + static_cast<std::ptrdiff_t>(bucket_end);
        std::sort(begin, end);
        begin = end;
    }
}

}  // namespace infercost

#include "sparsity/magnitudes.hpp"

#include <algorithm>
#include <cmath>

namespace infercost {

SamplePlaces::SamplePlaces(std::uint64_t elements)
    : elements_(elements), size_(std::min(elements, kSampleSize)) {}

std::uint64_t SamplePlaces::start(std::uint64_t share) const {
    return size_ < kSampleSize ? share : share * elements_ / kSampleSize;
}

std::uint64_t SamplePlaces::place(std::uint64_t i) const {
    const std::uint64_t first = start(i);
    const std::uint64_t width = start(i + 1) - first;
    // The finalizer of splitmix64.
    std::uint64_t hash = (i + 1) * 0x9E3779B97F4A7C15U;
    hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9U;
    hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EBU;
    return first + (hash ^ (hash >> 31)) % width;
}

std::uint64_t SamplePlaces::share_of(std::uint64_t element) const {
    return size_ < kSampleSize ? element : element * kSampleSize / elements_;
}

Magnitudes summarize(std::span<const double> sample) {
    Magnitudes result;
    result.sampled = sample.size();
    for (const double value : sample) {
        if (!std::isfinite(value)) {
            ++result.nonfinite;
        } else if (value == 0) {
            ++result.zeros;
        } else {
            result.largest = std::max(result.largest, value);
            result.smallest = result.smallest == 0 ? value : std::min(result.smallest, value);
        }
    }
    if (result.largest == 0) return result;
    const int top = std::ilogb(result.largest);
    result.lowest_octave = top - kOctaves + 1;
    double squares = 0;  // scaled by the largest, because squares of fp64 would overflow
    for (const double value : sample) {
        if (!std::isfinite(value) || value == 0) continue;
        const double scaled = value / result.largest;
        squares += scaled * scaled;
        const int octave = std::ilogb(value);
        if (octave < result.lowest_octave) {
            ++result.below;
            continue;
        }
        const double in_octave = std::ldexp(value, -octave) - 1;
        const int bin =
            (octave - result.lowest_octave) * kBinsPerOctave + static_cast<int>(in_octave * kBinsPerOctave);
        ++result.bins[static_cast<std::size_t>(bin)];
    }
    const std::uint64_t finite = result.sampled - result.nonfinite;
    result.root_mean_square = result.largest * std::sqrt(squares / static_cast<double>(finite));
    return result;
}

}  // namespace infercost

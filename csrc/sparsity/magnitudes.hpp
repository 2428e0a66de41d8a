// Magnitudes of the elements of a weight, from a sample, for the share of elements below a threshold.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace infercost {

// The elements, in order of their index, are divided into this many equal shares, and each share contributes
// one element. A hash of the share's number selects it, because equal steps would hit the same few columns.
// Smaller weights contribute all elements. The sample does not depend on threads, windows or the machine.
inline constexpr std::uint64_t kSampleSize = 16384;

class SamplePlaces {
  public:
    explicit SamplePlaces(std::uint64_t elements);
    std::uint64_t size() const { return size_; }
    // Index of sample i; ascending in `i`.
    std::uint64_t place(std::uint64_t i) const;
    // The share of an element, or the previous share.
    std::uint64_t share_of(std::uint64_t element) const;

  private:
    std::uint64_t start(std::uint64_t share) const;

    std::uint64_t elements_;
    std::uint64_t size_;
};

// Four equal parts per octave, for 32 octaves down from the largest magnitude.
inline constexpr int kBinsPerOctave = 4;
inline constexpr int kOctaves = 32;

struct Magnitudes {
    std::uint64_t sampled = 0;
    std::uint64_t zeros = 0;
    std::uint64_t nonfinite = 0;  // infinities and NaNs, in no other figure
    double largest = 0;
    double smallest = 0;  // except zero
    double root_mean_square = 0;
    int lowest_octave = 0;    // bins[0] starts at 2 to this power
    std::uint64_t below = 0;  // not zero, and below bins[0]
    std::array<std::uint64_t, std::size_t{kBinsPerOctave} * kOctaves> bins{};
};

Magnitudes summarize(std::span<const double> sample);

}  // namespace infercost

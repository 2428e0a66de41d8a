// How large the elements of a weight are, from a sample of them: what would vanish below a threshold.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace infercost {

// The weight's elements, in order of their index, are dealt into so many equal shares, and each gives one: at
// a place that a hash of the share's number decides, since equal steps would fall on the same few columns.
// Below that, all elements. The same elements for every thread count, window and machine.
inline constexpr std::uint64_t kSampleSize = 16384;

class SamplePlaces {
  public:
    explicit SamplePlaces(std::uint64_t elements);
    std::uint64_t size() const { return size_; }
    // Ascending in `i`.
    std::uint64_t place(std::uint64_t i) const;
    // The share that an element lies in, or the one before it.
    std::uint64_t share_of(std::uint64_t element) const;

  private:
    std::uint64_t start(std::uint64_t share) const;

    std::uint64_t elements_;
    std::uint64_t size_;
};

// Each octave in four equal parts, 32 octaves down from that of the largest magnitude.
inline constexpr int kBinsPerOctave = 4;
inline constexpr int kOctaves = 32;

struct Magnitudes {
    std::uint64_t sampled = 0;
    std::uint64_t zeros = 0;
    std::uint64_t nonfinite = 0;  // infinities and NaNs: in no other figure
    double largest = 0;
    double smallest = 0;  // that is not zero
    double root_mean_square = 0;
    int lowest_octave = 0;    // bins[0] starts at 2 to this power
    std::uint64_t below = 0;  // not zero, and below bins[0]
    std::array<std::uint64_t, std::size_t{kBinsPerOctave} * kOctaves> bins{};
};

Magnitudes summarise(std::span<const double> sample);

}  // namespace infercost

// Counts of durations in intervals that are equally wide on a logarithmic scale.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace infercost {

// Each octave has 64 intervals: a percentile is known within 0.8 %. Durations below the first edge, zero
// among them, have an interval of their own, as have those above the last one.
class Histogram {
  public:
    static constexpr double kFirst_s = 0x1p-20;  // about 1 us
    static constexpr int kOctaves = 50;          // to about 10^9 s
    static constexpr int kParts = 64;

    Histogram() : counts_(static_cast<std::size_t>(kOctaves) * kParts + 2, 0) {}

    void add(double seconds) { add(seconds, place(seconds)); }

    // The same, but a value that equals an edge belongs to the interval below it.
    void add_below(double value) { add(value, place(std::nextafter(value, 0.0))); }

    std::int64_t count() const { return count_; }
    double sum() const { return sum_; }
    double most() const { return most_; }
    const std::vector<std::int64_t>& counts() const { return counts_; }

    // Lower edges of the intervals.
    static std::vector<double> edges() {
        std::vector<double> found{0.0};
        for (int octave = 0; octave < kOctaves; ++octave) {
            for (int part = 0; part < kParts; ++part) {
                found.push_back(kFirst_s * std::ldexp(1.0 + static_cast<double>(part) / kParts, octave));
            }
        }
        found.push_back(std::ldexp(kFirst_s, kOctaves));
        return found;
    }

  private:
    void add(double seconds, std::size_t at) {
        ++counts_[at];
        ++count_;
        sum_ += seconds;
        most_ = std::max(most_, seconds);
    }

    // The exponent and the first six bits of the mantissa of a number are its interval.
    static std::size_t place(double seconds) {
        if (!(seconds >= kFirst_s)) return 0;
        const auto bits = std::bit_cast<std::uint64_t>(seconds) >> kDropped;
        return std::min<std::size_t>(bits - kBase + 1, static_cast<std::size_t>(kOctaves) * kParts + 1);
    }
    static constexpr int kDropped = 52 - 6;
    static constexpr std::uint64_t kBase = std::bit_cast<std::uint64_t>(kFirst_s) >> kDropped;

    std::vector<std::int64_t> counts_;
    std::int64_t count_ = 0;
    double sum_ = 0;
    double most_ = 0;
};

}  // namespace infercost

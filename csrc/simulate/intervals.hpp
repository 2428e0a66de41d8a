// The interval of a number among ascending knots.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace infercost {

// Each octave from 1 on has 16 buckets, by the first bits of the mantissa. A bucket tells the interval where
// it begins, and few steps lead on from there: knots of tables are about as dense as buckets.
class Intervals {
  public:
    Intervals() = default;

    // `from` ascends; the last interval has no end.
    explicit Intervals(std::vector<double> from) : from_(std::move(from)) {
        if (from_.empty()) return;
        const std::size_t buckets = bucket(std::max(from_.back(), 1.0)) + 2;
        std::size_t at = 0;
        for (std::size_t i = 0; i < buckets; ++i) {
            // All numbers below 1 are in the first bucket, too.
            const double begin = i == 0 ? 0.0 : std::bit_cast<double>((kOne + i) << kDropped);
            while (at + 1 < from_.size() && from_[at + 1] <= begin) ++at;
            first_.push_back(static_cast<std::uint32_t>(at));
        }
    }

    std::size_t size() const { return from_.size(); }
    double operator[](std::size_t i) const { return from_[i]; }

    // The last interval that begins at or below x, or the first one.
    std::size_t find(double x) const {
        const std::size_t place = std::min(bucket(x), first_.size() - 1);
        std::size_t at = first_[place];
        while (at + 1 < from_.size() && from_[at + 1] <= x) ++at;
        return at;
    }

  private:
    static constexpr int kDropped = 52 - 4;
    static constexpr std::uint64_t kOne = std::bit_cast<std::uint64_t>(1.0) >> kDropped;

    static std::size_t bucket(double x) {
        return x >= 1 ? static_cast<std::size_t>((std::bit_cast<std::uint64_t>(x) >> kDropped) - kOne) : 0;
    }

    std::vector<double> from_;
    std::vector<std::uint32_t> first_;
};

}  // namespace infercost

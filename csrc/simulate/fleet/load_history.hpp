// What an autoscaler sees of the load: means over whole seconds that have passed.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace infercost {

// What is measured. Requests of a pool of replicas, and those that wait for one of it.
enum class LoadMetric : std::uint8_t {
    in_flight,    // waiting and running
    running,      // in service
    waiting,      // not yet in service
    utilization,  // share of the slots of ready replicas that are in use
    arrivals,     // that have come so far; the only one that is a count
};
inline constexpr int kLoadMetrics = 5;

using LoadLevels = std::array<double, kLoadMetrics - 1>;  // all but arrivals

// Integrals of the levels over time, kept at whole seconds for the last hour.
class LoadHistory {
  public:
    static constexpr std::int64_t kKept_s = 3600;

    LoadHistory() : sums_(static_cast<std::size_t>(kKept_s) + 1, Sums{}) {}

    void arrive() { now_[kLoadMetrics - 1] += 1; }

    // The levels were these until now.
    void pass(double time_s, const LoadLevels& levels) {
        while (time_s >= static_cast<double>(seconds_ + 1)) {
            add(static_cast<double>(seconds_ + 1), levels);
            ++seconds_;
            sums_[static_cast<std::size_t>(seconds_) % sums_.size()] = now_;
        }
        add(time_s, levels);
    }

    // Whole seconds that have passed, as far as they are kept.
    std::int64_t seconds() const { return std::min(seconds_, kKept_s); }

    // Mean of a level over the last whole seconds, or over those that have passed. 0 before the first one.
    double mean(LoadMetric metric, std::int64_t window_s) const {
        const std::int64_t window = std::min(window_s, seconds());
        return window == 0 ? 0.0 : sum(metric, window) / static_cast<double>(window);
    }

    // Integral of a level, or requests that arrived, over the last whole seconds.
    double sum(LoadMetric metric, std::int64_t window_s) const {
        const std::int64_t window = std::min(window_s, seconds());
        const auto which = static_cast<std::size_t>(metric);
        const auto last = static_cast<std::size_t>(seconds_) % sums_.size();
        const auto first = static_cast<std::size_t>(seconds_ - window) % sums_.size();
        return sums_[last][which] - sums_[first][which];
    }

  private:
    using Sums = std::array<double, kLoadMetrics>;

    void add(double time_s, const LoadLevels& levels) {
        const double passed = time_s - time_s_;
        for (std::size_t i = 0; i < levels.size(); ++i) now_[i] += levels[i] * passed;
        time_s_ = time_s;
    }

    Sums now_{};
    double time_s_ = 0;
    std::int64_t seconds_ = 0;
    std::vector<Sums> sums_;  // at whole seconds, in turn
};

}  // namespace infercost

// Replicas for the load that the last period had at the time when they would be ready.
#include <algorithm>
#include <cmath>
#include <deque>

#include "simulate/fleet/autoscaler.hpp"
#include "simulate/fleet/checks.hpp"

namespace infercost {
namespace {

class Seasonal final : public Autoscaler {
  public:
    explicit Seasonal(const SeasonalSettings& settings)
        : s_(settings),
          bins_(static_cast<std::size_t>(std::max(1.0, std::round(settings.period_s / settings.bin_s)))),
          loads_(bins_, -1.0) {}

    double after(double time_s) const override { return next_multiple(time_s, s_.tick_s); }

    std::int64_t decide(const PoolView& view) override {
        learn(view);
        double load = view.load(s_.metric, s_.window_s);
        // Until replicas that start at the next tick are ready, the highest load of the last period.
        const double until = view.time_s + s_.ahead_s + s_.tick_s;
        for (auto bin = number(view.time_s); bin <= number(until); ++bin) {
            const double past = loads_[static_cast<std::size_t>(bin) % bins_];
            if (bin != current_) load = std::max(load, s_.headroom * past);
        }
        const std::int64_t needed = replicas_for(load, s_.target);
        // The most that was needed within the hold.
        while (!needed_.empty() && needed_.back().second <= needed) needed_.pop_back();
        needed_.emplace_back(view.time_s, needed);
        while (needed_.front().first < view.time_s - s_.hold_s) needed_.pop_front();
        return needed_.front().second;
    }

    bool reacts() const override { return true; }
    std::int64_t react(const PoolView& view) override { return std::max<std::int64_t>(1, view.wanted); }

  private:
    std::int64_t number(double time_s) const { return static_cast<std::int64_t>(time_s / s_.bin_s); }

    // Keeps the highest mean of a window in each bin.
    void learn(const PoolView& view) {
        const std::int64_t bin = number(view.time_s);
        const double load = view.load(s_.metric, s_.window_s);
        if (bin != current_) {
            if (current_ >= 0) loads_[static_cast<std::size_t>(current_) % bins_] = highest_;
            current_ = bin;
            highest_ = load;
        }
        highest_ = std::max(highest_, load);
    }

    SeasonalSettings s_;
    std::size_t bins_;
    std::vector<double> loads_;  // of each bin of a period; below 0 until it has passed
    std::int64_t current_ = -1;
    double highest_ = 0;
    std::deque<std::pair<double, std::int64_t>> needed_;  // falling
};

}  // namespace

std::unique_ptr<Autoscaler> make_seasonal(const SeasonalSettings& settings) {
    constexpr const char* kOwner = "seasonal";
    check_setting(kOwner, "target", settings.target, kLeastTarget, kMostTarget);
    check_setting(kOwner, "bin_s", settings.bin_s, 1.0, 1e6);
    check_setting(kOwner, "period_s", settings.period_s, settings.bin_s, 1e8);
    check_setting(kOwner, "periods over bins", settings.period_s / settings.bin_s, 1.0, 1e7);
    check_setting(kOwner, "ahead_s", settings.ahead_s, 0.0, kMostDelay_s);
    check_setting(kOwner, "headroom", settings.headroom, 0.0, 1e3);
    check_setting(kOwner, "window_s", settings.window_s, 1, LoadHistory::kKept_s);
    check_setting(kOwner, "hold_s", settings.hold_s, 0.0, kMostDelay_s);
    check_setting(kOwner, "tick_s", settings.tick_s, kLeastTick_s, kMostDelay_s);
    return std::make_unique<Seasonal>(settings);
}

}  // namespace infercost

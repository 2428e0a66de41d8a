// Replicas for the load that the last period had at the time when they would be ready.
#include <algorithm>
#include <cmath>
#include <deque>

#include "core/errors.hpp"
#include "simulate/fleet/autoscaler.hpp"

namespace infercost {
namespace {

struct SeasonalSettings final : TargetedSettings {
    double period_s = 86400;
    double bin_s = 300;
    std::optional<double> ahead_s;
    double headroom = 1;
    std::int64_t window_s = 60;
    double hold_s = 300;
    double tick_s = 15;

    void check() const override {
        if (period_s >= bin_s && period_s / bin_s <= 1e7) return;
        throw InputError("period_s of seasonal is " + number_text(period_s) + ", and bin_s " +
                         number_text(bin_s) + "; expected 1 to 10,000,000 bins in a period");
    }
    std::unique_ptr<Autoscaler> make(const ReplicaLoad& load) const override;
};

class Seasonal final : public Autoscaler {
  public:
    Seasonal(const SeasonalSettings& settings, double target, double ahead_s)
        : s_(settings),
          target_(target),
          ahead_s_(ahead_s),
          bins_(static_cast<std::size_t>(std::max(1.0, std::round(settings.period_s / settings.bin_s)))),
          loads_(bins_, -1.0) {}

    double after(double time_s) const override { return next_multiple(time_s, s_.tick_s); }

    std::int64_t decide(const PoolView& view) override {
        learn(view);
        double load = view.load(s_.metric, s_.window_s);
        // Until replicas that start at the next tick are ready, the highest load of the last period.
        const double until = view.time_s + ahead_s_ + s_.tick_s;
        for (auto bin = number(view.time_s); bin <= number(until); ++bin) {
            const double past = loads_[static_cast<std::size_t>(bin) % bins_];
            if (bin != current_) load = std::max(load, s_.headroom * past);
        }
        const std::int64_t needed = replicas_for(load, target_);
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
    double target_;
    double ahead_s_;
    std::size_t bins_;
    std::vector<double> loads_;  // of each bin of a period; below 0 until it has passed
    std::int64_t current_ = -1;
    double highest_ = 0;
    std::deque<std::pair<double, std::int64_t>> needed_;  // falling
};

std::unique_ptr<Autoscaler> SeasonalSettings::make(const ReplicaLoad& load) const {
    return std::make_unique<Seasonal>(*this, level_of(load), ahead_s.value_or(load.cold_start_s));
}

}  // namespace

AutoscalerKind seasonal_kind() {
    using S = SeasonalSettings;
    return {
        .name = "seasonal",
        .type = "Seasonal",
        .text =
            "Prediction: the load of the last period at the time when new replicas would be ready, or that "
            "of now.",
        .settings = targeted_settings({
            setting<&S::period_s>(
                "period_s", {1, 1e8, "s"},
                "Seconds of a season: a day, or a week. In the first one, the load of now decides "
                "alone."),
            setting<&S::bin_s>("bin_s", {1, 1e6, "s"}, "Seconds of which the highest load is remembered."),
            setting<&S::ahead_s>("ahead_s", kDelay,
                                 "Time that a new replica takes; None for its cold start."),
            setting<&S::headroom>("headroom", {0, 1e3}, "Factor on the load of the last period."),
            setting<&S::window_s>("window_s", kWindow, "Window of the load of now."),
            setting<&S::hold_s>("hold_s", kDelay, "Time for which fewer replicas must be asked for."),
            setting<&S::tick_s>("tick_s", kTick, "Seconds between decisions."),
        }),
        .make = make_settings<S>,
        .target = "target",
    };
}

}  // namespace infercost

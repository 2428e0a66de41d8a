// Knative's pod autoscaler: https://knative.dev/docs/serving/autoscaling/kpa-specific/, rules of
// pkg/autoscaler/scaling/autoscaler.go.
#include <algorithm>
#include <cmath>

#include "core/errors.hpp"
#include "simulate/fleet/autoscaler.hpp"

namespace infercost {
namespace {

struct KnativeSettings final : TargetedSettings {
    std::int64_t stable_window_s = 60;
    std::int64_t panic_window_s = 6;
    double panic_threshold = 2;
    double max_scale_up_rate = 1000;
    double max_scale_down_rate = 2;
    double scale_down_delay_s = 0;
    double scale_to_zero_grace_s = 30;
    std::int64_t activation_scale = 1;
    double tick_s = 2;

    void check() const override {
        if (panic_window_s <= stable_window_s) return;
        throw InputError("panic_window_s of kpa is " + std::to_string(panic_window_s) +
                         "; expected at most stable_window_s, " + std::to_string(stable_window_s));
    }
    std::unique_ptr<Autoscaler> make(const ReplicaLoad& load) const override;
};

class Knative final : public Autoscaler {
  public:
    Knative(const KnativeSettings& settings, double target) : s_(settings), target_(target) {}

    double after(double time_s) const override { return next_multiple(time_s, s_.tick_s); }

    std::int64_t decide(const PoolView& view) override {
        if (view.history->seconds() == 0) return view.wanted;  // no metric has been collected
        const std::int64_t ready = std::max<std::int64_t>(1, view.ready);
        const auto count = static_cast<double>(ready);
        const auto most = static_cast<std::int64_t>(std::ceil(s_.max_scale_up_rate * count));
        const auto least = static_cast<std::int64_t>(std::floor(count / s_.max_scale_down_rate));
        const std::int64_t stable = replicas_for(view.load(s_.metric, s_.stable_window_s), target_);
        const std::int64_t panic = replicas_for(view.load(s_.metric, s_.panic_window_s), target_);
        const bool over = static_cast<double>(panic) / count >= s_.panic_threshold;
        if (over) {
            panics_ = true;
            panic_s_ = view.time_s;
        } else if (panics_ && view.time_s - panic_s_ >= static_cast<double>(s_.stable_window_s)) {
            panics_ = false;
            most_in_panic_ = 0;
        }
        if (view.wanted == 0) activates_ = true;
        if (view.ready >= s_.activation_scale) activates_ = false;
        std::int64_t desired = activated(std::min(std::max(stable, least), most));
        if (panics_) {
            // Replicas do not leave in panic.
            const std::int64_t for_panic = activated(std::min(std::max(panic, least), most));
            most_in_panic_ = std::max({most_in_panic_, desired, for_panic});
            desired = most_in_panic_;
        }
        // Replicas that were asked for from zero are not stopped before they are ready.
        if (desired == 0 && activates_ && view.wanted > 0) return view.wanted;
        return at_end_of_delays(desired, view);
    }

    // The activator holds requests without a replica, and asks for one at once.
    bool reacts() const override { return true; }
    std::int64_t react(const PoolView& view) override {
        if (view.wanted > 0) return view.wanted;
        activates_ = true;
        return s_.activation_scale;
    }

  private:
    // From zero, at least activation_scale replicas start; once that many are ready, fewer may do.
    std::int64_t activated(std::int64_t desired) const {
        return activates_ && desired > 0 ? std::max(desired, s_.activation_scale) : desired;
    }

    std::int64_t at_end_of_delays(std::int64_t desired, const PoolView& view) {
        if (s_.scale_down_delay_s > 0) {
            // The most that was desired within the delay.
            while (!desired_.empty() && desired_.back().second <= desired) desired_.pop_back();
            desired_.emplace_back(view.time_s, desired);
            while (desired_.front().first <= view.time_s - s_.scale_down_delay_s) {
                desired_.erase(desired_.begin());
            }
            desired = desired_.front().second;
        }
        if (desired > 0 || view.wanted == 0) {
            zero_since_s_ = -1;
            return desired;
        }
        if (zero_since_s_ < 0) zero_since_s_ = view.time_s;
        return view.time_s - zero_since_s_ >= s_.scale_to_zero_grace_s ? 0 : 1;
    }

    KnativeSettings s_;
    double target_;
    bool activates_ = false;  // from zero, and activation_scale has not been reached
    bool panics_ = false;
    double panic_s_ = 0;
    std::int64_t most_in_panic_ = 0;
    double zero_since_s_ = -1;
    std::vector<std::pair<double, std::int64_t>> desired_;  // falling
};

std::unique_ptr<Autoscaler> KnativeSettings::make(const ReplicaLoad& load) const {
    return std::make_unique<Knative>(*this, level_of(load));
}

constexpr SettingRange kRate{1, 1e6};

}  // namespace

AutoscalerKind knative_kind() {
    using S = KnativeSettings;
    return {
        .name = "kpa",
        .type = "Knative",
        .text =
            "Knative's pod autoscaler (KPA): a stable and a panic window over requests in flight, those of "
            "the queue "
            "too.",
        .settings = targeted_settings({
            setting<&S::stable_window_s>("stable_window_s", kWindow,
                                         "Window of the mean in normal operation."),
            setting<&S::panic_window_s>("panic_window_s", kWindow, "Window of the mean in panic."),
            setting<&S::panic_threshold>(
                "panic_threshold", kRate,
                "Replicas that the panic window asks for, over those that are ready, from which on panic "
                "holds. Then "
                "replicas do not leave, until a whole stable window has passed below it."),
            setting<&S::max_scale_up_rate>("max_scale_up_rate", kRate,
                                           "Most replicas over those that are ready, in one decision."),
            setting<&S::max_scale_down_rate>(
                "max_scale_down_rate", kRate,
                "Replicas that are ready over the fewest that remain, in one decision."),
            setting<&S::scale_down_delay_s>("scale_down_delay_s", kDelay,
                                            "Time for which fewer replicas must be asked for."),
            setting<&S::scale_to_zero_grace_s>("scale_to_zero_grace_s", kDelay,
                                               "Time that the last replica stays, if `min_replicas` is 0."),
            setting<&S::activation_scale>("activation_scale", {1, kReplicas.high},
                                          "Replicas that start from zero, at once."),
            setting<&S::tick_s>("tick_s", kTick, "Seconds between decisions."),
        }),
        .make = make_settings<S>,
        .target = "target",
    };
}

}  // namespace infercost

// Knative's pod autoscaler: https://knative.dev/docs/serving/autoscaling/kpa-specific/, rules of
// pkg/autoscaler/scaling/autoscaler.go.
#include <algorithm>
#include <cmath>

#include "simulate/fleet/autoscaler.hpp"
#include "simulate/fleet/checks.hpp"

namespace infercost {
namespace {

class Knative final : public Autoscaler {
  public:
    explicit Knative(const KnativeSettings& settings) : s_(settings) {}

    double after(double time_s) const override { return next_multiple(time_s, s_.tick_s); }

    std::int64_t decide(const PoolView& view) override {
        if (view.history->seconds() == 0) return view.wanted;  // no metric has been collected
        const std::int64_t ready = std::max<std::int64_t>(1, view.ready);
        const auto count = static_cast<double>(ready);
        const auto most = static_cast<std::int64_t>(std::ceil(s_.max_scale_up_rate * count));
        const auto least = static_cast<std::int64_t>(std::floor(count / s_.max_scale_down_rate));
        const std::int64_t stable = replicas_for(view.load(s_.metric, s_.stable_window_s), s_.target);
        const std::int64_t panic = replicas_for(view.load(s_.metric, s_.panic_window_s), s_.target);
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
    bool activates_ = false;  // from zero, and activation_scale has not been reached
    bool panics_ = false;
    double panic_s_ = 0;
    std::int64_t most_in_panic_ = 0;
    double zero_since_s_ = -1;
    std::vector<std::pair<double, std::int64_t>> desired_;  // falling
};

}  // namespace

std::unique_ptr<Autoscaler> make_knative(const KnativeSettings& settings) {
    constexpr const char* kOwner = "KPA";
    check_setting(kOwner, "target", settings.target, kLeastTarget, kMostTarget);
    check_setting(kOwner, "stable_window_s", settings.stable_window_s, 1, LoadHistory::kKept_s);
    check_setting(kOwner, "panic_window_s", settings.panic_window_s, 1, settings.stable_window_s);
    check_setting(kOwner, "panic_threshold", settings.panic_threshold, 1, 1e6);
    check_setting(kOwner, "max_scale_up_rate", settings.max_scale_up_rate, 1.0, 1e6);
    check_setting(kOwner, "max_scale_down_rate", settings.max_scale_down_rate, 1.0, 1e6);
    check_setting(kOwner, "scale_down_delay_s", settings.scale_down_delay_s, 0, kMostDelay_s);
    check_setting(kOwner, "scale_to_zero_grace_s", settings.scale_to_zero_grace_s, 0, kMostDelay_s);
    check_setting(kOwner, "activation_scale", settings.activation_scale, 1, kMostReplicas);
    check_setting(kOwner, "tick_s", settings.tick_s, kLeastTick_s, kMostDelay_s);
    return std::make_unique<Knative>(settings);
}

}  // namespace infercost

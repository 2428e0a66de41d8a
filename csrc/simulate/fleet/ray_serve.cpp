// Ray Serve: https://docs.ray.io/en/latest/serve/advanced-guides/advanced-autoscaling.html, rules of
// python/ray/serve/autoscaling_policy.py.
#include <algorithm>
#include <cmath>

#include "simulate/fleet/autoscaler.hpp"

namespace infercost {
namespace {

struct RaySettings final : AutoscalerSettings {
    std::optional<double> target_ongoing_requests;
    double target_utilization = 0.7;
    std::int64_t look_back_s = 30;
    double upscale_delay_s = 30;
    double downscale_delay_s = 600;
    double upscaling_factor = 1;
    double downscaling_factor = 1;
    double loop_s = 0.1;

    double target_of(const ReplicaLoad& load) const override {
        return target_ongoing_requests.value_or(target_utilization * load.concurrency);
    }
    std::unique_ptr<Autoscaler> make(const ReplicaLoad& load) const override;
};

class Ray final : public Autoscaler {
  public:
    Ray(const RaySettings& settings, double target)
        : s_(settings),
          target_(target),
          up_(static_cast<std::int64_t>(settings.upscale_delay_s / settings.loop_s + 1e-9)),
          down_(static_cast<std::int64_t>(settings.downscale_delay_s / settings.loop_s + 1e-9)) {}

    double after(double time_s) const override { return next_multiple(time_s, s_.loop_s); }

    std::int64_t decide(const PoolView& view) override {
        // Without a running replica there are no delays.
        if (view.ready == 0) return view.in_flight > 0 ? react(view) : view.wanted;
        std::int64_t desired = desired_for(view);
        // The last replica leaves alone.
        if (view.wanted > 1) desired = std::max<std::int64_t>(1, desired);
        if (desired > view.wanted) {
            turns_ = std::max<std::int64_t>(turns_, 0) + 1;
            if (turns_ <= up_) return view.wanted;
        } else if (desired < view.wanted) {
            turns_ = std::min<std::int64_t>(turns_, 0) - 1;
            if (-turns_ <= down_) return view.wanted;
        }
        turns_ = 0;
        return desired;
    }

    bool reacts() const override { return true; }
    std::int64_t react(const PoolView& view) override {
        if (view.ready > 0) return view.wanted;
        return std::max(replicas_for(s_.upscaling_factor, 1), view.wanted);
    }
    // Replicas with the fewest requests are stopped first.
    Removal removal() const override { return Removal::idle; }

  private:
    std::int64_t desired_for(const PoolView& view) const {
        const double load = view.history->mean(LoadMetric::in_flight, s_.look_back_s);
        const auto ready = static_cast<double>(view.ready);
        const double error = load / (target_ * ready);
        const double factor = error >= 1 ? s_.upscaling_factor : s_.downscaling_factor;
        const std::int64_t desired = replicas_for(ready * (1 + (error - 1) * factor), 1);
        // A small factor does not keep replicas forever.
        const bool stuck = desired == view.ready && replicas_for(ready * error, 1) < view.ready;
        return stuck ? desired - 1 : desired;
    }

    RaySettings s_;
    double target_;
    std::int64_t up_;
    std::int64_t down_;
    std::int64_t turns_ = 0;  // of the loop that agreed, below 0 on fewer replicas
};

std::unique_ptr<Autoscaler> RaySettings::make(const ReplicaLoad& load) const {
    return std::make_unique<Ray>(*this, target_of(load));
}

constexpr SettingRange kFactor{1e-3, 1e3};

}  // namespace

AutoscalerKind ray_kind() {
    using S = RaySettings;
    return {
        .name = "ray",
        .type = "RayServe",
        .text = "Ray Serve's autoscaler: ongoing requests, waiting and running, after delays of agreement.",
        .settings = common_settings({
            setting<&S::target_ongoing_requests>("target_ongoing_requests", kTarget,
                                                 "Requests per replica; None for `target_utilization` of "
                                                 "what a replica serves at once. The product's "
                                                 "default is 2, whatever a replica can serve."),
            setting<&S::target_utilization>("target_utilization", kShare,
                                            "Share of what a replica serves at once."),
            setting<&S::look_back_s>("look_back_s", kWindow, "look_back_period_s, the window of the mean."),
            setting<&S::upscale_delay_s>("upscale_delay_s", kDelay,
                                         "Time for which more replicas must be asked for."),
            setting<&S::downscale_delay_s>("downscale_delay_s", kDelay,
                                           "Time for which fewer must be asked for."),
            setting<&S::upscaling_factor>(
                "upscaling_factor", kFactor,
                "Factor on the relative distance from the target, when it is exceeded."),
            setting<&S::downscaling_factor>("downscaling_factor", kFactor, "The same below the target."),
            setting<&S::loop_s>("loop_s", kTick, "Seconds between decisions."),
        }),
        .make = make_settings<S>,
        .measures = "in_flight",
        .target = "target_ongoing_requests",
    };
}

}  // namespace infercost

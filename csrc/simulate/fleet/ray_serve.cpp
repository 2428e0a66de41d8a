// Ray Serve: https://docs.ray.io/en/latest/serve/advanced-guides/advanced-autoscaling.html, rules of
// python/ray/serve/autoscaling_policy.py.
#include <algorithm>
#include <cmath>

#include "simulate/fleet/autoscaler.hpp"
#include "simulate/fleet/checks.hpp"

namespace infercost {
namespace {

class Ray final : public Autoscaler {
  public:
    explicit Ray(const RaySettings& settings)
        : s_(settings),
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
        const double error = load / (s_.target_ongoing_requests * ready);
        const double factor = error >= 1 ? s_.upscaling_factor : s_.downscaling_factor;
        const std::int64_t desired = replicas_for(ready * (1 + (error - 1) * factor), 1);
        // A small factor does not keep replicas forever.
        const bool stuck = desired == view.ready && replicas_for(ready * error, 1) < view.ready;
        return stuck ? desired - 1 : desired;
    }

    RaySettings s_;
    std::int64_t up_;
    std::int64_t down_;
    std::int64_t turns_ = 0;  // of the loop that agreed, below 0 on fewer replicas
};

}  // namespace

std::unique_ptr<Autoscaler> make_ray(const RaySettings& settings) {
    constexpr const char* kOwner = "Ray Serve";
    check_setting(kOwner, "target_ongoing_requests", settings.target_ongoing_requests, kLeastTarget,
                  kMostTarget);
    check_setting(kOwner, "look_back_s", settings.look_back_s, 1, LoadHistory::kKept_s);
    check_setting(kOwner, "upscale_delay_s", settings.upscale_delay_s, 0.0, kMostDelay_s);
    check_setting(kOwner, "downscale_delay_s", settings.downscale_delay_s, 0.0, kMostDelay_s);
    check_setting(kOwner, "upscaling_factor", settings.upscaling_factor, 1e-3, 1e3);
    check_setting(kOwner, "downscaling_factor", settings.downscaling_factor, 1e-3, 1e3);
    check_setting(kOwner, "loop_s", settings.loop_s, kLeastTick_s, kMostDelay_s);
    return std::make_unique<Ray>(settings);
}

}  // namespace infercost

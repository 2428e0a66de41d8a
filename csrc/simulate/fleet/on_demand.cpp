// Replicas that start for requests: AWS Lambda with its rate of new environments
// (https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html), and platforms whose containers leave
// after an idle time.
#include <algorithm>
#include <cmath>

#include "simulate/fleet/autoscaler.hpp"
#include "simulate/fleet/checks.hpp"

namespace infercost {
namespace {

class OnDemand final : public Autoscaler {
  public:
    explicit OnDemand(const OnDemandSettings& settings)
        : s_(settings), allowed_(static_cast<double>(settings.burst)) {}

    // Starts that had to wait for the rate are made up for.
    double after(double time_s) const override { return next_multiple(time_s, kTick_s); }

    std::int64_t decide(const PoolView& view) override {
        const std::int64_t missing = replicas_for(view.unplaced, s_.places) - view.starting;
        return s_.binds || missing <= 0 ? view.wanted : view.wanted + take(missing, view.time_s);
    }

    bool reacts() const override { return true; }
    std::int64_t react(const PoolView& view) override {
        const std::int64_t missing = s_.binds ? 1 : replicas_for(view.unplaced, s_.places) - view.starting;
        return missing <= 0 ? view.wanted : view.wanted + take(missing, view.time_s);
    }
    bool binds() const override { return s_.binds; }
    Removal removal() const override { return Removal::idle; }
    double idle_timeout_s() const override { return s_.idle_timeout_s; }

  private:
    static constexpr double kTick_s = 1;

    // A bucket of `burst` starts that fills in burst_s.
    std::int64_t take(std::int64_t missing, double time_s) {
        const auto burst = static_cast<double>(s_.burst);
        allowed_ = std::min(burst, allowed_ + (time_s - filled_s_) * burst / s_.burst_s);
        filled_s_ = time_s;
        const auto taken = std::min(missing, static_cast<std::int64_t>(allowed_));
        allowed_ -= static_cast<double>(taken);
        return taken;
    }

    OnDemandSettings s_;
    double allowed_;
    double filled_s_ = 0;
};

}  // namespace

std::unique_ptr<Autoscaler> make_on_demand(const OnDemandSettings& settings) {
    constexpr const char* kOwner = "on demand";
    check_setting(kOwner, "places", settings.places, 1e-3, kMostTarget);
    check_setting(kOwner, "idle_timeout_s", settings.idle_timeout_s, 0.0, kMostDelay_s);
    check_setting(kOwner, "burst", settings.burst, 1, kMostReplicas);
    check_setting(kOwner, "burst_s", settings.burst_s, 1e-3, kMostDelay_s);
    return std::make_unique<OnDemand>(settings);
}

}  // namespace infercost

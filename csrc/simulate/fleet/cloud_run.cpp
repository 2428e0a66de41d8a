// Cloud Run: https://cloud.google.com/run/docs/about-instance-autoscaling.
#include <algorithm>

#include "simulate/fleet/autoscaler.hpp"
#include "simulate/fleet/checks.hpp"

namespace infercost {
namespace {

class CloudRun final : public Autoscaler {
  public:
    explicit CloudRun(const CloudRunSettings& settings) : s_(settings) {}

    double after(double time_s) const override { return next_multiple(time_s, s_.tick_s); }

    // Instances leave when they were idle for a while, not because fewer are needed.
    std::int64_t decide(const PoolView& view) override {
        const double load = view.history->mean(LoadMetric::in_flight, s_.window_s);
        return std::max(view.wanted, replicas_for(load, s_.target_utilization * s_.concurrency));
    }

    bool reacts() const override { return true; }
    // Requests without room start the instances that they fill.
    std::int64_t react(const PoolView& view) override {
        const std::int64_t missing = replicas_for(view.unplaced, s_.concurrency) - view.starting;
        return view.wanted + std::max<std::int64_t>(0, missing);
    }
    Removal removal() const override { return Removal::idle; }
    double idle_timeout_s() const override { return s_.idle_timeout_s; }

  private:
    CloudRunSettings s_;
};

}  // namespace

std::unique_ptr<Autoscaler> make_cloud_run(const CloudRunSettings& settings) {
    constexpr const char* kOwner = "Cloud Run";
    check_setting(kOwner, "concurrency", settings.concurrency, 1.0, kMostTarget);
    check_setting(kOwner, "target_utilization", settings.target_utilization, 1e-3, 1.0);
    check_setting(kOwner, "window_s", settings.window_s, 1, LoadHistory::kKept_s);
    check_setting(kOwner, "idle_timeout_s", settings.idle_timeout_s, 0.0, kMostDelay_s);
    check_setting(kOwner, "tick_s", settings.tick_s, kLeastTick_s, kMostDelay_s);
    return std::make_unique<CloudRun>(settings);
}

}  // namespace infercost

// Cloud Run: https://cloud.google.com/run/docs/about-instance-autoscaling.
#include <algorithm>
#include <cmath>

#include "simulate/fleet/autoscaler.hpp"

namespace infercost {
namespace {

struct CloudRunSettings final : AutoscalerSettings {
    std::optional<double> concurrency;
    double target_utilization = 0.6;
    std::int64_t window_s = 60;
    double idle_timeout_s = 900;
    double tick_s = 1;

    CloudRunSettings() {
        min_replicas = 0;
        max_replicas = 100;
    }
    double concurrency_of(const ReplicaLoad& load) const { return concurrency.value_or(load.concurrency); }
    double target_of(const ReplicaLoad& load) const override {
        return target_utilization * concurrency_of(load);
    }
    // Other requests wait at the platform.
    std::int64_t limit_of(const ReplicaLoad& load, std::int64_t /*limit*/) const override {
        return rounded_limit(concurrency_of(load));
    }
    std::unique_ptr<Autoscaler> make(const ReplicaLoad& load) const override;
};

class CloudRun final : public Autoscaler {
  public:
    CloudRun(const CloudRunSettings& settings, double concurrency)
        : s_(settings), concurrency_(concurrency) {}

    double after(double time_s) const override { return next_multiple(time_s, s_.tick_s); }

    // Instances leave when they were idle for a while, not because fewer are needed.
    std::int64_t decide(const PoolView& view) override {
        const double load = view.history->mean(LoadMetric::in_flight, s_.window_s);
        return std::max(view.wanted, replicas_for(load, s_.target_utilization * concurrency_));
    }

    bool reacts() const override { return true; }
    // Requests without room start the instances that they fill.
    std::int64_t react(const PoolView& view) override {
        const std::int64_t missing = replicas_for(view.unplaced, concurrency_) - view.starting;
        return view.wanted + std::max<std::int64_t>(0, missing);
    }
    Removal removal() const override { return Removal::idle; }
    double idle_timeout_s() const override { return s_.idle_timeout_s; }

  private:
    CloudRunSettings s_;
    double concurrency_;
};

std::unique_ptr<Autoscaler> CloudRunSettings::make(const ReplicaLoad& load) const {
    return std::make_unique<CloudRun>(*this, concurrency_of(load));
}

}  // namespace

AutoscalerKind cloud_run_kind() {
    using S = CloudRunSettings;
    return {
        .name = "cloudrun",
        .type = "CloudRun",
        .text =
            "Cloud Run: a share of the concurrency over a minute, instances for requests without room, and "
            "to zero.",
        .settings = common_settings({
            setting<&S::concurrency>(
                "concurrency", {1, kTarget.high},
                "Maximum concurrent requests per instance; None for what a replica serves at once. "
                "The product's default is 80."),
            setting<&S::target_utilization>("target_utilization", kShare, "Share of it that is aimed at."),
            setting<&S::window_s>("window_s", kWindow, "Window of the mean."),
            setting<&S::idle_timeout_s>(
                "idle_timeout_s", kDelay,
                "Time without requests after which an instance leaves: at most 15 minutes, in "
                "which it is billed if billing is by instance."),
            setting<&S::tick_s>("tick_s", kTick, "Seconds between decisions."),
        }),
        .make = make_settings<S>,
        .measures = "in_flight",
        .target = "target",
        .routing = FleetRouting::first,
    };
}

}  // namespace infercost

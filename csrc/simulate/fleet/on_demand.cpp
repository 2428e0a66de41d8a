// Replicas that start for requests: AWS Lambda with its rate of new environments
// (https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html), and platforms whose containers leave
// after an idle time.
#include <algorithm>
#include <cmath>

#include "simulate/fleet/autoscaler.hpp"

namespace infercost {
namespace {

struct OnDemandSettings : AutoscalerSettings {
    double idle_timeout_s = 0;
    std::int64_t burst = 1000;
    double burst_s = 10;

    OnDemandSettings() { min_replicas = 0; }
    std::int64_t starts_with(const ReplicaLoad& /*load*/) const override {
        return start_replicas.value_or(min_replicas);
    }
};

struct LambdaSettings final : OnDemandSettings {
    LambdaSettings() {
        max_replicas = 1000;
        idle_timeout_s = 600;
    }
    std::int64_t limit_of(const ReplicaLoad& /*load*/, std::int64_t /*limit*/) const override { return 1; }
    std::unique_ptr<Autoscaler> make(const ReplicaLoad& load) const override;
};

struct ScaleToZeroSettings final : OnDemandSettings {
    ScaleToZeroSettings() { idle_timeout_s = 60; }
    // Other requests wait at the platform.
    std::int64_t limit_of(const ReplicaLoad& load, std::int64_t /*limit*/) const override {
        return rounded_limit(load.concurrency);
    }
    std::unique_ptr<Autoscaler> make(const ReplicaLoad& load) const override;
};

class OnDemand final : public Autoscaler {
  public:
    // `places`: requests that a new replica takes. `binds`: a request waits for the replica that was started
    // for it.
    OnDemand(const OnDemandSettings& settings, double places, bool binds)
        : s_{settings.idle_timeout_s, settings.burst, settings.burst_s},
          places_(places),
          binds_(binds),
          allowed_(static_cast<double>(settings.burst)) {}

    // Starts that had to wait for the rate are made up for.
    double after(double time_s) const override { return next_multiple(time_s, kTick_s); }

    std::int64_t decide(const PoolView& view) override {
        const std::int64_t missing = replicas_for(view.unplaced, places_) - view.starting;
        return binds_ || missing <= 0 ? view.wanted : view.wanted + take(missing, view.time_s);
    }

    bool reacts() const override { return true; }
    std::int64_t react(const PoolView& view) override {
        const std::int64_t missing = binds_ ? 1 : replicas_for(view.unplaced, places_) - view.starting;
        return missing <= 0 ? view.wanted : view.wanted + take(missing, view.time_s);
    }
    bool binds() const override { return binds_; }
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

    struct {
        double idle_timeout_s;
        std::int64_t burst;
        double burst_s;
    } s_;
    double places_;
    bool binds_;
    double allowed_;
    double filled_s_ = 0;
};

std::unique_ptr<Autoscaler> LambdaSettings::make(const ReplicaLoad& /*load*/) const {
    return std::make_unique<OnDemand>(*this, 1.0, true);
}

std::unique_ptr<Autoscaler> ScaleToZeroSettings::make(const ReplicaLoad& load) const {
    return std::make_unique<OnDemand>(*this, load.concurrency, false);
}

std::vector<AutoscalerSetting> on_demand_settings(const char* idle, const char* burst) {
    using S = OnDemandSettings;
    return common_settings({
        setting<&S::idle_timeout_s>("idle_timeout_s", kDelay, idle),
        setting<&S::burst>("burst", {1, kReplicas.high}, burst),
        setting<&S::burst_s>("burst_s", kTick, "... and again in each such time."),
    });
}

}  // namespace

AutoscalerKind lambda_kind() {
    return {
        .name = "lambda",
        .type = "Lambda",
        .text =
            "AWS Lambda: an environment for each request at once, some of them provisioned.\n\n"
            "An environment serves one request at a time, whatever the places of a replica. A request that "
            "finds "
            "none that is free waits for the one that starts for it. `min_replicas` is the provisioned "
            "concurrency, "
            "and `max_replicas` the reserved or the account's concurrency, beyond which requests wait.",
        .settings = on_demand_settings(
            "Time without requests after which an environment leaves. AWS does not publish it: assumed.",
            "Environments that may start at once ..."),
        .make = make_settings<LambdaSettings>,
        .measures = "requests without a place",
        .routing = FleetRouting::first,
    };
}

AutoscalerKind scale_to_zero_kind() {
    return {
        .name = "zero",
        .type = "ScaleToZero",
        .text = "Containers that start for requests that find no room, and leave after an idle time.",
        .settings = on_demand_settings("Time without requests after which a replica leaves.",
                                       "Replicas that may start at once ..."),
        .make = make_settings<ScaleToZeroSettings>,
        .measures = "requests without a place",
        .routing = FleetRouting::first,
    };
}

}  // namespace infercost

// Target tracking of AWS Application Auto Scaling: its alarms and cool-downs, on invocations per instance.
// https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html
#include <algorithm>

#include "simulate/fleet/autoscaler.hpp"

namespace infercost {
namespace {

struct TargetTrackingSettings final : AutoscalerSettings {
    std::optional<double> target;
    double target_utilization = 0.7;
    double period_s = 60;
    std::int64_t out_periods = 3;
    std::int64_t in_periods = 15;
    double in_share = 0.9;
    double scale_out_cooldown_s = 300;
    double scale_in_cooldown_s = 300;

    double level_of(const ReplicaLoad& load) const override {
        return target.value_or(target_utilization * load.rate_per_s * 60);
    }
    double target_of(const ReplicaLoad& load) const override {
        return level_of(load) / 60 / load.rate_per_s * load.concurrency;
    }
    std::unique_ptr<Autoscaler> make(const ReplicaLoad& load) const override;
};

class TargetTracking final : public Autoscaler {
  public:
    TargetTracking(const TargetTrackingSettings& settings, double target) : s_(settings), target_(target) {}

    double after(double time_s) const override { return next_multiple(time_s, s_.period_s); }

    std::int64_t decide(const PoolView& view) override {
        const auto period = static_cast<std::int64_t>(s_.period_s);
        if (view.history->seconds() < period) return view.wanted;
        const double calls = view.history->sum(LoadMetric::arrivals, period) * 60 / s_.period_s;
        if (view.wanted == 0) return calls > 0 || view.waiting > 0 ? 1 : 0;
        const double each = calls / static_cast<double>(std::max<std::int64_t>(1, view.ready));
        above_ = each > target_ ? above_ + 1 : 0;
        below_ = each < s_.in_share * target_ ? below_ + 1 : 0;
        const std::int64_t desired = replicas_for(calls, target_);
        if (above_ >= s_.out_periods) {
            // Instances that start count as part of what the alarm asks for.
            if (desired <= view.wanted) return view.wanted;
            out_s_ = view.time_s;
            in_s_ = -kNever;  // its cool-down stops
            return desired;
        }
        const bool cools =
            view.time_s - in_s_ < s_.scale_in_cooldown_s || view.time_s - out_s_ < s_.scale_out_cooldown_s;
        if (below_ < s_.in_periods || cools || desired >= view.wanted) return view.wanted;
        in_s_ = view.time_s;
        return desired;
    }

  private:
    TargetTrackingSettings s_;
    double target_;
    std::int64_t above_ = 0;  // periods in turn
    std::int64_t below_ = 0;
    double out_s_ = -kNever;
    double in_s_ = -kNever;
};

std::unique_ptr<Autoscaler> TargetTrackingSettings::make(const ReplicaLoad& load) const {
    return std::make_unique<TargetTracking>(*this, level_of(load));
}

constexpr SettingRange kPeriods{1, 1000};

}  // namespace

AutoscalerKind target_tracking_kind() {
    using S = TargetTrackingSettings;
    return {
        .name = "sagemaker",
        .type = "TargetTracking",
        .text =
            "Target tracking of Application Auto Scaling, as of SageMaker endpoints: invocations per "
            "instance and "
            "minute.",
        .settings = common_settings({
            setting<&S::target>(
                "target", kTarget,
                "SageMakerVariantInvocationsPerInstance; None for `target_utilization` of what a "
                "replica finishes in a minute."),
            setting<&S::target_utilization>("target_utilization", kShare,
                                            "Share of what a replica finishes in a minute."),
            setting<&S::period_s>("period_s", {1, kWindow.high, "s"}, "Seconds of a data point."),
            setting<&S::out_periods>("out_periods", kPeriods,
                                     "Data points above the target in turn, before instances start."),
            setting<&S::in_periods>("in_periods", kPeriods,
                                    "Data points below `in_share` of it in turn, before instances leave."),
            setting<&S::in_share>("in_share", kShare, "Share of the target below which instances leave."),
            setting<&S::scale_out_cooldown_s>("scale_out_cooldown_s", kDelay,
                                              "Time after a start in which no instance leaves."),
            setting<&S::scale_in_cooldown_s>("scale_in_cooldown_s", kDelay, "Time between removals."),
        }),
        .make = make_settings<S>,
        .measures = "requests per minute",
        .target = "target",
    };
}

}  // namespace infercost

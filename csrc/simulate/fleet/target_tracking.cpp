// Target tracking of AWS Application Auto Scaling: its alarms and cool-downs, on invocations per instance.
// https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html
#include <algorithm>

#include "simulate/fleet/autoscaler.hpp"
#include "simulate/fleet/checks.hpp"

namespace infercost {
namespace {

class TargetTracking final : public Autoscaler {
  public:
    explicit TargetTracking(const TargetTrackingSettings& settings) : s_(settings) {}

    double after(double time_s) const override { return next_multiple(time_s, s_.period_s); }

    std::int64_t decide(const PoolView& view) override {
        const auto period = static_cast<std::int64_t>(s_.period_s);
        if (view.history->seconds() < period) return view.wanted;
        const double calls = view.history->sum(LoadMetric::arrivals, period) * 60 / s_.period_s;
        if (view.wanted == 0) return calls > 0 || view.waiting > 0 ? 1 : 0;
        const double each = calls / static_cast<double>(std::max<std::int64_t>(1, view.ready));
        above_ = each > s_.target ? above_ + 1 : 0;
        below_ = each < s_.in_share * s_.target ? below_ + 1 : 0;
        const std::int64_t desired = replicas_for(calls, s_.target);
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
    std::int64_t above_ = 0;  // periods in turn
    std::int64_t below_ = 0;
    double out_s_ = -kNever;
    double in_s_ = -kNever;
};

}  // namespace

std::unique_ptr<Autoscaler> make_target_tracking(const TargetTrackingSettings& settings) {
    constexpr const char* kOwner = "target tracking";
    check_setting(kOwner, "target", settings.target, kLeastTarget, kMostTarget);
    check_setting(kOwner, "period_s", settings.period_s, 1.0, static_cast<double>(LoadHistory::kKept_s));
    check_setting(kOwner, "out_periods", settings.out_periods, 1, 1000);
    check_setting(kOwner, "in_periods", settings.in_periods, 1, 1000);
    check_setting(kOwner, "in_share", settings.in_share, 0.0, 1.0);
    check_setting(kOwner, "scale_out_cooldown_s", settings.scale_out_cooldown_s, 0.0, kMostDelay_s);
    check_setting(kOwner, "scale_in_cooldown_s", settings.scale_in_cooldown_s, 0.0, kMostDelay_s);
    return std::make_unique<TargetTracking>(settings);
}

}  // namespace infercost

#include "simulate/fleet/autoscaler.hpp"

#include <cmath>

namespace infercost {

std::int64_t replicas_for(double load, double target) {
    // Integrals of levels carry rounding errors of this relative size.
    const double exact = load / target;
    return static_cast<std::int64_t>(std::ceil(exact - 1e-9 * std::max(1.0, exact)));
}

std::unique_ptr<Autoscaler> make_autoscaler(const AutoscalerSettings& settings) {
    struct {
        auto operator()(const ScheduleSettings& s) const { return make_schedule(s); }
        auto operator()(const KnativeSettings& s) const { return make_knative(s); }
        auto operator()(const KubernetesSettings& s) const { return make_kubernetes(s); }
        auto operator()(const RaySettings& s) const { return make_ray(s); }
        auto operator()(const TargetTrackingSettings& s) const { return make_target_tracking(s); }
        auto operator()(const OnDemandSettings& s) const { return make_on_demand(s); }
        auto operator()(const CloudRunSettings& s) const { return make_cloud_run(s); }
        auto operator()(const SeasonalSettings& s) const { return make_seasonal(s); }
    } make;
    return std::visit(make, settings);
}

}  // namespace infercost

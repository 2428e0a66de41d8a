#include "simulate/fleet/autoscaler.hpp"

#include <algorithm>
#include <cmath>

#include "core/errors.hpp"

namespace infercost {

// A file each.
AutoscalerKind static_kind();
AutoscalerKind scheduled_kind();
AutoscalerKind knative_kind();
AutoscalerKind kubernetes_kind();
AutoscalerKind ray_kind();
AutoscalerKind target_tracking_kind();
AutoscalerKind lambda_kind();
AutoscalerKind cloud_run_kind();
AutoscalerKind scale_to_zero_kind();
AutoscalerKind seasonal_kind();
AutoscalerKind oracle_kind();

namespace {

constexpr std::array<std::string_view, 4> kMetrics = {"in_flight", "running", "waiting", "utilization"};

std::vector<AutoscalerSetting> joined(std::vector<AutoscalerSetting> first,
                                      const std::vector<AutoscalerSetting>& own) {
    first.insert(first.end(), own.begin(), own.end());
    return first;
}

}  // namespace

std::int64_t replicas_for(double load, double target) {
    // Integrals of levels carry rounding errors of this relative size.
    const double exact = load / target;
    return static_cast<std::int64_t>(std::ceil(exact - 1e-9 * std::max(1.0, exact)));
}

std::int64_t rounded_limit(double concurrency) {
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::nearbyint(concurrency)));
}

std::int64_t AutoscalerSettings::within(std::int64_t replicas) const {
    return std::max(min_replicas, std::min(replicas, max_replicas.value_or(replicas)));
}

std::int64_t AutoscalerSettings::starts_with(const ReplicaLoad& load) const {
    if (start_replicas) return *start_replicas;
    return within(static_cast<std::int64_t>(std::ceil(load.mean_in_flight / target_of(load) - 1e-9)));
}

double TargetedSettings::target_of(const ReplicaLoad& load) const {
    return target && metric == LoadMetric::in_flight ? *target : target_utilization * load.concurrency;
}

double TargetedSettings::level_of(const ReplicaLoad& load) const {
    if (target) return *target;
    return metric == LoadMetric::utilization ? target_utilization : target_utilization * load.concurrency;
}

std::vector<AutoscalerSetting> common_settings(const std::vector<AutoscalerSetting>& own) {
    using S = AutoscalerSettings;
    return joined(
        {setting<&S::min_replicas>("min_replicas", kReplicas, "Fewest replicas."),
         setting<&S::max_replicas>("max_replicas", kReplicas, "Most replicas; None for no limit."),
         setting<&S::start_replicas>("start_replicas", kReplicas,
                                     "Replicas that are ready at the start; None for those that the mean "
                                     "load needs.")},
        own);
}

std::vector<AutoscalerSetting> targeted_settings(const std::vector<AutoscalerSetting>& own) {
    using S = TargetedSettings;
    return common_settings(
        joined({setting<&S::target>(
                    "target", kTarget,
                    "Level of the metric per replica; None for `target_utilization` of what a replica serves "
                    "at once."),
                setting<&S::target_utilization>("target_utilization", kShare,
                                                "Share of what a replica serves at once."),
                setting<&S::metric, kMetrics>(
                    "metric", {},
                    "What is measured: `\"in_flight\"` (waiting and running), `\"running\"`, "
                    "`\"waiting\"`, or `\"utilization\"` of the places of ready replicas, whose "
                    "target is a share.")},
               own));
}

const std::vector<AutoscalerKind>& autoscaler_kinds() {
    static const std::vector<AutoscalerKind> kinds = {
        static_kind(),        scheduled_kind(),       knative_kind(), kubernetes_kind(),
        ray_kind(),           target_tracking_kind(), lambda_kind(),  cloud_run_kind(),
        scale_to_zero_kind(), seasonal_kind(),        oracle_kind(),
    };
    return kinds;
}

const AutoscalerKind& autoscaler_kind(std::string_view name) {
    std::string expected;
    for (const AutoscalerKind& each : autoscaler_kinds()) {
        if (each.name == name) return each;
        (expected += expected.empty() ? "" : ", ") += each.name;
    }
    throw InputError("autoscaler is '" + std::string(name) + "'; expected one of " + expected);
}

std::shared_ptr<const AutoscalerSettings> settings_of(const AutoscalerKind& kind,
                                                      const AutoscalerValues& given) {
    std::shared_ptr<AutoscalerSettings> made = kind.make();
    for (const auto& [name, value] : given) {
        const auto found =
            std::ranges::find_if(kind.settings, [&](const auto& each) { return each.name == name; });
        if (found == kind.settings.end()) {
            throw InputError("autoscaler " + std::string(kind.name) + " has no setting '" + name + "'");
        }
        found->write(*made, checked(*found, kind.name, value));
    }
    if (made->max_replicas.value_or(made->min_replicas) < made->min_replicas) {
        throw InputError("max_replicas of " + std::string(kind.name) + " is " +
                         std::to_string(*made->max_replicas) + ", below min_replicas " +
                         std::to_string(made->min_replicas));
    }
    made->check();
    return made;
}

}  // namespace infercost

// HorizontalPodAutoscaler: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/, and
// KEDA's activation: https://keda.sh/docs/latest/concepts/scaling-deployments/.
#include <algorithm>
#include <cmath>
#include <deque>

#include "core/errors.hpp"
#include "simulate/fleet/autoscaler.hpp"

namespace infercost {
namespace {

struct Event {
    double time_s;
    std::int64_t replicas;
};

struct KubernetesSettings final : TargetedSettings {
    std::int64_t metric_window_s = 0;
    double tolerance = 0.1;
    double sync_s = 15;
    double up_percent = 100;
    std::int64_t up_pods = 4;
    double up_period_s = 15;
    double up_stabilization_s = 0;
    double down_percent = 100;
    double down_period_s = 15;
    double down_stabilization_s = 300;
    bool keda = false;
    double polling_s = 30;
    double cooldown_s = 300;

    void check() const override {
        if (min_replicas > 0 || keda) return;
        throw InputError(
            "min_replicas of hpa is 0, and a HorizontalPodAutoscaler keeps one replica; pass keda=true, or "
            "min_replicas=1");
    }
    std::unique_ptr<Autoscaler> make(const ReplicaLoad& load) const override;
};

class Kubernetes final : public Autoscaler {
  public:
    Kubernetes(const KubernetesSettings& settings, double target) : s_(settings), target_(target) {}

    double after(double time_s) const override {
        const double sync = next_multiple(time_s, s_.sync_s);
        return s_.keda ? std::min(sync, next_multiple(time_s, s_.polling_s)) : sync;
    }

    std::int64_t decide(const PoolView& view) override {
        const double load = view.load(s_.metric, s_.metric_window_s);
        if (s_.keda && is_turn(view.time_s, s_.polling_s)) {
            if (load > 0) active_s_ = view.time_s;
            if (view.wanted == 0) return load > 0 ? 1 : 0;
            if (load <= 0 && view.time_s - active_s_ >= s_.cooldown_s) return 0;
        }
        if (view.wanted == 0 || !is_turn(view.time_s, s_.sync_s)) return view.wanted;
        const std::int64_t desired = normalized(desired_for(load, view), view);
        const double longest_s = std::max(s_.up_period_s, s_.down_period_s);
        for (auto* events : {&ups_, &downs_}) {
            while (!events->empty() && events->front().time_s <= view.time_s - longest_s) events->pop_front();
        }
        if (desired > view.wanted) ups_.push_back({view.time_s, desired - view.wanted});
        if (desired < view.wanted) downs_.push_back({view.time_s, view.wanted - desired});
        return desired;
    }

  private:
    static bool is_turn(double time_s, double interval_s) {
        const double passed = time_s / interval_s;
        return std::abs(passed - std::round(passed)) < 1e-6;
    }

    // The metric of pods is that of ready ones. If it asks for more pods, those that start count as ready
    // without load; if it then asks for fewer, nothing changes. KEDA's metric is external: a share of all
    // pods.
    std::int64_t desired_for(double load, const PoolView& view) const {
        const auto all = static_cast<double>(std::max<std::int64_t>(1, view.ready + view.starting));
        const auto ready = view.ready > 0 && !s_.keda ? static_cast<double>(view.ready) : all;
        double ratio = load / (target_ * ready);
        if (ratio > 1) {
            ratio = load / (target_ * all);
            if (ratio < 1 && !s_.keda) return view.wanted;
        }
        if (std::abs(ratio - 1) <= s_.tolerance) return view.wanted;
        return std::max<std::int64_t>(1, replicas_for(load, target_));
    }

    // Stabilization: up to the least, and down to the most that was recommended within the windows. Then the
    // policies, of which the one that allows more counts.
    std::int64_t normalized(std::int64_t recommended, const PoolView& view) {
        const double now = view.time_s;
        recommended_.push_back({now, recommended});
        const double longest = std::max(s_.up_stabilization_s, s_.down_stabilization_s);
        while (recommended_.size() > 1 && recommended_.front().time_s <= now - longest) {
            recommended_.pop_front();
        }
        std::int64_t up = recommended;
        std::int64_t down = recommended;
        for (const Event& each : recommended_) {
            if (each.time_s > now - s_.up_stabilization_s) up = std::min(up, each.replicas);
            if (each.time_s > now - s_.down_stabilization_s) down = std::max(down, each.replicas);
        }
        std::int64_t desired = view.wanted;
        if (desired < up) desired = up;
        if (desired > down) desired = down;
        if (desired > view.wanted) {
            const std::int64_t start = at_start(view.wanted, now - s_.up_period_s);
            const auto by_percent = static_cast<std::int64_t>(
                std::ceil(static_cast<double>(start) * (1 + s_.up_percent / 100) - 1e-9));
            // Once as many were added as the period allows, there are no more until it ends.
            return std::max(view.wanted, std::min(desired, std::max(by_percent, start + s_.up_pods)));
        }
        if (desired < view.wanted) {
            const std::int64_t start = at_start(view.wanted, now - s_.down_period_s);
            const auto by_percent = static_cast<std::int64_t>(
                std::floor(static_cast<double>(start) * (1 - s_.down_percent / 100) + 1e-9));
            return std::min(view.wanted, std::max(desired, by_percent));
        }
        return desired;
    }

    // Pods at the start of a period.
    std::int64_t at_start(std::int64_t now, double after_s) const {
        return now - changed(ups_, after_s) + changed(downs_, after_s);
    }

    // Pods of changes after a time.
    static std::int64_t changed(const std::deque<Event>& events, double after_s) {
        std::int64_t sum = 0;
        for (const Event& each : events) {
            if (each.time_s > after_s) sum += each.replicas;
        }
        return sum;
    }

    KubernetesSettings s_;
    double target_;
    double active_s_ = 0;
    std::deque<Event> recommended_;
    std::deque<Event> ups_;
    std::deque<Event> downs_;
};

std::unique_ptr<Autoscaler> KubernetesSettings::make(const ReplicaLoad& load) const {
    return std::make_unique<Kubernetes>(*this, level_of(load));
}

constexpr SettingRange kPercent{0, 1e6};
constexpr SettingRange kPeriod{1, 1800, "s"};
constexpr SettingRange kStabilization{0, 3600, "s"};

}  // namespace

AutoscalerKind kubernetes_kind() {
    using S = KubernetesSettings;
    return {
        .name = "hpa",
        .type = "Kubernetes",
        .text = "HorizontalPodAutoscaler (HPA) of Kubernetes; with `keda`, KEDA's steps from and to zero.",
        .settings = targeted_settings({
            setting<&S::metric_window_s>(
                "metric_window_s", {0, kWindow.high},
                "Seconds that the metric is a mean of; 0 for its value at the decision."),
            setting<&S::tolerance>(
                "tolerance", {0, 10},
                "Relative distance of the metric from its target within which nothing changes."),
            setting<&S::sync_s>("sync_s", kTick, "Seconds between decisions."),
            setting<&S::up_percent>(
                "up_percent", kPercent,
                "Most replicas that start in `up_period_s`, in percent of those that are there ..."),
            setting<&S::up_pods>("up_pods", kReplicas, "... or as many, whatever is more."),
            setting<&S::up_period_s>("up_period_s", kPeriod, "Period of these policies."),
            setting<&S::up_stabilization_s>(
                "up_stabilization_s", kStabilization,
                "Time of which the fewest replicas that were asked for count when more are."),
            setting<&S::down_percent>("down_percent", {0, 100},
                                      "Most replicas that leave in `down_period_s`, in percent."),
            setting<&S::down_period_s>("down_period_s", kPeriod, "Period of this policy."),
            setting<&S::down_stabilization_s>(
                "down_stabilization_s", kStabilization,
                "Time of which the most replicas that were asked for count when fewer are."),
            setting<&S::keda>("keda", {}, "Whether KEDA starts the first replica and removes the last one."),
            setting<&S::polling_s>("polling_s", kTick, "KEDA's pollingInterval."),
            setting<&S::cooldown_s>(
                "cooldown_s", kDelay,
                "KEDA's cooldownPeriod: time without load before the last replica leaves."),
        }),
        .make = make_settings<S>,
        .target = "target",
    };
}

}  // namespace infercost

// HorizontalPodAutoscaler: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/, and
// KEDA's activation: https://keda.sh/docs/latest/concepts/scaling-deployments/.
#include <algorithm>
#include <cmath>
#include <deque>

#include "simulate/fleet/autoscaler.hpp"
#include "simulate/fleet/checks.hpp"

namespace infercost {
namespace {

struct Event {
    double time_s;
    std::int64_t replicas;
};

class Kubernetes final : public Autoscaler {
  public:
    explicit Kubernetes(const KubernetesSettings& settings) : s_(settings) {}

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
        double ratio = load / (s_.target * ready);
        if (ratio > 1) {
            ratio = load / (s_.target * all);
            if (ratio < 1 && !s_.keda) return view.wanted;
        }
        if (std::abs(ratio - 1) <= s_.tolerance) return view.wanted;
        return std::max<std::int64_t>(1, replicas_for(load, s_.target));
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
    double active_s_ = 0;
    std::deque<Event> recommended_;
    std::deque<Event> ups_;
    std::deque<Event> downs_;
};

}  // namespace

std::unique_ptr<Autoscaler> make_kubernetes(const KubernetesSettings& settings) {
    constexpr const char* kOwner = "HPA";
    check_setting(kOwner, "target", settings.target, kLeastTarget, kMostTarget);
    check_setting(kOwner, "metric_window_s", settings.metric_window_s, 0, LoadHistory::kKept_s);
    check_setting(kOwner, "tolerance", settings.tolerance, 0.0, 10.0);
    check_setting(kOwner, "sync_s", settings.sync_s, kLeastTick_s, kMostDelay_s);
    check_setting(kOwner, "up_percent", settings.up_percent, 0.0, 1e6);
    check_setting(kOwner, "up_pods", settings.up_pods, 0, kMostReplicas);
    check_setting(kOwner, "up_period_s", settings.up_period_s, kLeastTick_s, 1800.0);
    check_setting(kOwner, "up_stabilization_s", settings.up_stabilization_s, 0.0, 3600.0);
    check_setting(kOwner, "down_percent", settings.down_percent, 0.0, 100.0);
    check_setting(kOwner, "down_period_s", settings.down_period_s, kLeastTick_s, 1800.0);
    check_setting(kOwner, "down_stabilization_s", settings.down_stabilization_s, 0.0, 3600.0);
    check_setting(kOwner, "polling_s", settings.polling_s, kLeastTick_s, kMostDelay_s);
    check_setting(kOwner, "cooldown_s", settings.cooldown_s, 0.0, kMostDelay_s);
    return std::make_unique<Kubernetes>(settings);
}

}  // namespace infercost

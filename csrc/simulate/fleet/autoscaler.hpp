// Rules that say how many replicas a pool should have, as products apply them.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <variant>
#include <vector>

#include "simulate/fleet/load_history.hpp"

namespace infercost {

// What an autoscaler sees of its pool.
struct PoolView {
    double time_s = 0;
    std::int64_t ready = 0;
    std::int64_t starting = 0;
    std::int64_t wanted = 0;  // that were asked for last, and are kept
    double in_flight = 0;     // now, as in LoadMetric
    double running = 0;
    double waiting = 0;
    double unplaced = 0;  // of them, those that no replica has taken
    double utilization = 0;
    const LoadHistory* history = nullptr;

    double level(LoadMetric metric) const {
        switch (metric) {
            case LoadMetric::running:
                return running;
            case LoadMetric::waiting:
                return waiting;
            case LoadMetric::utilization:
                return utilization;
            default:
                return in_flight;
        }
    }
    // A level as a sum over replicas, now or as the mean of a window.
    double load(LoadMetric metric, std::int64_t window_s) const {
        const double value = window_s > 0 ? history->mean(metric, window_s) : level(metric);
        return metric == LoadMetric::utilization ? value * static_cast<double>(ready) : value;
    }
};

enum class Removal : std::uint8_t { newest, idle };

// Fields have the names of the products where these have one.

// Knative's pod autoscaler (KPA).
struct KnativeSettings {
    LoadMetric metric = LoadMetric::in_flight;
    double target = 70;  // of a replica: container-concurrency target x target utilization
    std::int64_t stable_window_s = 60;
    std::int64_t panic_window_s = 6;
    double panic_threshold = 2;
    double max_scale_up_rate = 1000;
    double max_scale_down_rate = 2;
    double scale_down_delay_s = 0;
    double scale_to_zero_grace_s = 30;
    std::int64_t activation_scale = 1;
    double tick_s = 2;
};

// HorizontalPodAutoscaler of Kubernetes with a metric per pod; with `keda`, KEDA's steps from and to zero.
struct KubernetesSettings {
    LoadMetric metric = LoadMetric::in_flight;
    double target = 70;
    std::int64_t metric_window_s = 0;  // mean that the metric is made of; 0: its value now
    double tolerance = 0.1;
    double sync_s = 15;
    double up_percent = 100;  // per `up_period_s`
    std::int64_t up_pods = 4;
    double up_period_s = 15;
    double up_stabilization_s = 0;
    double down_percent = 100;
    double down_period_s = 15;
    double down_stabilization_s = 300;
    bool keda = false;
    double polling_s = 30;    // pollingInterval
    double cooldown_s = 300;  // cooldownPeriod, before zero
};

struct RaySettings {
    double target_ongoing_requests = 2;
    std::int64_t look_back_s = 30;
    double upscale_delay_s = 30;
    double downscale_delay_s = 600;
    double upscaling_factor = 1;
    double downscaling_factor = 1;
    double loop_s = 0.1;
};

// Target tracking of Application Auto Scaling with invocations per instance and minute, as of SageMaker.
struct TargetTrackingSettings {
    double target = 600;  // invocations per instance and minute
    double period_s = 60;
    std::int64_t out_periods = 3;
    std::int64_t in_periods = 15;
    double in_share = 0.9;  // of the target, below which instances leave
    double scale_out_cooldown_s = 300;
    double scale_in_cooldown_s = 300;
};

// Replicas for requests that find no room, up to a rate of starts; idle ones leave after a while.
struct OnDemandSettings {
    double places = 1;  // requests that a new replica takes
    double idle_timeout_s = 60;
    std::int64_t burst = 1000;  // replicas that start at once ...
    double burst_s = 10;        // ... and again in each such time
    bool binds = false;         // a request waits for the replica that was started for it
};

// Cloud Run: a share of the concurrency of instances over a window, and instances for requests without room.
struct CloudRunSettings {
    double concurrency = 80;
    double target_utilization = 0.6;
    std::int64_t window_s = 60;
    double idle_timeout_s = 900;
    double tick_s = 1;
};

// Replicas by time: from from_s[i] on replicas[i], repeated every period_s. Without a period the last ones
// stay.
struct ScheduleSettings {
    std::vector<double> from_s{0.0};
    std::vector<std::int64_t> replicas{1};
    double period_s = std::numeric_limits<double>::infinity();
};

// The load of the last period at the time when new replicas would be ready, beside the load of now.
struct SeasonalSettings {
    LoadMetric metric = LoadMetric::in_flight;
    double target = 70;
    double period_s = 86400;
    double bin_s = 300;
    double ahead_s = 60;         // until replicas that start now are ready
    double headroom = 1;         // times the load of the last period
    std::int64_t window_s = 60;  // of the load of now
    double hold_s = 300;         // replicas stay until none is needed for so long
    double tick_s = 15;
};

using AutoscalerSettings =
    std::variant<ScheduleSettings, KnativeSettings, KubernetesSettings, RaySettings, TargetTrackingSettings,
                 OnDemandSettings, CloudRunSettings, SeasonalSettings>;

class Autoscaler {
  public:
    static constexpr double kNever = std::numeric_limits<double>::infinity();

    virtual ~Autoscaler() = default;
    // The first time after this one at which it decides. The first decision is at 0.
    virtual double after(double time_s) const = 0;
    // Replicas that the pool should have, those that start among them.
    virtual std::int64_t decide(const PoolView& view) = 0;
    // Whether it is also asked when a request finds no room.
    virtual bool reacts() const { return false; }
    virtual std::int64_t react(const PoolView& view) { return view.wanted; }
    virtual bool binds() const { return false; }
    // Whether it looks at past loads.
    virtual bool looks_back() const { return true; }
    virtual Removal removal() const { return Removal::newest; }
    // Replicas without requests for so long leave by themselves.
    virtual double idle_timeout_s() const { return kNever; }
};

// Throws std::invalid_argument for settings out of range.
std::unique_ptr<Autoscaler> make_autoscaler(const AutoscalerSettings& settings);

// One file each.
std::unique_ptr<Autoscaler> make_schedule(const ScheduleSettings& settings);
std::unique_ptr<Autoscaler> make_knative(const KnativeSettings& settings);
std::unique_ptr<Autoscaler> make_kubernetes(const KubernetesSettings& settings);
std::unique_ptr<Autoscaler> make_ray(const RaySettings& settings);
std::unique_ptr<Autoscaler> make_target_tracking(const TargetTrackingSettings& settings);
std::unique_ptr<Autoscaler> make_on_demand(const OnDemandSettings& settings);
std::unique_ptr<Autoscaler> make_cloud_run(const CloudRunSettings& settings);
std::unique_ptr<Autoscaler> make_seasonal(const SeasonalSettings& settings);

// Times of a loop that begins at 0: k * interval_s, without sums that drift.
inline double next_multiple(double time_s, double interval_s) {
    const double passed = time_s / interval_s;
    auto turn = static_cast<std::int64_t>(passed + 1e-9);
    while (static_cast<double>(turn) * interval_s <= time_s) ++turn;
    return static_cast<double>(turn) * interval_s;
}

// ceil of a quotient whose rounding may lie just above a whole number.
std::int64_t replicas_for(double load, double target);

}  // namespace infercost

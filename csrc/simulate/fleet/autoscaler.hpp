// Rules for the number of replicas of a pool, as products apply them. A new autoscaler is a file of this
// folder with its settings, their rows and its rule, its line in autoscaler.cpp, and its name in Python
// (fleets/__init__.pyi).
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/settings.hpp"
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

enum class FleetRouting : std::uint8_t {
    first,        // the first replica with room: replicas are filled one after the other
    least_loaded  // the fewest requests over slots
};

enum class Removal : std::uint8_t { newest, idle };

// What targets of autoscalers are derived from.
struct ReplicaLoad {
    double concurrency = 0;     // requests that a replica serves at once
    double rate_per_s = 0;      // requests that it finishes then
    double mean_in_flight = 0;  // requests in service if none waited
    double peak_in_flight = 0;
    double cold_start_s = 0;
};

class Autoscaler;

// Settings of an autoscaler, named as in the products where these have a name, and what follows from them.
struct AutoscalerSettings {
    std::int64_t min_replicas = 1;
    std::optional<std::int64_t> max_replicas;
    std::optional<std::int64_t> start_replicas;

    virtual ~AutoscalerSettings() = default;
    // Throws InputError for settings that contradict each other.
    virtual void check() const {}
    // Requests of a replica that it aims at.
    virtual double target_of(const ReplicaLoad& load) const { return load.concurrency; }
    virtual std::int64_t starts_with(const ReplicaLoad& load) const;
    // Requests that a replica is handed at most, where its own limit is given; 0: any number.
    virtual std::int64_t limit_of(const ReplicaLoad& /*load*/, std::int64_t limit) const { return limit; }
    // The target in its own unit.
    virtual double level_of(const ReplicaLoad& load) const { return target_of(load); }
    virtual std::unique_ptr<Autoscaler> make(const ReplicaLoad& load) const = 0;

    std::int64_t within(std::int64_t replicas) const;
};

// Settings with a target per replica: requests that the metric counts, or a share of the places.
struct TargetedSettings : AutoscalerSettings {
    std::optional<double> target;
    double target_utilization = 0.7;
    LoadMetric metric = LoadMetric::in_flight;

    double target_of(const ReplicaLoad& load) const override;
    double level_of(const ReplicaLoad& load) const override;
};

using AutoscalerSetting = Setting<AutoscalerSettings>;

// An autoscaler of a product. A file each has the settings, their rows and the rule.
struct AutoscalerKind {
    const char* name;  // in texts
    const char* type;  // the name of its class
    const char* text;
    std::vector<AutoscalerSetting> settings;
    std::unique_ptr<AutoscalerSettings> (*make)();
    const char* unnamed = "";   // setting whose name is left out in texts
    const char* measures = "";  // the metric, where it is no setting
    const char* target = "";    // name of the level that it aims at
    FleetRouting routing = FleetRouting::least_loaded;
    bool simulated = true;
};

const std::vector<AutoscalerKind>& autoscaler_kinds();
// Throws InputError for a name that is unknown.
const AutoscalerKind& autoscaler_kind(std::string_view name);

using AutoscalerValues = std::vector<std::pair<std::string, SettingValue>>;
// Throws InputError for a name that is unknown, and for values that are out of range or contradict
// each other.
std::shared_ptr<const AutoscalerSettings> settings_of(const AutoscalerKind& kind,
                                                      const AutoscalerValues& given);

// An autoscaler of replicas with a load.
struct LoadedAutoscaler {
    std::shared_ptr<const AutoscalerSettings> settings;
    ReplicaLoad load;
};

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

// For the files of autoscalers.

inline constexpr SettingRange kReplicas{0, 1 << 20};
inline constexpr SettingRange kTarget{1e-6, 1e9};
inline constexpr SettingRange kShare{1e-3, 1};
inline constexpr SettingRange kTick{1e-2, 1e7, "s"};
inline constexpr SettingRange kDelay{0, 1e7, "s"};
inline constexpr SettingRange kWindow{1, static_cast<double>(LoadHistory::kKept_s)};

template <auto Path, const auto& Words = settings_detail::kNoWords>
constexpr AutoscalerSetting setting(const char* name, SettingRange range, const char* text) {
    return setting_of<AutoscalerSettings, Path, Words>(name, range, text);
}
// Rows of all autoscalers, and of those with a target, before their own.
std::vector<AutoscalerSetting> common_settings(const std::vector<AutoscalerSetting>& own);
std::vector<AutoscalerSetting> targeted_settings(const std::vector<AutoscalerSetting>& own);

// Requests that a platform hands to a replica which serves so many at once.
std::int64_t rounded_limit(double concurrency);

template <class Settings>
std::unique_ptr<AutoscalerSettings> make_settings() {
    return std::make_unique<Settings>();
}

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

// Simulation of fleets: settings as attributes, arrays in, arrays out.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>
#include <string_view>

#include "bindings/bindings.hpp"
#include "bindings/request_sources.hpp"
#include "simulate/fleet/fleet.hpp"

namespace infercost {
namespace {

constexpr std::array<std::pair<std::string_view, LoadMetric>, 4> kMetrics = {
    {{"in_flight", LoadMetric::in_flight},
     {"running", LoadMetric::running},
     {"waiting", LoadMetric::waiting},
     {"utilization", LoadMetric::utilization}}
};
constexpr std::array<std::pair<std::string_view, FleetRouting>, 2> kRoutings = {
    {{"first", FleetRouting::first}, {"least_loaded", FleetRouting::least_loaded}}
};

template <class T, std::size_t Count>
T named(const std::array<std::pair<std::string_view, T>, Count>& names, std::string_view name,
        const char* what) {
    std::string expected;
    for (const auto& [each, value] : names) {
        if (each == name) return value;
        expected += (expected.empty() ? "" : ", ") + std::string(each);
    }
    throw std::invalid_argument(std::string(what) + " is '" + std::string(name) + "'; expected one of " +
                                expected);
}

}  // namespace
}  // namespace infercost

namespace pybind11::detail {

template <>
struct type_caster<infercost::LoadMetric> {
    PYBIND11_TYPE_CASTER(infercost::LoadMetric, const_name("str"));
    bool load(handle given, bool) {
        if (!isinstance<str>(given)) return false;
        value = infercost::named(infercost::kMetrics, given.cast<std::string>(), "metric");
        return true;
    }
};

template <>
struct type_caster<infercost::FleetRouting> {
    PYBIND11_TYPE_CASTER(infercost::FleetRouting, const_name("str"));
    bool load(handle given, bool) {
        if (!isinstance<str>(given)) return false;
        value = infercost::named(infercost::kRoutings, given.cast<std::string>(), "routing");
        return true;
    }
};

}  // namespace pybind11::detail

namespace infercost {
namespace {

template <class Settings, class T>
struct Field {
    const char* name;
    T Settings::* member;
};
template <class Settings, class T>
Field(const char*, T Settings::*) -> Field<Settings, T>;

// A type that is made of its fields, by name. Python has their defaults.
template <class Settings, class... T>
void def_settings(py::module_& m, const char* name, const char* doc, Field<Settings, T>... fields) {
    py::class_<Settings>(m, name, doc)
        .def(py::init([fields...](T... values) {
                 Settings made;
                 ((made.*(fields.member) = std::move(values)), ...);
                 return made;
             }),
             py::kw_only(), py::arg(fields.name)...);
}

void register_autoscalers(py::module_& m) {
    def_settings(m, "ScheduleAutoscaler", "Replicas by time.", Field{"from_s", &ScheduleSettings::from_s},
                 Field{"replicas", &ScheduleSettings::replicas},
                 Field{"period_s", &ScheduleSettings::period_s});
    def_settings(m, "KnativeAutoscaler", "Knative's pod autoscaler.",
                 Field{"metric", &KnativeSettings::metric}, Field{"target", &KnativeSettings::target},
                 Field{"stable_window_s", &KnativeSettings::stable_window_s},
                 Field{"panic_window_s", &KnativeSettings::panic_window_s},
                 Field{"panic_threshold", &KnativeSettings::panic_threshold},
                 Field{"max_scale_up_rate", &KnativeSettings::max_scale_up_rate},
                 Field{"max_scale_down_rate", &KnativeSettings::max_scale_down_rate},
                 Field{"scale_down_delay_s", &KnativeSettings::scale_down_delay_s},
                 Field{"scale_to_zero_grace_s", &KnativeSettings::scale_to_zero_grace_s},
                 Field{"activation_scale", &KnativeSettings::activation_scale},
                 Field{"tick_s", &KnativeSettings::tick_s});
    def_settings(
        m, "KubernetesAutoscaler", "HorizontalPodAutoscaler.", Field{"metric", &KubernetesSettings::metric},
        Field{"target", &KubernetesSettings::target},
        Field{"metric_window_s", &KubernetesSettings::metric_window_s},
        Field{"tolerance", &KubernetesSettings::tolerance}, Field{"sync_s", &KubernetesSettings::sync_s},
        Field{"up_percent", &KubernetesSettings::up_percent}, Field{"up_pods", &KubernetesSettings::up_pods},
        Field{"up_period_s", &KubernetesSettings::up_period_s},
        Field{"up_stabilization_s", &KubernetesSettings::up_stabilization_s},
        Field{"down_percent", &KubernetesSettings::down_percent},
        Field{"down_period_s", &KubernetesSettings::down_period_s},
        Field{"down_stabilization_s", &KubernetesSettings::down_stabilization_s},
        Field{"keda", &KubernetesSettings::keda}, Field{"polling_s", &KubernetesSettings::polling_s},
        Field{"cooldown_s", &KubernetesSettings::cooldown_s});
    def_settings(m, "RayAutoscaler", "Ray Serve's autoscaler.",
                 Field{"target_ongoing_requests", &RaySettings::target_ongoing_requests},
                 Field{"look_back_s", &RaySettings::look_back_s},
                 Field{"upscale_delay_s", &RaySettings::upscale_delay_s},
                 Field{"downscale_delay_s", &RaySettings::downscale_delay_s},
                 Field{"upscaling_factor", &RaySettings::upscaling_factor},
                 Field{"downscaling_factor", &RaySettings::downscaling_factor},
                 Field{"loop_s", &RaySettings::loop_s});
    def_settings(m, "TargetTrackingAutoscaler", "Target tracking of invocations.",
                 Field{"target", &TargetTrackingSettings::target},
                 Field{"period_s", &TargetTrackingSettings::period_s},
                 Field{"out_periods", &TargetTrackingSettings::out_periods},
                 Field{"in_periods", &TargetTrackingSettings::in_periods},
                 Field{"in_share", &TargetTrackingSettings::in_share},
                 Field{"scale_out_cooldown_s", &TargetTrackingSettings::scale_out_cooldown_s},
                 Field{"scale_in_cooldown_s", &TargetTrackingSettings::scale_in_cooldown_s});
    def_settings(m, "OnDemandAutoscaler", "Replicas that start for requests.",
                 Field{"places", &OnDemandSettings::places},
                 Field{"idle_timeout_s", &OnDemandSettings::idle_timeout_s},
                 Field{"burst", &OnDemandSettings::burst}, Field{"burst_s", &OnDemandSettings::burst_s},
                 Field{"binds", &OnDemandSettings::binds});
    def_settings(m, "CloudRunAutoscaler", "Cloud Run's autoscaler.",
                 Field{"concurrency", &CloudRunSettings::concurrency},
                 Field{"target_utilization", &CloudRunSettings::target_utilization},
                 Field{"window_s", &CloudRunSettings::window_s},
                 Field{"idle_timeout_s", &CloudRunSettings::idle_timeout_s},
                 Field{"tick_s", &CloudRunSettings::tick_s});
    def_settings(m, "SeasonalAutoscaler", "Replicas for the load of the last period.",
                 Field{"metric", &SeasonalSettings::metric}, Field{"target", &SeasonalSettings::target},
                 Field{"period_s", &SeasonalSettings::period_s}, Field{"bin_s", &SeasonalSettings::bin_s},
                 Field{"ahead_s", &SeasonalSettings::ahead_s}, Field{"headroom", &SeasonalSettings::headroom},
                 Field{"window_s", &SeasonalSettings::window_s}, Field{"hold_s", &SeasonalSettings::hold_s},
                 Field{"tick_s", &SeasonalSettings::tick_s});
}

void register_replicas(py::module_& m) {
    def_settings(m, "SlotReplica", "Slots that serve a request each.", Field{"slots", &SlotSettings::slots},
                 Field{"service_s", &SlotSettings::service_s}, Field{"joules", &SlotSettings::joules});
    def_settings(m, "BatchReplica", "Dynamic batches.", Field{"latency_s", &BatchSettings::latency_s},
                 Field{"joules", &BatchSettings::joules}, Field{"instances", &BatchSettings::instances},
                 Field{"delay_s", &BatchSettings::delay_s});
    def_settings(
        m, "TokenReplica", "Sequences that share the steps of an engine.",
        Field{"costs", &TokenSettings::costs}, Field{"max_sequences", &TokenSettings::max_sequences},
        Field{"max_tokens", &TokenSettings::max_tokens}, Field{"pool_tokens", &TokenSettings::pool_tokens},
        Field{"block_tokens", &TokenSettings::block_tokens},
        Field{"tokens_each", &TokenSettings::tokens_each}, Field{"yield_tokens", &TokenSettings::yield},
        Field{"mixes", &TokenSettings::mixes}, Field{"chunked_prefill", &TokenSettings::chunked_prefill},
        Field{"reserves", &TokenSettings::reserves}, Field{"least_reserves", &TokenSettings::least_reserves},
        Field{"reserve_steps", &TokenSettings::reserve_steps},
        Field{"prefill_fill", &TokenSettings::prefill_fill});
    py::class_<EngineSettings>(m, "EngineReplica", "Each step of an engine.")
        .def(py::init([](const std::shared_ptr<ServerSettings>& server) {
                 if (!server) throw InputTypeError("server is None; expected a SimulatedServer");
                 return EngineSettings{*server};
             }),
             py::arg("server"));
}

void register_settings(py::module_& m) {
    def_settings(
        m, "FleetPool", "Replicas of one kind.", Field{"replica", &PoolSettings::replica},
        Field{"autoscaler", &PoolSettings::autoscaler}, Field{"copies", &PoolSettings::copies},
        Field{"concurrency", &PoolSettings::concurrency}, Field{"min_replicas", &PoolSettings::min_replicas},
        Field{"max_replicas", &PoolSettings::max_replicas},
        Field{"start_replicas", &PoolSettings::start_replicas},
        Field{"cold_start_s", &PoolSettings::cold_start_s},
        Field{"cold_start_spread", &PoolSettings::cold_start_spread},
        Field{"max_drain_s", &PoolSettings::max_drain_s},
        Field{"interruptions_per_h", &PoolSettings::interruptions_per_h},
        Field{"notice_s", &PoolSettings::notice_s}, Field{"failures_per_h", &PoolSettings::failures_per_h});
    def_settings(m, "FleetLimits", "Seconds beyond which a request is late.",
                 Field{"wait_s", &FleetLimits::wait_s}, Field{"ttft_s", &FleetLimits::ttft_s},
                 Field{"tpot_s", &FleetLimits::tpot_s}, Field{"e2e_s", &FleetLimits::e2e_s});
    def_settings(m, "Fleet", "Pools behind a router.", Field{"pools", &FleetSettings::pools},
                 Field{"routing", &FleetSettings::routing}, Field{"limits", &FleetSettings::limits},
                 Field{"timeout_s", &FleetSettings::timeout_s}, Field{"bin_s", &FleetSettings::bin_s},
                 Field{"horizon_s", &FleetSettings::horizon_s}, Field{"seed", &FleetSettings::seed},
                 Field{"keeps_requests", &FleetSettings::keeps_requests});
}

// ---- results ----

// A column of rows.
template <class Row, class T>
py::array_t<T> column(const std::vector<Row>& rows, T Row::* member) {
    std::vector<T> values;
    values.reserve(rows.size());
    for (const Row& row : rows) values.push_back(row.*member);
    return array_of(std::move(values));
}

py::dict to_python(const Histogram& histogram) {
    py::dict found;
    std::vector<std::int64_t> counts = histogram.counts();
    found["counts"] = array_of(std::move(counts));
    found["count"] = histogram.count();
    found["sum"] = histogram.sum();
    found["most"] = histogram.most();
    return found;
}

py::dict to_python(const std::vector<DemandBin>& bins) {
    py::dict found;
    found["arrived"] = column(bins, &DemandBin::arrived);
    found["finished"] = column(bins, &DemandBin::finished);
    found["late"] = column(bins, &DemandBin::late);
    found["failed"] = column(bins, &DemandBin::failed);
    found["waiting_s"] = column(bins, &DemandBin::waiting_s);
    found["wait_s"] = column(bins, &DemandBin::wait_s);
    found["most_wait_s"] = column(bins, &DemandBin::most_wait_s);
    found["prompt_tokens"] = column(bins, &DemandBin::prompt_tokens);
    found["output_tokens"] = column(bins, &DemandBin::output_tokens);
    return found;
}

py::dict to_python(PoolTotals& totals, const std::vector<PoolBin>& bins) {
    py::dict found;
    found["starting_s"] = column(bins, &PoolBin::starting_s);
    found["ready_s"] = column(bins, &PoolBin::ready_s);
    found["draining_s"] = column(bins, &PoolBin::draining_s);
    found["busy_s"] = column(bins, &PoolBin::busy_s);
    found["running_s"] = column(bins, &PoolBin::running_s);
    found["most"] = column(bins, &PoolBin::most);
    found["starts"] = totals.starts;
    found["cancelled"] = totals.cancelled;
    found["removed"] = totals.removed;
    found["interrupted"] = totals.interrupted;
    found["failed"] = totals.failed;
    found["peak"] = totals.most;
    found["requests"] = totals.requests;
    found["energy_j"] = totals.joules;
    found["seconds_with"] = array_of(std::move(totals.seconds_with));
    return found;
}

py::dict to_python(FleetRequestRows& rows) {
    py::dict found;
    found["arrival_s"] = array_of(std::move(rows.arrival_s));
    found["started_s"] = array_of(std::move(rows.started_s));
    found["first_token_s"] = array_of(std::move(rows.first_token_s));
    found["finish_s"] = array_of(std::move(rows.finish_s));
    found["pool"] = array_of(std::move(rows.pool));
    std::vector<std::uint8_t> outcomes;
    for (const Outcome outcome : rows.outcome) outcomes.push_back(static_cast<std::uint8_t>(outcome));
    found["outcome"] = array_of(std::move(outcomes));
    return found;
}

py::dict to_python(FleetResult&& result) {
    py::dict found;
    found["end_s"] = result.end_s;
    found["events"] = result.events;
    found["arrived"] = result.arrived;
    found["finished"] = result.finished;
    found["late"] = result.late;
    found["failed"] = result.failed;
    found["unfinished"] = result.unfinished;
    found["restarted"] = result.restarted;
    found["request_seconds"] = result.request_seconds;
    found["waiting_seconds"] = result.waiting_seconds;
    found["interrupted"] = result.interrupted;
    found["wait_s"] = to_python(result.wait_s);
    found["ttft_s"] = to_python(result.ttft_s);
    found["tpot_s"] = to_python(result.tpot_s);
    found["e2e_s"] = to_python(result.e2e_s);
    found["demand"] = to_python(result.demand);
    py::list pools;
    for (std::size_t i = 0; i < result.pools.size(); ++i) {
        pools.append(to_python(result.pools[i], result.bins[i]));
    }
    found["pools"] = pools;
    py::dict decisions;
    decisions["time_s"] = column(result.decisions, &FleetDecision::time_s);
    decisions["pool"] = column(result.decisions, &FleetDecision::pool);
    decisions["before"] = column(result.decisions, &FleetDecision::before);
    decisions["after"] = column(result.decisions, &FleetDecision::after);
    found["decisions"] = decisions;
    found["requests"] = to_python(result.requests);
    return found;
}

py::list run_fleets(const std::vector<std::pair<FleetSettings, JobRequests>>& given, std::int64_t threads) {
    constexpr std::int64_t kMostThreads = 1024;
    if (threads < 1 || threads > kMostThreads) {
        throw std::invalid_argument("threads is " + std::to_string(threads) + "; expected 1 to " +
                                    std::to_string(kMostThreads));
    }
    std::vector<std::unique_ptr<RequestSource>> sources;
    std::vector<FleetJob> jobs;
    for (const auto& [settings, requests] : given) {
        sources.push_back(source_of(requests));
        jobs.push_back({settings, sources.back().get()});
    }
    std::vector<FleetResult> results;
    {
        const CoreCall core;
        results = simulate_fleets(jobs, static_cast<std::size_t>(threads));
    }
    // What was finished is the answer: the signal's exception goes no further.
    if (PyErr_Occurred()) PyErr_Clear();
    py::list found;
    for (FleetResult& result : results) found.append(to_python(std::move(result)));
    return found;
}

py::dict run_profile(const JobRequests& requests, double places, double tick_s, double service_s,
                     double prompt_s, double output_s) {
    LoadProfile found;
    {
        const std::unique_ptr<RequestSource> source = source_of(requests);
        const CoreCall core;
        found = load_profile(*source, {service_s, prompt_s, output_s}, places, tick_s);
    }
    py::dict made;
    made["end_s"] = found.end_s;
    made["running_s"] = array_of(std::move(found.running_s));
    made["most"] = array_of(std::move(found.most));
    made["replicas_s"] = array_of(std::move(found.replicas_s));
    made["most_replicas"] = found.most_replicas;
    return made;
}

}  // namespace

void register_fleet(py::module_& m) {
    register_autoscalers(m);
    register_replicas(m);
    register_settings(m);
    m.def("simulate_fleets", &run_fleets, py::arg("jobs"), py::arg("threads") = 1,
          "Simulates pools of replicas under requests that arrive.");
    m.def("load_profile", &run_profile, py::arg("requests"), py::kw_only(), py::arg("places"),
          py::arg("tick_s"), py::arg("service_s"), py::arg("prompt_s") = 0.0, py::arg("output_s") = 0.0,
          "Returns the load over time if no request waited.");
    m.def(
        "histogram_edges", [] { return array_of(Histogram::edges()); },
        "Returns the lower edges of the intervals of durations.");
}

}  // namespace infercost

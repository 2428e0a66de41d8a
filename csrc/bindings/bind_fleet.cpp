// Simulation of fleets: settings as attributes, arrays in, arrays out.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>
#include <string_view>

#include "bindings/fields.hpp"
#include "bindings/request_sources.hpp"
#include "simulate/fleet/fleet.hpp"

namespace infercost {
namespace {

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

SettingValue setting_value(const std::string& name, py::handle value) {
    if (value.is_none()) return std::monostate();
    if (py::isinstance<py::bool_>(value)) return value.cast<bool>();
    if (py::isinstance<py::int_>(value)) return from_object<std::int64_t>(name.c_str(), value);
    if (py::isinstance<py::float_>(value)) return value.cast<double>();
    if (py::isinstance<py::str>(value)) return value.cast<std::string>();
    return from_object<CountsByTime>(name.c_str(), value);
}

py::dict described(const AutoscalerSetting& setting, const AutoscalerSettings& defaults) {
    py::dict found;
    found["name"] = setting.name;
    found["type"] = setting.type;
    found["optional"] = setting.optional;
    found["default"] = py::cast(setting.read(defaults));
    found["low"] = setting.range.low;
    found["high"] = setting.range.high;
    found["unit"] = setting.range.unit;
    found["words"] = std::vector<std::string>(setting.words.begin(), setting.words.end());
    found["text"] = setting.text;
    return found;
}

py::list described_autoscalers() {
    py::list kinds;
    for (const AutoscalerKind& kind : autoscaler_kinds()) {
        py::dict found;
        found["name"] = kind.name;
        found["type"] = kind.type;
        found["text"] = kind.text;
        found["unnamed"] = kind.unnamed;
        found["measures"] = kind.measures;
        found["target"] = kind.target;
        found["routing"] = kRoutings[static_cast<std::size_t>(kind.routing)].first;
        found["simulated"] = kind.simulated;
        py::list settings;
        const auto defaults = kind.make();
        for (const AutoscalerSetting& each : kind.settings) settings.append(described(each, *defaults));
        found["settings"] = settings;
        kinds.append(found);
    }
    return kinds;
}

void register_autoscalers(py::module_& m) {
    static constexpr Field kLoad[] = {
        setting<&ReplicaLoad::concurrency>("concurrency"),
        setting<&ReplicaLoad::rate_per_s>("rate_per_s"),
        setting<&ReplicaLoad::mean_in_flight>("mean_in_flight"),
        setting<&ReplicaLoad::peak_in_flight>("peak_in_flight"),
        setting<&ReplicaLoad::cold_start_s>("cold_start_s"),
    };
    def_settings<ReplicaLoad>(m, "ReplicaLoad", "What targets of autoscalers are derived from.", kLoad);
    py::class_<LoadedAutoscaler>(m, "LoadedAutoscaler", "An autoscaler of replicas with a load.");
    using Settings = std::shared_ptr<const AutoscalerSettings>;
    struct Bound {
        Settings settings;
    };
    py::class_<Bound>(m, "Autoscaler", "Settings of an autoscaler.")
        .def(py::init([](const std::string& kind, const py::dict& given) {
                 AutoscalerValues values;
                 for (const auto& [name, value] : given) {
                     const auto key = name.cast<std::string>();
                     values.emplace_back(key, setting_value(key, value));
                 }
                 return Bound{settings_of(autoscaler_kind(kind), values)};
             }),
             py::arg("kind"), py::arg("settings"))
        .def(
            "starts_with",
            [](const Bound& self, const ReplicaLoad& load) { return self.settings->starts_with(load); },
            py::arg("load"))
        .def(
            "limit_of",
            [](const Bound& self, const ReplicaLoad& load, std::int64_t limit) {
                return self.settings->limit_of(load, limit);
            },
            py::arg("load"), py::arg("limit"))
        .def(
            "level_of",
            [](const Bound& self, const ReplicaLoad& load) { return self.settings->level_of(load); },
            py::arg("load"))
        .def(
            "loaded",
            [](const Bound& self, const ReplicaLoad& load) { return LoadedAutoscaler{self.settings, load}; },
            py::arg("load"));
    m.def("autoscaler_kinds", &described_autoscalers, "Returns the autoscalers with their settings.");
}

void register_replicas(py::module_& m) {
    static constexpr Field kSlotReplica[] = {
        setting<&SlotSettings::slots>("slots"),
        setting<&SlotSettings::service_s>("service_s"),
        setting<&SlotSettings::joules>("joules"),
    };
    def_settings<SlotSettings>(m, "SlotReplica", "Slots that serve a request each.", kSlotReplica);
    static constexpr Field kBatchReplica[] = {
        setting<&BatchSettings::latency_s>("latency_s"),
        setting<&BatchSettings::joules>("joules"),
        setting<&BatchSettings::instances>("instances"),
        setting<&BatchSettings::delay_s>("delay_s"),
    };
    def_settings<BatchSettings>(m, "BatchReplica", "Dynamic batches.", kBatchReplica);
    static constexpr Field kTokenReplica[] = {
        setting<&TokenSettings::costs>("costs"),
        setting<&TokenSettings::max_sequences>("max_sequences"),
        setting<&TokenSettings::max_tokens>("max_tokens"),
        setting<&TokenSettings::pool_tokens>("pool_tokens"),
        setting<&TokenSettings::block_tokens>("block_tokens"),
        setting<&TokenSettings::tokens_each>("tokens_each"),
        setting<&TokenSettings::yield>("yield_tokens"),
        setting<&TokenSettings::mixes>("mixes"),
        setting<&TokenSettings::chunked_prefill>("chunked_prefill"),
        setting<&TokenSettings::reserves>("reserves"),
        setting<&TokenSettings::least_reserves>("least_reserves"),
        setting<&TokenSettings::reserve_steps>("reserve_steps"),
        setting<&TokenSettings::prefill_fill>("prefill_fill"),
    };
    def_settings<TokenSettings>(m, "TokenReplica", "Sequences that share the steps of an engine.",
                                kTokenReplica);
    py::class_<EngineSettings>(m, "EngineReplica", "Each step of an engine.")
        .def(py::init([](const std::shared_ptr<ServerSettings>& server) {
                 if (!server) throw InputTypeError("server is None; expected a SimulatedServer");
                 return EngineSettings{*server};
             }),
             py::arg("server"));
}

void register_settings(py::module_& m) {
    static constexpr Field kFleetPool[] = {
        setting<&PoolSettings::replica>("replica"),
        setting<&PoolSettings::autoscaler>("autoscaler"),
        setting<&PoolSettings::copies>("copies"),
        setting<&PoolSettings::concurrency>("concurrency"),
        setting<&PoolSettings::min_replicas>("min_replicas"),
        setting<&PoolSettings::max_replicas>("max_replicas"),
        setting<&PoolSettings::start_replicas>("start_replicas"),
        setting<&PoolSettings::cold_start_s>("cold_start_s"),
        setting<&PoolSettings::cold_start_spread>("cold_start_spread"),
        setting<&PoolSettings::max_drain_s>("max_drain_s"),
        setting<&PoolSettings::interruptions_per_h>("interruptions_per_h"),
        setting<&PoolSettings::notice_s>("notice_s"),
        setting<&PoolSettings::failures_per_h>("failures_per_h"),
    };
    def_settings<PoolSettings>(m, "FleetPool", "Replicas of one kind.", kFleetPool);
    static constexpr Field kFleetLimits[] = {
        setting<&FleetLimits::wait_s>("wait_s"),
        setting<&FleetLimits::ttft_s>("ttft_s"),
        setting<&FleetLimits::tpot_s>("tpot_s"),
        setting<&FleetLimits::e2e_s>("e2e_s"),
    };
    def_settings<FleetLimits>(m, "FleetLimits", "Seconds beyond which a request is late.", kFleetLimits);
    static constexpr Field kFleet[] = {
        setting<&FleetSettings::pools>("pools"),   setting<&FleetSettings::routing>("routing"),
        setting<&FleetSettings::limits>("limits"), setting<&FleetSettings::timeout_s>("timeout_s"),
        setting<&FleetSettings::bin_s>("bin_s"),   setting<&FleetSettings::horizon_s>("horizon_s"),
        setting<&FleetSettings::seed>("seed"),     setting<&FleetSettings::keeps_requests>("keeps_requests"),
    };
    def_settings<FleetSettings>(m, "Fleet", "Pools behind a router.", kFleet);
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

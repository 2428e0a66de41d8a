// Simulation of servers: arrays in, arrays out.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <limits>
#include <optional>
#include <string_view>
#include <variant>

#include "bindings/fields.hpp"
#include "bindings/request_sources.hpp"
#include "deploy/server_figures.hpp"
#include "simulate/queues.hpp"
#include "simulate/simulate.hpp"
#include "simulate/step_costs.hpp"

namespace infercost {
namespace {

constexpr Field kStepTables[] = {
    setting<&StepTables::tokens, &Curve::knots>("tokens"),
    setting<&StepTables::tokens, &Curve::seconds>("tokens_s"),
    setting<&StepTables::tokens, &Curve::joules>("tokens_j"),
    optional_setting<&StepTables::graphs, &Curve::knots>("graphs"),
    optional_setting<&StepTables::graphs, &Curve::seconds>("graphs_s"),
    optional_setting<&StepTables::graphs, &Curve::joules>("graphs_j"),
    optional_setting<&StepTables::outputs, &Curve::knots>("outputs"),
    optional_setting<&StepTables::outputs, &Curve::seconds>("outputs_s"),
    optional_setting<&StepTables::outputs, &Curve::joules>("outputs_j"),
    optional_setting<&StepTables::decode_attention, &Surface::rows>("decode_sequences"),
    optional_setting<&StepTables::decode_attention, &Surface::columns>("decode_contexts"),
    optional_setting<&StepTables::decode_attention, &Surface::seconds>("decode_s"),
    optional_setting<&StepTables::decode_attention, &Surface::joules>("decode_j"),
    optional_setting<&StepTables::prefill_attention, &Surface::rows>("prefill_chunks"),
    optional_setting<&StepTables::prefill_attention, &Surface::columns>("prefill_contexts"),
    optional_setting<&StepTables::prefill_attention, &Surface::seconds>("prefill_s"),
    optional_setting<&StepTables::prefill_attention, &Surface::joules>("prefill_j"),
    optional_setting<&StepTables::drafts, &Curve::knots>("drafts"),
    optional_setting<&StepTables::drafts, &Curve::seconds>("drafts_s"),
    optional_setting<&StepTables::drafts, &Curve::joules>("drafts_j"),
    optional_setting<&StepTables::host_step_s>("host_step_s"),
    optional_setting<&StepTables::host_sequence_s>("host_sequence_s"),
    optional_setting<&StepTables::host_prefill_s>("host_prefill_s"),
    optional_setting<&StepTables::overlaps_host>("overlaps_host"),
    optional_setting<&StepTables::idle_w>("idle_w"),
};

// Numbers of a step beyond these are mistakes, and their products would not fit.
constexpr std::int64_t kMostStepTokens = std::int64_t{1} << 40;

void check_amount(std::int64_t value, const char* name, std::int64_t least) {
    if (value < least || value > kMostStepTokens) {
        throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) +
                                    "; expected a whole number from " + std::to_string(least) + " to " +
                                    std::to_string(kMostStepTokens));
    }
}

py::tuple cost_of_step(const StepCosts& costs, std::int64_t sequences, std::int64_t context,
                       const std::vector<std::pair<std::int64_t, std::int64_t>>& chunks,
                       std::int64_t completed, std::int64_t tokens_each) {
    check_amount(sequences, "sequences", 0);
    check_amount(context, "context", 0);
    check_amount(tokens_each, "tokens_each", 1);
    check_amount(completed, "completed", 0);
    check_amount(sequences * std::min<std::int64_t>(tokens_each, 1 << 20), "tokens of a step", 0);
    std::vector<Chunk> parts;
    for (const auto& [tokens, before] : chunks) {
        check_amount(tokens, "tokens of a chunk", 1);
        check_amount(before, "context before a chunk", 0);
        parts.push_back({tokens, before});
    }
    if (completed > static_cast<std::int64_t>(parts.size())) {
        throw std::invalid_argument("completed is " + std::to_string(completed) + "; expected at most " +
                                    std::to_string(parts.size()) + ", the number of chunks");
    }
    const StepCost cost = costs.step(sequences, tokens_each, context, parts, completed);
    return py::make_tuple(cost.seconds, cost.joules);
}

// One call of a vectorized function.
template <double StepCost::* Part>
double mean_step(const StepCosts* costs, double sequences, double tokens_each, double mean_context,
                 double chunk, double before, double completed) {
    return costs->step({sequences, tokens_each, mean_context, chunk, before, completed}).*Part;
}

std::shared_ptr<Requests> make_requests(const Values& arrival_s, const py::object& prompt,
                                        const py::object& output, const py::object& priority,
                                        const py::object& prefix_from, const py::object& prefix_ids,
                                        std::int64_t prefix_tokens, const Values& service_s) {
    if (arrival_s.ndim() != 1) {
        throw std::invalid_argument("arrival_s has " + std::to_string(arrival_s.ndim()) +
                                    " dimensions; expected 1");
    }
    constexpr std::int32_t kLowest = std::numeric_limits<std::int32_t>::min();
    return std::make_shared<Requests>(
        Requests{flat(arrival_s), whole_numbers<std::int32_t>(prompt, "prompt", -1),
                 whole_numbers<std::int32_t>(output, "output", -1),
                 whole_numbers<std::int32_t>(priority, "priority", kLowest),
                 whole_numbers<std::int64_t>(prefix_from, "prefix_from", -1),
                 whole_numbers<std::int64_t>(prefix_ids, "prefix_ids", 0), prefix_tokens, flat(service_s)});
}

// A view of a vector that `owner` keeps.
template <class T>
py::array_t<T> view_of(const std::vector<T>& values, py::handle owner) {
    return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data(), owner);
}

template <auto Column>
py::object column_of(py::object self) {
    return view_of(self.cast<const SimulationResult&>().requests.*Column, self);
}

py::object outcomes_of(py::object self) {
    const auto& outcomes = self.cast<const SimulationResult&>().requests.outcome;
    static_assert(sizeof(Outcome) == sizeof(std::uint8_t));
    return py::array_t<std::uint8_t>(static_cast<py::ssize_t>(outcomes.size()),
                                     reinterpret_cast<const std::uint8_t*>(outcomes.data()), self);
}

template <class T>
py::object samples_of(const std::vector<T>& values, const SimulationResult& result, py::handle owner) {
    const auto wide = static_cast<py::ssize_t>(result.servers.size());
    return view_of(values, owner).reshape({static_cast<py::ssize_t>(values.size()) / wide, wide});
}

template <class T>
py::array_t<T> each(const std::vector<ServerTotals>& servers, T ServerTotals::* member) {
    std::vector<T> values;
    for (const ServerTotals& server : servers) values.push_back(server.*member);
    return array_of(std::move(values));
}

py::dict servers_of(const SimulationResult& result) {
    py::dict servers;
    servers["busy_s"] = each(result.servers, &ServerTotals::busy_s);
    servers["energy_j"] = each(result.servers, &ServerTotals::joules);
    servers["steps"] = each(result.servers, &ServerTotals::steps);
    servers["runs"] = each(result.servers, &ServerTotals::runs);
    servers["prefill_steps"] = each(result.servers, &ServerTotals::prefill_steps);
    servers["preemptions"] = each(result.servers, &ServerTotals::preemptions);
    servers["prompt_tokens"] = each(result.servers, &ServerTotals::prompt_tokens);
    servers["cached_tokens"] = each(result.servers, &ServerTotals::cached_tokens);
    servers["generated_tokens"] = each(result.servers, &ServerTotals::generated_tokens);
    servers["most_blocks"] = each(result.servers, &ServerTotals::most_blocks);
    return servers;
}

py::dict timeline_of(py::object self) {
    const auto& result = self.cast<const SimulationResult&>();
    py::dict timeline;
    timeline["interval_s"] = result.timeline.interval_s;
    timeline["running"] = samples_of(result.timeline.running, result, self);
    timeline["waiting"] = samples_of(result.timeline.waiting, result, self);
    timeline["blocks"] = samples_of(result.timeline.blocks, result, self);
    return timeline;
}

py::dict figures_of(const SimulationResult& result, double client_s, std::optional<double> usd_per_h,
                    std::optional<double> idle_w, std::int64_t blocks,
                    const std::vector<std::pair<std::string, double>>& limits) {
    ServerTerms terms{client_s, usd_per_h, idle_w, blocks, {}};
    for (const auto& [time, limit_s] : limits) terms.limits.push_back({request_time(time), limit_s});
    ServerFigures made;
    {
        const CoreCall core;
        made = server_figures(result, terms);
    }
    py::dict figures = members_of(made);
    for (std::size_t i = 0; i < kRequestTimes.size(); ++i) {
        figures["latencies"][kRequestTimes[i]]["sorted_s"] = array_of(std::move(made.times[i].sorted_s));
    }
    return figures;
}

py::list run_jobs(const std::vector<std::pair<std::shared_ptr<ClusterSettings>, JobRequests>>& given,
                  std::int64_t threads) {
    constexpr std::int64_t kMostThreads = 1024;
    if (threads < 1 || threads > kMostThreads) {
        throw std::invalid_argument("threads is " + std::to_string(threads) + "; expected 1 to " +
                                    std::to_string(kMostThreads));
    }
    std::vector<std::unique_ptr<RequestSource>> sources;
    std::vector<SimulationJob> jobs;
    for (const auto& [cluster, requests] : given) {
        sources.push_back(source_of(requests));
        jobs.push_back({*cluster, sources.back().get()});
    }
    std::vector<SimulationResult> results;
    {
        const CoreCall core;
        results = simulate(jobs, static_cast<std::size_t>(threads));
    }
    // What was finished is the answer: the signal's exception goes no further.
    if (PyErr_Occurred()) PyErr_Clear();
    py::list found;
    for (SimulationResult& result : results) found.append(py::cast(std::move(result)));
    return found;
}

constexpr Field kServerSettings[] = {
    setting<&ServerSettings::costs>("costs"),
    named_setting<&parse_serving_engine, &ServerSettings::engine>("engine"),
    setting<&ServerSettings::blocks>("blocks"),
    optional_setting<&ServerSettings::block_tokens>("block_tokens"),
    optional_setting<&ServerSettings::max_sequences>("max_sequences"),
    optional_setting<&ServerSettings::max_tokens>("max_tokens"),
    optional_setting<&ServerSettings::chunk_tokens>("chunk_tokens"),
    optional_setting<&ServerSettings::chunked_prefill>("chunked_prefill"),
    optional_setting<&ServerSettings::max_model_tokens>("max_model_tokens"),
    optional_setting<&ServerSettings::watermark>("watermark"),
    optional_setting<&ServerSettings::reserve_prompt>("reserve_prompt"),
    optional_setting<&ServerSettings::prefix_cache>("prefix_cache"),
    optional_setting<&ServerSettings::by_priority>("by_priority"),
    optional_setting<&ServerSettings::mixed_chunks>("mixed_chunks"),
    optional_setting<&ServerSettings::evicts>("evicts"),
    optional_setting<&ServerSettings::equal_progress>("equal_progress"),
    optional_setting<&ServerSettings::recv_interval>("recv_interval"),
    optional_setting<&ServerSettings::reserve, &OutputReserve::fixed_lengths>("fixed_lengths"),
    optional_setting<&ServerSettings::reserve, &OutputReserve::initial>("reserve_share"),
    optional_setting<&ServerSettings::reserve, &OutputReserve::least_share>("least_reserve_share"),
    optional_setting<&ServerSettings::reserve, &OutputReserve::decay_steps>("reserve_decay_steps"),
    optional_setting<&ServerSettings::reserve, &OutputReserve::most_tokens>("most_reserved"),
    optional_setting<&ServerSettings::reserve, &OutputReserve::retract_steps>("retract_steps"),
    optional_setting<&ServerSettings::drafts>("drafts"),
    optional_setting<&ServerSettings::acceptance>("acceptance"),
    optional_setting<&ServerSettings::stream_interval>("stream_interval"),
    optional_setting<&ServerSettings::first_token_buffered>("first_token_buffered"),
    optional_setting<&ServerSettings::prefill_fill>("prefill_fill"),
    optional_setting<&ServerSettings::jumps>("jumps"),
};

std::shared_ptr<ServerSettings> checked_server(ServerSettings&& given) {
    check(given);
    return std::make_shared<ServerSettings>(std::move(given));
}

// 0 for never.
template <auto... Path>
constexpr Field timeout_setting(const char* name) {
    return {name, [](const void*) -> py::object { return py::float_(0.0); },
            [](void* owner, const char* what, py::handle value) {
                const auto seconds = from_object<double>(what, value);
                field_detail::member_of<Path...>(owner) =
                    seconds == 0 ? std::numeric_limits<double>::infinity() : seconds;
            }};
}

constexpr Field kClusterSettings[] = {
    optional_named_setting<&parse_routing, &ClusterSettings::router, &RouterSettings::routing>("routing"),
    optional_setting<&ClusterSettings::router, &RouterSettings::match_share>("match_share"),
    optional_setting<&ClusterSettings::router, &RouterSettings::most_difference>("most_difference"),
    optional_setting<&ClusterSettings::router, &RouterSettings::most_ratio>("most_ratio"),
    optional_setting<&ClusterSettings::transfer, &Transfer::prefill_servers>("prefill_servers"),
    optional_setting<&ClusterSettings::transfer, &Transfer::bytes_per_token>("bytes_per_token"),
    optional_setting<&ClusterSettings::transfer, &Transfer::byte_per_s>("byte_per_s"),
    optional_setting<&ClusterSettings::transfer, &Transfer::handshake_s>("handshake_s"),
    optional_setting<&ClusterSettings::transfer, &Transfer::layerwise>("layerwise"),
    optional_setting<&ClusterSettings::client, &ClientSettings::max_concurrency>("max_concurrency"),
    optional_setting<&ClusterSettings::client, &ClientSettings::think_s>("think_s"),
    optional_setting<&ClusterSettings::client, &ClientSettings::poll_s>("poll_s"),
    timeout_setting<&ClusterSettings::client, &ClientSettings::timeout_s>("timeout_s"),
    timeout_setting<&ClusterSettings::client, &ClientSettings::queue_timeout_s>("queue_timeout_s"),
    optional_setting<&ClusterSettings::lockstep>("lockstep"),
    optional_setting<&ClusterSettings::seed>("seed"),
    optional_setting<&ClusterSettings::samples>("samples"),
};

std::shared_ptr<ClusterSettings> make_cluster(const std::vector<std::shared_ptr<ServerSettings>>& servers,
                                              const py::kwargs& given) {
    auto made = std::make_shared<ClusterSettings>();
    write_fields(made.get(), "SimulatedCluster", kClusterSettings, given);
    for (const auto& server : servers) {
        if (!server) throw InputTypeError("a server is None; expected a SimulatedServer");
        made->servers.push_back(*server);
        if (made->lockstep > 1) made->servers.back().jumps = false;
    }
    check(*made);
    return made;
}

std::span<const double> span_of(const Values& values, const char* name) {
    if (values.ndim() != 1) {
        throw std::invalid_argument(std::string(name) + " has " + std::to_string(values.ndim()) +
                                    " dimensions; expected 1");
    }
    return {values.data(), static_cast<std::size_t>(values.size())};
}

py::dict to_python(QueueResult&& result) {
    py::dict found;
    found["start_s"] = array_of(std::move(result.start_s));
    found["finish_s"] = array_of(std::move(result.finish_s));
    if (!result.batch.empty()) found["batch"] = array_of(std::move(result.batch));
    found["busy_s"] = result.busy_s;
    found["energy_j"] = result.joules;
    return found;
}

py::dict run_queue(const Values& arrival_s, const Values& service_s, std::int64_t servers) {
    QueueResult result;
    {
        const auto arrivals = span_of(arrival_s, "arrival_s");
        const auto services = span_of(service_s, "service_s");
        const CoreCall core;
        result = serve_queue(arrivals, services, servers);
    }
    return to_python(std::move(result));
}

py::dict run_batches(const Values& arrival_s, const Values& batch_s, const Values& batch_j,
                     double max_delay_s, std::vector<std::int64_t> preferred, std::int64_t instances) {
    const BatchingSettings settings{flat(batch_s), flat(batch_j), std::move(preferred), max_delay_s,
                                    instances};
    QueueResult result;
    {
        const auto arrivals = span_of(arrival_s, "arrival_s");
        const CoreCall core;
        result = serve_batches(arrivals, settings);
    }
    return to_python(std::move(result));
}

}  // namespace

void register_simulate(py::module_& m) {
    py::class_<StepCosts, std::shared_ptr<StepCosts>> costs(m, "StepCosts",
                                                            "What a step of an engine costs.");
    def_init<StepTables>(costs, "StepCosts", kStepTables,
                         [](StepTables&& tables) { return std::make_shared<StepCosts>(std::move(tables)); });
    costs.def("step", &cost_of_step, py::arg("sequences"), py::arg("context"),
              py::arg("chunks") = std::vector<std::pair<std::int64_t, std::int64_t>>{},
              py::arg("completed") = 0, py::arg("tokens_each") = 1, "Seconds and joules of one step.");
    const auto pair = [](const StepCost& cost) { return py::make_tuple(cost.seconds, cost.joules); };
    costs
        .def("mean_step_s", py::vectorize(&mean_step<&StepCost::seconds>), py::arg("sequences"),
             py::arg("tokens_each"), py::arg("mean_context"), py::arg("chunk"), py::arg("before"),
             py::arg("completed"))
        .def("mean_step_j", py::vectorize(&mean_step<&StepCost::joules>), py::arg("sequences"),
             py::arg("tokens_each"), py::arg("mean_context"), py::arg("chunk"), py::arg("before"),
             py::arg("completed"))
        .def(
            "products", [=](const StepCosts& of, std::int64_t tokens) { return pair(of.products(tokens)); },
            py::arg("tokens"))
        .def(
            "tokens", [=](const StepCosts& of, double count) { return pair(of.tokens(count)); },
            py::arg("count"))
        .def(
            "outputs", [=](const StepCosts& of, double count) { return pair(of.outputs(count)); },
            py::arg("count"))
        .def(
            "drafts", [=](const StepCosts& of, double sequences) { return pair(of.drafts(sequences)); },
            py::arg("sequences"))
        .def(
            "decode_attention",
            [=](const StepCosts& of, double sequences, double mean_context) {
                return pair(of.decode_attention(sequences, mean_context));
            },
            py::arg("sequences"), py::arg("mean_context"))
        .def(
            "prefill_attention",
            [=](const StepCosts& of, double chunk, double before) {
                return pair(of.prefill_attention(chunk, before));
            },
            py::arg("chunk"), py::arg("before"));
    py::class_<ServerSettings, std::shared_ptr<ServerSettings>> server(m, "SimulatedServer",
                                                                       "Settings of a server.");
    def_init<ServerSettings>(server, "SimulatedServer", kServerSettings, &checked_server);
    py::class_<ClusterSettings, std::shared_ptr<ClusterSettings>> cluster(
        m, "SimulatedCluster", "Servers, their router and client.");
    {
        py::options options;
        options.disable_function_signatures();
        const ClusterSettings defaults;
        cluster.def(py::init(&make_cluster), py::arg("servers"),
                    signature_of(&defaults, kClusterSettings, "servers, ").c_str());
    }
    py::class_<Requests, std::shared_ptr<Requests>>(m, "SimulatedRequests", "Requests as columns.")
        .def(py::init(&make_requests), py::arg("arrival_s"), py::arg("prompt"), py::arg("output"),
             py::kw_only(), py::arg("priority") = py::tuple(), py::arg("prefix_from") = py::tuple(),
             py::arg("prefix_ids") = py::tuple(), py::arg("prefix_tokens") = 0,
             py::arg("service_s") = py::tuple());
    py::class_<RequestStream, std::shared_ptr<RequestStream>>(m, "RequestStream", "Requests piece by piece.")
        .def(py::init([](std::size_t most, py::function next) {
                 return std::make_shared<RequestStream>(RequestStream{most, std::move(next)});
             }),
             py::arg("most"), py::arg("next"));
    py::class_<SimulationResult> result(m, "Simulation", "Requests of a simulation, and its servers.");
    result.def_property_readonly("queued_s", &column_of<&RequestResults::queued_s>)
        .def_property_readonly("scheduled_s", &column_of<&RequestResults::scheduled_s>)
        .def_property_readonly("first_token_s", &column_of<&RequestResults::first_token_s>)
        .def_property_readonly("finish_s", &column_of<&RequestResults::finish_s>)
        .def_property_readonly("tokens", &column_of<&RequestResults::tokens>)
        .def_property_readonly("cached_tokens", &column_of<&RequestResults::cached>)
        .def_property_readonly("preemptions", &column_of<&RequestResults::preemptions>)
        .def_property_readonly("server", &column_of<&RequestResults::server>)
        .def_property_readonly("outcome", &outcomes_of)
        .def_property_readonly("servers", &servers_of)
        .def_property_readonly("timeline", &timeline_of)
        .def_readonly("end_s", &SimulationResult::end_s)
        .def_readonly("request_seconds", &SimulationResult::request_seconds)
        .def_readonly("interrupted", &SimulationResult::interrupted)
        .def(
            "times",
            [](const SimulationResult& self, std::string_view name, double client_s) {
                return array_of(times_of(self.requests, request_time(name), client_s));
            },
            py::arg("name"), py::arg("client_s") = 0.0)
        .def("figures", &figures_of, py::kw_only(), py::arg("client_s") = 0.0,
             py::arg("usd_per_h") = py::none(), py::arg("idle_w") = py::none(), py::arg("blocks") = 1,
             py::arg("limits") = std::vector<std::pair<std::string, double>>{});
    m.def("simulate", &run_jobs, py::arg("jobs"), py::arg("threads") = 1, "Simulates servers under load.");
    m.def("simulate_queue", &run_queue, py::arg("arrival_s"), py::arg("service_s"), py::arg("servers") = 1,
          "Simulates a queue, first come, first served.");
    m.def("simulate_batches", &run_batches, py::arg("arrival_s"), py::kw_only(), py::arg("batch_s"),
          py::arg("batch_j"), py::arg("max_delay_s") = 0.0,
          py::arg("preferred") = std::vector<std::int64_t>{}, py::arg("instances") = 1,
          "Simulates a server that forms batches.");
    std::vector<std::string> outcomes;
    for (int i = 0; i < kOutcomes; ++i) outcomes.emplace_back(outcome_name(static_cast<Outcome>(i)));
    m.attr("SIMULATED_OUTCOMES") = py::tuple(py::cast(outcomes));
}

}  // namespace infercost

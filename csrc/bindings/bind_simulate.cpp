// Simulation of servers: arrays in, arrays out.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <limits>
#include <variant>

#include "bindings/bindings.hpp"
#include "bindings/request_sources.hpp"
#include "simulate/queues.hpp"
#include "simulate/simulate.hpp"
#include "simulate/step_costs.hpp"

namespace infercost {
namespace {

std::shared_ptr<StepCosts> make_step_costs(
    const Values& tokens, const Values& tokens_s, const Values& tokens_j, const Values& graphs,
    const Values& graphs_s, const Values& graphs_j, const Values& outputs, const Values& outputs_s,
    const Values& outputs_j, const Values& decode_sequences, const Values& decode_contexts,
    const Values& decode_s, const Values& decode_j, const Values& prefill_chunks,
    const Values& prefill_contexts, const Values& prefill_s, const Values& prefill_j, const Values& drafts,
    const Values& drafts_s, const Values& drafts_j, double host_step_s, double host_sequence_s,
    double host_prefill_s, bool overlaps_host, double idle_w) {
    return std::make_shared<StepCosts>(StepTables{
        .tokens = {flat(tokens), flat(tokens_s), flat(tokens_j)},
        .graphs = {flat(graphs), flat(graphs_s), flat(graphs_j)},
        .outputs = {flat(outputs), flat(outputs_s), flat(outputs_j)},
        .decode_attention = {flat(decode_sequences), flat(decode_contexts), flat(decode_s), flat(decode_j)},
        .prefill_attention = {flat(prefill_chunks), flat(prefill_contexts), flat(prefill_s), flat(prefill_j)},
        .drafts = {flat(drafts), flat(drafts_s), flat(drafts_j)},
        .host_step_s = host_step_s,
        .host_sequence_s = host_sequence_s,
        .host_prefill_s = host_prefill_s,
        .overlaps_host = overlaps_host,
        .idle_w = idle_w,
    });
}

// Numbers of a step beyond these are mistakes, and their products would not fit.
constexpr std::int64_t kMostTokens = std::int64_t{1} << 40;

void check_amount(std::int64_t value, const char* name, std::int64_t least) {
    if (value < least || value > kMostTokens) {
        throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) +
                                    "; expected a whole number from " + std::to_string(least) + " to " +
                                    std::to_string(kMostTokens));
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

template <class T>
py::array_t<T> samples_of(std::vector<T>&& values, std::size_t servers) {
    const auto wide = static_cast<py::ssize_t>(servers);
    const auto count = static_cast<py::ssize_t>(values.size()) / wide;
    return array_of(std::move(values)).reshape({count, wide});
}

template <class T>
py::array_t<T> each(const std::vector<ServerTotals>& servers, T ServerTotals::* member) {
    std::vector<T> values;
    for (const ServerTotals& server : servers) values.push_back(server.*member);
    return array_of(std::move(values));
}

py::dict to_python(SimulationResult&& result) {
    py::dict found;
    RequestResults& requests = result.requests;
    found["queued_s"] = array_of(std::move(requests.queued_s));
    found["scheduled_s"] = array_of(std::move(requests.scheduled_s));
    found["first_token_s"] = array_of(std::move(requests.first_token_s));
    found["finish_s"] = array_of(std::move(requests.finish_s));
    found["cached_tokens"] = array_of(std::move(requests.cached));
    found["preemptions"] = array_of(std::move(requests.preemptions));
    found["server"] = array_of(std::move(requests.server));
    std::vector<std::uint8_t> outcomes;
    outcomes.reserve(requests.outcome.size());
    for (const Outcome outcome : requests.outcome) outcomes.push_back(static_cast<std::uint8_t>(outcome));
    found["outcome"] = array_of(std::move(outcomes));
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
    found["servers"] = servers;
    py::dict timeline;
    timeline["interval_s"] = result.timeline.interval_s;
    const std::size_t count = result.servers.size();
    timeline["running"] = samples_of(std::move(result.timeline.running), count);
    timeline["waiting"] = samples_of(std::move(result.timeline.waiting), count);
    timeline["blocks"] = samples_of(std::move(result.timeline.blocks), count);
    found["timeline"] = timeline;
    found["end_s"] = result.end_s;
    found["request_seconds"] = result.request_seconds;
    found["interrupted"] = result.interrupted;
    return found;
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
    for (SimulationResult& result : results) found.append(to_python(std::move(result)));
    return found;
}

std::shared_ptr<ServerSettings> make_server(
    std::shared_ptr<StepCosts> costs, const TextParameter& engine, std::int64_t blocks,
    std::int64_t block_tokens, std::int64_t max_sequences, std::int64_t max_tokens, std::int64_t chunk_tokens,
    bool chunked_prefill, std::int64_t max_model_tokens, double watermark, bool reserve_prompt,
    bool prefix_cache, bool by_priority, bool mixed_chunks, bool evicts, bool equal_progress,
    std::int64_t recv_interval, bool fixed_lengths, double reserve_share, double least_reserve_share,
    std::int64_t reserve_decay_steps, std::int64_t most_reserved, std::int64_t retract_steps,
    std::int64_t drafts, std::vector<double> acceptance, std::int64_t stream_interval,
    bool first_token_buffered, double prefill_fill, bool jumps) {
    auto made = std::make_shared<ServerSettings>(ServerSettings{
        .costs = std::move(costs),
        .engine = parse_serving_engine(engine),
        .max_sequences = max_sequences,
        .max_tokens = max_tokens,
        .chunk_tokens = chunk_tokens,
        .chunked_prefill = chunked_prefill,
        .block_tokens = block_tokens,
        .blocks = blocks,
        .max_model_tokens = max_model_tokens,
        .watermark = watermark,
        .reserve_prompt = reserve_prompt,
        .prefix_cache = prefix_cache,
        .by_priority = by_priority,
        .mixed_chunks = mixed_chunks,
        .evicts = evicts,
        .equal_progress = equal_progress,
        .recv_interval = recv_interval,
        .reserve = {.fixed_lengths = fixed_lengths,
                    .initial = reserve_share,
                    .least_share = least_reserve_share,
                    .decay_steps = reserve_decay_steps,
                    .most_tokens = most_reserved,
                    .retract_steps = retract_steps},
        .drafts = drafts,
        .acceptance = std::move(acceptance),
        .stream_interval = stream_interval,
        .first_token_buffered = first_token_buffered,
        .prefill_fill = prefill_fill,
        .jumps = jumps,
    });
    check(*made);
    return made;
}

std::shared_ptr<ClusterSettings> make_cluster(const std::vector<std::shared_ptr<ServerSettings>>& servers,
                                              const TextParameter& routing, double match_share,
                                              std::int64_t most_difference, double most_ratio,
                                              std::int64_t prefill_servers, double bytes_per_token,
                                              double byte_per_s, double handshake_s, bool layerwise,
                                              std::int64_t max_concurrency, double think_s, double poll_s,
                                              double timeout_s, double queue_timeout_s, std::int64_t lockstep,
                                              std::uint64_t seed, std::int64_t samples) {
    constexpr double kNever = std::numeric_limits<double>::infinity();
    auto made = std::make_shared<ClusterSettings>(ClusterSettings{
        .servers = {},
        .router = {.routing = parse_routing(routing),
                    .match_share = match_share,
                    .most_difference = most_difference,
                    .most_ratio = most_ratio},
        .transfer = {.prefill_servers = prefill_servers,
                    .bytes_per_token = bytes_per_token,
                    .byte_per_s = byte_per_s,
                    .handshake_s = handshake_s,
                    .layerwise = layerwise},
        .client = {.max_concurrency = max_concurrency,
                    .think_s = think_s,
                    .poll_s = poll_s,
                    .timeout_s = timeout_s == 0 ? kNever : timeout_s,
                    .queue_timeout_s = queue_timeout_s == 0 ? kNever : queue_timeout_s},
        .lockstep = lockstep,
        .seed = seed,
        .samples = samples,
    });
    for (const auto& server : servers) {
        if (!server) throw InputTypeError("a server is None; expected a SimulatedServer");
        made->servers.push_back(*server);
        if (lockstep > 1) made->servers.back().jumps = false;
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
    py::class_<StepCosts, std::shared_ptr<StepCosts>>(m, "StepCosts", "What a step of an engine costs.")
        .def(py::init(&make_step_costs), py::kw_only(), py::arg("tokens"), py::arg("tokens_s"),
             py::arg("tokens_j"), py::arg("graphs") = py::tuple(), py::arg("graphs_s") = py::tuple(),
             py::arg("graphs_j") = py::tuple(), py::arg("outputs") = py::tuple(),
             py::arg("outputs_s") = py::tuple(), py::arg("outputs_j") = py::tuple(),
             py::arg("decode_sequences") = py::tuple(), py::arg("decode_contexts") = py::tuple(),
             py::arg("decode_s") = py::tuple(), py::arg("decode_j") = py::tuple(),
             py::arg("prefill_chunks") = py::tuple(), py::arg("prefill_contexts") = py::tuple(),
             py::arg("prefill_s") = py::tuple(), py::arg("prefill_j") = py::tuple(),
             py::arg("drafts") = py::tuple(), py::arg("drafts_s") = py::tuple(),
             py::arg("drafts_j") = py::tuple(), py::arg("host_step_s") = 0.0,
             py::arg("host_sequence_s") = 0.0, py::arg("host_prefill_s") = 0.0,
             py::arg("overlaps_host") = false, py::arg("idle_w") = 0.0)
        .def("step", &cost_of_step, py::arg("sequences"), py::arg("context"),
             py::arg("chunks") = std::vector<std::pair<std::int64_t, std::int64_t>>{},
             py::arg("completed") = 0, py::arg("tokens_each") = 1, "Seconds and joules of one step.");
    py::class_<ServerSettings, std::shared_ptr<ServerSettings>>(m, "SimulatedServer", "Settings of a server.")
        .def(py::init(&make_server), py::kw_only(), py::arg("costs"), py::arg("engine"), py::arg("blocks"),
             py::arg("block_tokens") = 16, py::arg("max_sequences") = 256, py::arg("max_tokens") = 8192,
             py::arg("chunk_tokens") = 0, py::arg("chunked_prefill") = true, py::arg("max_model_tokens") = 0,
             py::arg("watermark") = 0.0, py::arg("reserve_prompt") = true, py::arg("prefix_cache") = false,
             py::arg("by_priority") = false, py::arg("mixed_chunks") = false, py::arg("evicts") = false,
             py::arg("equal_progress") = false, py::arg("recv_interval") = 1,
             py::arg("fixed_lengths") = false, py::arg("reserve_share") = 0.7,
             py::arg("least_reserve_share") = 0.14, py::arg("reserve_decay_steps") = 600,
             py::arg("most_reserved") = 4096, py::arg("retract_steps") = 20, py::arg("drafts") = 0,
             py::arg("acceptance") = std::vector<double>{}, py::arg("stream_interval") = 1,
             py::arg("first_token_buffered") = false, py::arg("prefill_fill") = 1.0, py::arg("jumps") = true);
    py::class_<ClusterSettings, std::shared_ptr<ClusterSettings>>(m, "SimulatedCluster",
                                                                  "Servers, their router and client.")
        .def(py::init(&make_cluster), py::arg("servers"), py::kw_only(), py::arg("routing") = "round_robin",
             py::arg("match_share") = 0.5, py::arg("most_difference") = 64, py::arg("most_ratio") = 1.5,
             py::arg("prefill_servers") = 0, py::arg("bytes_per_token") = 0.0, py::arg("byte_per_s") = 0.0,
             py::arg("handshake_s") = 0.0, py::arg("layerwise") = false, py::arg("max_concurrency") = 0,
             py::arg("think_s") = 0.0, py::arg("poll_s") = 0.0, py::arg("timeout_s") = 0.0,
             py::arg("queue_timeout_s") = 0.0, py::arg("lockstep") = 1, py::arg("seed") = 0,
             py::arg("samples") = 2048);
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

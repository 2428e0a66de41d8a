// Memory and tables of served models: plans and symbolic quantities in, numbers and arrays out.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "bindings/request_sources.hpp"
#include "deploy/served_graphs.hpp"
#include "serving/knots.hpp"
#include "serving/server_defaults.hpp"

namespace infercost {
namespace {

// By value: py::vectorize takes no constant reference.
double room_of(std::string engine, double gpu, double memory_bytes, double on_a100, double weights,
               double caches, double sequence, double gpu_sequence, double cpu_sequence, double step_bytes,
               double vocabulary, bool reads_cache, double peak_bytes, double memory_share,
               double step_tokens) {
    const EngineLimits limits{
        .memory_share = memory_share, .step_tokens = static_cast<std::int64_t>(step_tokens), .sequences = 0};
    return sequences_with_room(parse_engine(engine), gpu > 0, memory_bytes, on_a100 > 0, limits,
                               {.weights = weights,
                                .caches = caches,
                                .sequence = sequence,
                                .paged_sequence = gpu > 0 ? gpu_sequence : cpu_sequence,
                                .step_bytes = step_bytes,
                                .vocabulary = vocabulary,
                                .reads_cache = reads_cache},
                               peak_bytes);
}

py::dict to_python(Curve&& curve) {
    py::dict out;
    out["rows"] = array_of(std::move(curve.knots));
    out["seconds"] = array_of(std::move(curve.seconds));
    out["joules"] = array_of(std::move(curve.joules));
    return out;
}

py::dict to_python(Surface&& surface) {
    const auto rows = static_cast<py::ssize_t>(surface.rows.size());
    const auto columns = static_cast<py::ssize_t>(surface.columns.size());
    py::dict out;
    out["rows"] = array_of(std::move(surface.rows));
    out["columns"] = array_of(std::move(surface.columns));
    out["seconds"] = array_of(std::move(surface.seconds)).reshape({rows, columns});
    out["joules"] = array_of(std::move(surface.joules)).reshape({rows, columns});
    return out;
}

py::dict steps_of(DeployedGraph& decode, DeployedGraph& prefill,
                  const std::shared_ptr<const Hardware>& machine, std::int64_t context,
                  std::int64_t most_sequences, std::int64_t most_tokens, std::int64_t most_context,
                  double tolerance, const GivenLimits& given) {
    const StepLimits limits{context, most_sequences, most_tokens, most_context, tolerance};
    ServedSteps made;
    {
        const CoreCall core;
        made = served_steps(served_model(decode, prefill, *machine, machine, to_limits(given)), limits);
    }
    StepTables& tables = made.tables;
    py::dict out;
    out["tokens"] = to_python(std::move(tables.tokens));
    out["recorded"] = to_python(std::move(tables.graphs));
    out["outputs"] = to_python(std::move(tables.outputs));
    out["decode"] = to_python(std::move(tables.decode_attention));
    out["prefill"] = to_python(std::move(tables.prefill_attention));
    out["drafts"] = tables.drafts.knots.empty() ? py::object(py::none())
                                                : py::object(to_python(std::move(tables.drafts)));
    out["host_step_s"] = tables.host_step_s;
    out["host_sequence_s"] = tables.host_sequence_s;
    out["host_prefill_s"] = tables.host_prefill_s;
    out["overlaps_host"] = tables.overlaps_host;
    out["idle_w"] = tables.idle_w;
    out["stages"] = made.stages;
    out["prefill_fill"] = made.prefill_fill;
    out["spread"] = made.spread;
    out["prefill_spread"] = made.prefill_spread;
    out["weight_bytes"] = made.memory.weight_bytes;
    out["pool_bytes"] = made.memory.pool_bytes;
    out["block_tokens"] = made.block_tokens;
    out["kv_bytes_per_token"] = made.kv_bytes_per_token;
    out["step_tokens"] = made.step_tokens;
    out["fits"] = made.memory.fits;
    out["most_sequence_tokens"] = made.memory.most_tokens;
    return out;
}

py::array_t<std::int64_t> knots_of(const Values& at, const Values& values, double tolerance) {
    std::vector<std::span<const double>> tables;
    const auto positions = static_cast<std::size_t>(at.size());
    if (values.ndim() != 2 || values.shape(1) != at.size()) {
        throw std::invalid_argument("values has another shape than (tables, positions)");
    }
    for (py::ssize_t table = 0; table < values.shape(0); ++table) {
        tables.emplace_back(values.data(table, 0), positions);
    }
    std::vector<std::int64_t> places;
    for (const std::size_t place : chosen_knots({at.data(), positions}, tables, tolerance)) {
        places.push_back(static_cast<std::int64_t>(place));
    }
    return array_of(std::move(places));
}

}  // namespace

void register_serving(py::module_& m) {
    m.def("sequences_with_room", py::vectorize(&room_of), py::arg("engine"), py::arg("gpu"),
          py::arg("memory_bytes"), py::arg("on_a100"), py::arg("weights"), py::arg("caches"),
          py::arg("sequence"), py::arg("gpu_sequence"), py::arg("cpu_sequence"), py::arg("step_bytes"),
          py::arg("vocabulary"), py::arg("reads_cache"), py::arg("peak_bytes"), py::arg("memory_share"),
          py::arg("step_tokens"),
          "Sequences for which an engine has room, for columns of numbers; NaN where the memory is unknown.");
    m.def("is_a100", &is_a100, py::arg("machine"), "Whether engines take a machine for an A100.");
    m.def(
        "cached_shares", [] { return kCachedShares; },
        "Thousandths of a prompt in the cache, for which tables of steps need plans of the prefill.");
    m.attr("SERVED_EXPERTS") = kServedExperts;
    m.def("version_number", &version_number, py::arg("major"), py::arg("minor"),
          "Number of a version of an engine, in their order.");
    m.def("tokens_of_step", &tokens_of_step, py::arg("drafts"), py::arg("acceptance"),
          "Tokens of a sequence that a decode step yields on average.");
    m.def("draft_acceptance", &draft_acceptance, py::arg("drafts"), py::arg("tokens_per_step"),
          "The probability that a draft is accepted, from the tokens that a step yields.");
    m.def("pool_blocks", &pool_blocks, py::arg("pool_bytes"), py::arg("kv_bytes_per_token"),
          py::arg("block_tokens"), "Blocks of a cache.");
    m.def("ample_blocks", &ample_blocks, py::arg("sequences"), py::arg("longest"), py::arg("block_tokens"),
          "Blocks for which sequences need no more.");
    m.def("chosen_knots", &knots_of, py::arg("at"), py::arg("values"), py::arg("tolerance"),
          "Places of knots between which lines meet all values within a relative tolerance.");
    m.def("served_steps", &steps_of, py::arg("decode"), py::arg("prefill"), py::arg("machine"), py::kw_only(),
          py::arg("context"), py::arg("most_sequences"), py::arg("most_tokens"), py::arg("most_context"),
          py::arg("tolerance"), py::arg("memory_limits"),
          "The tables of an engine's steps, its memory and its error bands.");
}

}  // namespace infercost

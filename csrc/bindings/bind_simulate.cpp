// Simulation of servers: arrays in, arrays out.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "simulate/step_costs.hpp"

namespace infercost {
namespace {

using Values = py::array_t<double, py::array::c_style | py::array::forcecast>;

std::vector<double> flat(const Values& values) {
    return {values.data(), values.data() + values.size()};
}

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
}

}  // namespace infercost

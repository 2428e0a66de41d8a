#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "lowering/engines/engine.hpp"
#include "lowering/engines/engine_memory.hpp"
#include "lowering/engines/engine_scheduler.hpp"

namespace infercost {

namespace {

double pool_of(const std::string& engine, bool on_gpu, double memory_bytes, double is_a100,
               double weight_bytes, double sequence_bytes, double step_bytes, double prompt_bytes,
               double chunk_bytes, double vocabulary, const GivenLimits& limits) {
    return cache_pool_bytes(parse_engine(engine), on_gpu,
                            {.memory_bytes = memory_bytes,
                             .is_a100 = is_a100 > 0,
                             .weight_bytes = weight_bytes,
                             .sequence_bytes = sequence_bytes,
                             .step_bytes = step_bytes,
                             .prompt_bytes = prompt_bytes,
                             .chunk_bytes = chunk_bytes,
                             .vocabulary = vocabulary,
                             .limits = to_limits(limits)});
}

void register_memory(py::module_& m) {
    m.def(
        "cache_pool_bytes", &pool_of, py::arg("engine"), py::arg("on_gpu"), py::arg("memory_bytes"),
        py::arg("is_a100"), py::arg("weight_bytes"), py::arg("sequence_bytes"), py::arg("step_bytes"),
        py::arg("prompt_bytes"), py::arg("chunk_bytes"), py::arg("vocabulary"), py::arg("limits"),
        "The bytes that an engine has for caches on a device. Limits are a share of the memory, tokens of a\n"
        "step and sequences; 0 for the engine's own.");
    m.def(
        "divides_memory",
        [](const std::string& engine, bool on_gpu) { return divides_memory(parse_engine(engine), on_gpu); },
        py::arg("engine"), py::arg("on_gpu"), "Whether an engine divides the memory by a rule of its own.");
    m.def(
        "most_step_tokens",
        [](const std::string& engine, double memory_bytes, bool is_a100, const GivenLimits& limits) {
            return most_step_tokens(parse_engine(engine), memory_bytes, is_a100, to_limits(limits));
        },
        py::arg("engine"), py::arg("memory_bytes"), py::arg("is_a100"), py::arg("limits"),
        "Tokens of the largest step of such an engine.");
    m.def(
        "cache_block_tokens",
        [](const std::string& engine, bool on_gpu) {
            return cache_block_tokens(parse_engine(engine), on_gpu);
        },
        py::arg("engine"), py::arg("on_gpu"), "Tokens of a page of an engine's cache.");
    m.def(
        "engine_sequences",
        [](const std::string& engine, double memory_bytes, bool is_a100) {
            return engine_sequences(parse_engine(engine), memory_bytes, is_a100);
        },
        py::arg("engine"), py::arg("memory_bytes"), py::arg("is_a100"),
        "Sequences that an engine runs at most with its own settings.");
}

py::object scheduling_of(const std::string& engine, const std::optional<std::int64_t>& step_tokens) {
    const std::optional<SchedulerRules> rules = scheduler_rules(parse_engine(engine), step_tokens);
    if (!rules) return py::none();
    py::dict out;
    out["mixes"] = rules->mixes;
    out["max_num_batched_tokens"] = rules->max_tokens;
    out["enable_chunked_prefill"] = rules->chunked_prefill;
    out["chunked_prefill_size"] = rules->chunk_tokens;
    out["reserves"] = rules->reserves;
    return out;
}

}  // namespace

void register_engines(py::module_& m) {
    register_memory(m);
    m.def(
        "scheduler_rules", &scheduling_of, py::arg("engine"), py::arg("step_tokens") = py::none(),
        "The settings of an engine's scheduler, on a machine for which it sets so many tokens of prompts in\n"
        "a step; None for an engine that forms no steps.");
    m.def("engines", &engine_names, "The names of all engines.");
    m.def("compilers", &compiler_names, "The names of the engines that compile whole models.");
    m.def(
        "engine_version",
        [](const std::string& engine) { return std::string(version_of(parse_engine(engine))); },
        py::arg("engine"), "The version whose behavior an engine's rows describe; empty for torch.");
    m.def(
        "recorded_sizes", [](const std::string& engine) { return recorded_sizes(parse_engine(engine)); },
        py::arg("engine"),
        "Numbers of tokens for which an engine records graphs when it starts, in ascending order; empty "
        "where it records none.");
}

}  // namespace infercost

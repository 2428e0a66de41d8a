// How serving engines divide the memory of a device, by the rules of the products and the size of the memory.
#pragma once

#include <cstdint>
#include <optional>

#include "lowering/engines/engine.hpp"

namespace infercost {

// What a deployment sets in the place of an engine's own settings; 0 keeps those.
struct EngineLimits {
    double memory_share = 0;       // vLLM: gpu_memory_utilization; SGLang: mem_fraction_static; TensorRT-LLM:
                                   // free_gpu_memory_fraction
    std::int64_t step_tokens = 0;  // of prompts in a step
    std::int64_t sequences = 0;    // that run
};

// What an engine's share of the memory for caches depends on, in bytes.
struct CacheDemand {
    double memory_bytes = 0;
    bool is_a100 = false;  // for which vLLM has smaller steps
    double weight_bytes = 0;
    double sequence_bytes = 0;  // of the cache of a sequence
    double step_bytes = 0;      // activations of a decode step, per sequence
    double prompt_bytes = 0;    // activations of a prefill of one prompt, where prompts are read whole
    double chunk_bytes = 0;     // activations of a step of `most_step_tokens`
    double vocabulary = 0;      // logits of a token
    EngineLimits limits;
};

// Whether an engine divides the memory by a rule of its own.
bool divides_memory(ServingEngine engine, bool on_gpu);

// Tokens of the largest step of such an engine: of its trial run, by which it divides the memory.
std::int64_t most_step_tokens(ServingEngine engine, double memory_bytes, bool is_a100,
                              const EngineLimits& limits);

// Bytes for caches; below zero if the rest does not fit. An engine without a rule of its own fills the memory
// with sequences, as one on a CPU does.
double cache_pool_bytes(ServingEngine engine, bool on_gpu, const CacheDemand& demand);

// Tokens of a page of the cache; a sequence takes whole pages.
std::int64_t cache_block_tokens(ServingEngine engine, bool on_gpu);

// Sequences that an engine runs at most with its own settings.
std::int64_t engine_sequences(ServingEngine engine, double memory_bytes, bool is_a100);

// Tokens of prompts in a step that an engine sets by the memory; none if the memory plays no part.
std::optional<std::int64_t> engine_step_tokens(ServingEngine engine, double memory_bytes, bool is_a100);

}  // namespace infercost

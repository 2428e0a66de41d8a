// Memory of a model that generates on one device: weights, caches, activations, and the sequences that an
// engine can hold.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "count/boundary.hpp"
#include "hardware/hardware.hpp"
#include "lowering/engines/engine_memory.hpp"

namespace infercost {

// What a forward holds on one device, symbolic in its sizes.
struct Holdings {
    Expr weight_bytes = 0;
    std::optional<Expr> tokens;  // of the whole model; none if it looks up no ids
    std::int64_t vocabulary = 0;
    bool reads_cache = false;  // caches are given to the forward, as in a decode step
    std::vector<Cache> caches;
    Expr step_bytes = 0;  // activations of a step of an engine (count/boundary.hpp)
    std::string batch;    // names of the sizes; empty where the capture fixed them
    std::string length;   // context of a decode step, tokens of a prompt
};

// A prefill, as far as the memory of a program is concerned that reads prompts whole: its activations and
// workspaces at its peak, without the caches that it fills, and its prompts.
struct PromptMemory {
    double activation_bytes = 0;
    double sequences = 0;
};

// What the sizes of a point make of holdings.
struct HeldBytes {
    double weights = 0;
    double caches = 0;
    double sequence = 0;        // cache of a sequence
    double paged_sequence = 0;  // the same on whole pages
    double step_bytes = 0;      // activations of the largest step of an engine
    double vocabulary = 0;      // logits of a token, on all ranks that share it
    bool reads_cache = false;
};

// Sequences for which an engine has room beside a forward with this peak; NaN where the memory is unknown.
double sequences_with_room(ServingEngine engine, bool on_gpu, double memory_bytes, bool on_a100,
                           const EngineLimits& limits, const HeldBytes& held, double peak_bytes);

// In bytes; what depends on the memory of the machine is absent where that is unknown.
struct DeviceMemory {
    std::int64_t weight_bytes = 0;
    std::int64_t kv_cache_bytes = 0;
    std::int64_t activation_bytes = 0;
    std::optional<std::int64_t> machine_bytes;
    std::optional<bool> fits;                    // the weights, and the sequences of the forward
    std::optional<std::int64_t> left_bytes;      // beside the forward; below zero if it does not fit
    std::optional<std::int64_t> reserved_bytes;  // what the engine keeps beside weights and caches
    std::optional<std::int64_t> pool_bytes;      // what it has for caches
    std::optional<std::int64_t> max_sequences;   // that fit there
    std::optional<std::int64_t> tokens;          // that the caches hold of each sequence; none for states
    std::optional<std::int64_t> most_tokens;     // of one sequence that has the pool for itself
};

template <class Visit>
void describe(const DeviceMemory& of, Visit&& visit) {
    visit("weight_bytes", of.weight_bytes);
    visit("kv_cache_bytes", of.kv_cache_bytes);
    visit("activation_bytes", of.activation_bytes);
    visit("machine_memory_bytes", of.machine_bytes);
    visit("fits", of.fits);
    visit("left_bytes", of.left_bytes);
    visit("reserved_bytes", of.reserved_bytes);
    visit("pool_bytes", of.pool_bytes);
    visit("max_sequences", of.max_sequences);
    visit("tokens", of.tokens);
    visit("most_tokens", of.most_tokens);
}

// Where a model runs, as far as memory is concerned.
struct MemoryPlace {
    ServingEngine engine = ServingEngine::torch;
    const Hardware* machine = nullptr;
    std::int64_t attention_ranks = 1;  // that share the vocabulary: each samples from all of it
    EngineLimits limits;
};

// The name of the size of a sequence: its context, or the tokens of its prompt; empty if there is none.
std::string length_of(const Graph& graph);

// Whether engines take a machine for an A100.
bool is_a100(const Hardware& machine);

// Bytes of a sequence on whole pages of `block` tokens.
std::int64_t paged_bytes(const Holdings& held, std::int64_t block, const Sizes& sizes);

// Weights and caches.
std::int64_t held_bytes(const Holdings& held, const Sizes& sizes);

// The memory of a forward. `sizes` has all sizes of the graph, for the largest share of the batch on one
// device; `prompt` is the prefill before a decode step, and a prefill is its own. None for a model without a
// cache.
std::optional<DeviceMemory> device_memory(const MemoryPlace& place, const Holdings& held, const Sizes& sizes,
                                          double peak_bytes, const PromptMemory* prompt = nullptr);

// The same of the fullest stage of a pipeline, with the sequences of the stage that has the least room.
// `peak_bytes` is that of the fullest stage.
std::optional<DeviceMemory> fullest_memory(const MemoryPlace& place, std::span<const Holdings> stages,
                                           const Sizes& sizes, double peak_bytes,
                                           const PromptMemory* prompt = nullptr);

}  // namespace infercost

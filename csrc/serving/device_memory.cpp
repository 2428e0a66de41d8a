#include "serving/device_memory.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lowering/engines/engine_memory.hpp"

namespace infercost {
namespace {

struct Demanded {
    double activations = 0;  // beside weights and caches
    CacheDemand demand;      // without the machine
};

Demanded demanded(const HeldBytes& held, double peak_bytes, const PromptMemory* prompt) {
    const double activations = std::max(0.0, std::floor(peak_bytes) - held.weights - held.caches);
    const double sequences = std::max(1.0, std::floor(held.caches / std::max(1.0, held.sequence)));
    CacheDemand demand{.weight_bytes = held.weights,
                       .sequence_bytes = held.paged_sequence,
                       .step_bytes = activations / sequences,
                       .vocabulary = held.vocabulary};
    if (prompt != nullptr) {
        demand.prompt_bytes = prompt->activation_bytes;
        demand.prompts = prompt->sequences;
        demand.prompt_tokens = prompt->tokens;
    } else if (!held.reads_cache) {  // a prefill is its own prompt
        demand.step_bytes = 0;
        demand.prompt_bytes = activations;
        demand.prompts = sequences;
        demand.prompt_tokens = held.tokens;
    }
    return {activations, demand};
}

}  // namespace

double sequences_with_room(ServingEngine engine, bool on_gpu, double memory_bytes, bool on_a100,
                           const HeldBytes& held, double peak_bytes) {
    if (!std::isfinite(memory_bytes)) return std::numeric_limits<double>::quiet_NaN();
    CacheDemand demand = demanded(held, peak_bytes, nullptr).demand;
    demand.memory_bytes = std::max(1.0, std::floor(memory_bytes));
    demand.is_a100 = on_a100;
    const double pool = std::max(0.0, std::floor(cache_pool_bytes(engine, on_gpu, demand)));
    return std::floor(pool / std::max(1.0, demand.sequence_bytes));
}

bool is_a100(const Hardware& machine) {
    return machine.id.find("a100") != std::string::npos;
}

std::int64_t paged_bytes(const Holdings& held, std::int64_t block, const Sizes& sizes) {
    std::int64_t total = 0;
    for (const Cache& cache : held.caches) {
        total += cache.sequence_bytes.evaluate(sizes);
        if (!cache.grows || block <= 1) continue;
        const std::int64_t filled = cache.positions.evaluate(sizes) % block;
        if (filled > 0) total += (block - filled) * cache.token_bytes.evaluate(sizes);
    }
    return total;
}

std::int64_t held_bytes(const Holdings& held, const Sizes& sizes) {
    std::int64_t total = held.weight_bytes.evaluate(sizes);
    for (const Cache& cache : held.caches) total += cache.bytes.evaluate(sizes);
    return total;
}

std::optional<DeviceMemory> device_memory(const MemoryPlace& place, const Holdings& held, const Sizes& sizes,
                                          double peak_bytes, const PromptMemory* prompt) {
    if (held.caches.empty()) return std::nullopt;
    const bool on_gpu = place.machine->kind == MachineKind::gpu;
    std::int64_t caches = 0;
    std::optional<std::int64_t> tokens;
    for (const Cache& cache : held.caches) {
        caches += cache.bytes.evaluate(sizes);
        if (cache.kind == CacheKind::state || cache.kind == CacheKind::cross) continue;
        tokens = std::max(tokens.value_or(0), cache.positions.evaluate(sizes));
    }
    const std::int64_t weights = held.weight_bytes.evaluate(sizes);
    const std::int64_t taken = paged_bytes(held, cache_block_tokens(place.engine, on_gpu), sizes);
    auto [activations, demand] =
        demanded({.weights = static_cast<double>(weights),
                  .caches = static_cast<double>(caches),
                  .sequence = static_cast<double>(paged_bytes(held, 1, sizes)),
                  .paged_sequence = static_cast<double>(taken),
                  .tokens = held.tokens ? static_cast<double>(held.tokens->evaluate(sizes)) : 0.0,
                  .vocabulary = static_cast<double>(held.vocabulary * place.attention_ranks),
                  .reads_cache = held.reads_cache},
                 peak_bytes, prompt);
    DeviceMemory found;
    found.weight_bytes = weights;
    found.kv_cache_bytes = caches;
    found.activation_bytes = static_cast<std::int64_t>(activations);
    found.tokens = tokens;
    const double capacity = place.machine->dram().capacity_bytes;
    if (!std::isfinite(capacity)) return found;
    const auto memory = static_cast<std::int64_t>(capacity);
    demand.memory_bytes = static_cast<double>(memory);
    demand.is_a100 = is_a100(*place.machine);
    const auto pool =
        static_cast<std::int64_t>(std::max(0.0, cache_pool_bytes(place.engine, on_gpu, demand)));
    found.machine_bytes = memory;
    found.left_bytes = memory - weights - caches - found.activation_bytes;
    found.reserved_bytes = std::max<std::int64_t>(0, memory - weights - pool);
    found.pool_bytes = pool;
    if (taken > 0) found.max_sequences = pool / taken;
    return found;
}

std::optional<DeviceMemory> fullest_memory(const MemoryPlace& place, std::span<const Holdings> stages,
                                           const Sizes& sizes, double peak_bytes,
                                           const PromptMemory* prompt) {
    if (stages.size() == 1) return device_memory(place, stages[0], sizes, peak_bytes, prompt);
    std::int64_t most = 0;
    for (const Holdings& stage : stages) most = std::max(most, held_bytes(stage, sizes));
    const double beside = peak_bytes - static_cast<double>(most);
    std::optional<DeviceMemory> fullest;
    std::optional<std::int64_t> fitting;
    for (const Holdings& stage : stages) {
        const double peak = static_cast<double>(held_bytes(stage, sizes)) + beside;
        const std::optional<DeviceMemory> found = device_memory(place, stage, sizes, peak, prompt);
        if (!found) continue;
        if (found->max_sequences)
            fitting = std::min(fitting.value_or(*found->max_sequences), *found->max_sequences);
        if (!fullest ||
            found->weight_bytes + found->kv_cache_bytes > fullest->weight_bytes + fullest->kv_cache_bytes) {
            fullest = found;
        }
    }
    if (fullest) fullest->max_sequences = fitting;
    return fullest;
}

}  // namespace infercost

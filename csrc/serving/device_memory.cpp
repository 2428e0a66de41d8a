#include "serving/device_memory.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lowering/engines/engine_memory.hpp"

namespace infercost {
namespace {

struct Demanded {
    double activations = 0;  // beside weights and caches
    double sequences = 0;    // of the forward
    CacheDemand demand;      // without the machine
};

Demanded demanded(const HeldBytes& held, double peak_bytes, const PromptMemory* prompt) {
    const double activations = std::max(0.0, std::floor(peak_bytes) - held.weights - held.caches);
    const double sequences = std::max(1.0, std::floor(held.caches / std::max(1.0, held.sequence)));
    CacheDemand demand{.weight_bytes = held.weights,
                       .sequence_bytes = held.paged_sequence,
                       .step_bytes = activations / sequences,
                       .chunk_bytes = held.step_bytes,
                       .vocabulary = held.vocabulary,
                       .limits = {}};
    if (prompt != nullptr) {
        demand.prompt_bytes = prompt->activation_bytes / std::max(1.0, prompt->sequences);
    } else if (!held.reads_cache) {  // a prefill is its own prompt
        demand.step_bytes = 0;
        demand.prompt_bytes = activations / sequences;
    }
    return {activations, sequences, demand};
}

// Activations of a step of an engine with so many tokens, all of them in one prompt or in sequences that
// generate.
double step_bytes(const Holdings& held, const Sizes& sizes, std::int64_t tokens) {
    Sizes of_step = sizes;
    if (!held.batch.empty()) of_step[held.batch] = held.reads_cache ? tokens : 1;
    if (!held.length.empty()) of_step[held.length] = held.reads_cache ? 1 : tokens;
    const auto bytes = static_cast<double>(held.step_bytes.evaluate(of_step));
    if (!held.tokens) return bytes;
    const std::int64_t read = held.tokens->evaluate(of_step);
    return bytes * static_cast<double>(tokens) / static_cast<double>(std::max<std::int64_t>(1, read));
}

// The longest sequence, on whole pages, whose caches have room in a pool. None where caches do not grow. A
// window that is not full in a capture at one length is taken to grow on.
std::optional<std::int64_t> longest_sequence(const Holdings& held, std::int64_t block, const Sizes& sizes,
                                             std::int64_t pool_bytes) {
    if (held.length.empty()) {
        std::int64_t kept = 0;
        std::int64_t each = 0;  // bytes of a token
        for (const Cache& cache : held.caches) {
            if (cache.grows) {
                each += cache.token_bytes.evaluate(sizes);
            } else {
                kept += cache.sequence_bytes.evaluate(sizes);
            }
        }
        if (each == 0) return std::nullopt;
        return std::max<std::int64_t>(0, pool_bytes - kept) / each / block * block;
    }
    constexpr std::int64_t kMost = 1 << 24;  // tokens
    const auto fits = [&](std::int64_t tokens) {
        Sizes of_sequence = sizes;
        of_sequence[held.length] = held.reads_cache ? tokens - 1 : tokens;
        return paged_bytes(held, block, of_sequence) <= pool_bytes;
    };
    if (fits(kMost)) return std::nullopt;
    std::int64_t low = 1;  // a decode step has a context
    std::int64_t high = kMost;
    while (high - low > 1) {
        const std::int64_t middle = (low + high) / 2;
        (fits(middle) ? low : high) = middle;
    }
    return low / block * block;
}

}  // namespace

double sequences_with_room(ServingEngine engine, bool on_gpu, double memory_bytes, bool on_a100,
                           const EngineLimits& limits, const HeldBytes& held, double peak_bytes) {
    if (!std::isfinite(memory_bytes)) return std::numeric_limits<double>::quiet_NaN();
    CacheDemand demand = demanded(held, peak_bytes, nullptr).demand;
    demand.memory_bytes = std::max(1.0, std::floor(memory_bytes));
    demand.is_a100 = on_a100;
    demand.limits = limits;
    const double pool = std::max(0.0, std::floor(cache_pool_bytes(engine, on_gpu, demand)));
    return std::floor(pool / std::max(1.0, demand.sequence_bytes));
}

std::string length_of(const Graph& graph) {
    for (const SizeRole role : {SizeRole::context, SizeRole::sequence}) {
        if (auto name = graph.size_of_role(role)) return *name;
    }
    return {};
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
    const std::int64_t block = cache_block_tokens(place.engine, on_gpu);
    const std::int64_t taken = paged_bytes(held, block, sizes);
    const double capacity = place.machine->dram().capacity_bytes;
    const bool divides = divides_memory(place.engine, on_gpu);
    std::int64_t step = 0;  // tokens of the largest step
    double of_step = 0;
    if (divides) {
        step = most_step_tokens(place.engine, capacity, is_a100(*place.machine), place.limits);
        of_step = step_bytes(held, sizes, step);
    }
    auto [activations, sequences, demand] =
        demanded({.weights = static_cast<double>(weights),
                  .caches = static_cast<double>(caches),
                  .sequence = static_cast<double>(paged_bytes(held, 1, sizes)),
                  .paged_sequence = static_cast<double>(taken),
                  .step_bytes = of_step,
                  .vocabulary = static_cast<double>(held.vocabulary * place.attention_ranks),
                  .reads_cache = held.reads_cache},
                 peak_bytes, prompt);
    // A forward with more tokens is computed in several steps.
    if (divides && held.tokens && held.tokens->evaluate(sizes) > step) {
        activations = std::min(activations, of_step);
    }
    DeviceMemory found;
    found.weight_bytes = weights;
    found.kv_cache_bytes = caches;
    found.activation_bytes = static_cast<std::int64_t>(activations);
    found.tokens = tokens;
    if (!std::isfinite(capacity)) return found;
    const auto memory = static_cast<std::int64_t>(capacity);
    demand.memory_bytes = static_cast<double>(memory);
    demand.is_a100 = is_a100(*place.machine);
    demand.limits = place.limits;
    const auto pool =
        static_cast<std::int64_t>(std::max(0.0, cache_pool_bytes(place.engine, on_gpu, demand)));
    found.machine_bytes = memory;
    found.left_bytes = memory - weights - caches - found.activation_bytes;
    found.reserved_bytes = std::max<std::int64_t>(0, memory - weights - pool);
    found.pool_bytes = pool;
    if (taken > 0) found.max_sequences = pool / taken;
    found.most_tokens = longest_sequence(held, block, sizes, pool);
    const bool held_together =
        !found.max_sequences || *found.max_sequences >= static_cast<std::int64_t>(sequences);
    found.fits = divides ? pool > 0 && held_together : *found.left_bytes >= 0;
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
    std::optional<std::int64_t> longest;
    bool fits = true;
    for (const Holdings& stage : stages) {
        const double peak = static_cast<double>(held_bytes(stage, sizes)) + beside;
        const std::optional<DeviceMemory> found = device_memory(place, stage, sizes, peak, prompt);
        if (!found) continue;
        if (found->max_sequences)
            fitting = std::min(fitting.value_or(*found->max_sequences), *found->max_sequences);
        if (found->most_tokens)
            longest = std::min(longest.value_or(*found->most_tokens), *found->most_tokens);
        fits = fits && found->fits.value_or(true);
        if (!fullest ||
            found->weight_bytes + found->kv_cache_bytes > fullest->weight_bytes + fullest->kv_cache_bytes) {
            fullest = found;
        }
    }
    if (fullest) {
        fullest->max_sequences = fitting;
        fullest->most_tokens = longest;
        if (fullest->fits) fullest->fits = fits;
    }
    return fullest;
}

}  // namespace infercost

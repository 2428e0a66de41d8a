#include "lowering/engines/engine_memory.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace infercost {
namespace {

constexpr double kMib = 1 << 20;
constexpr double kGib = 1 << 30;

// A program that fills the memory with sequences. One prompt at a time is read; in a decode step the
// activations of all sequences are held beside their caches.
double plain_pool(const CacheDemand& demand) {
    const double free = demand.memory_bytes - demand.weight_bytes - demand.prompt_bytes;
    const double held = std::max(1.0, demand.sequence_bytes + demand.step_bytes);
    return free * std::max(1.0, demand.sequence_bytes) / held;
}

// ---- vLLM (V1) ----

constexpr double kVllmShare = 0.9;        // gpu_memory_utilization
constexpr double kVllmLarge = 70 * kGib;  // from here on, and except on A100, servers have larger steps
constexpr std::int64_t kVllmTokens = 2048;
constexpr std::int64_t kVllmMoreTokens = 8192;
constexpr std::int64_t kVllmSequences = 256;
constexpr std::int64_t kVllmMoreSequences = 1024;
// Logits in bfloat16 and float32, and their sorted values and places; CUDA context, libraries and
// communication. Both are set so that the rule gives the pool that one server reported: Llama-3.1-8B on an
// RTX 4090.
constexpr double kVllmLogitBytes = 18;
constexpr double kContextBytes = 0.65e9;

double share_of(const CacheDemand& demand, double own) {
    return demand.limits.memory_share > 0 ? demand.limits.memory_share : own;
}

bool has_large_steps(double memory_bytes, bool is_a100) {
    return memory_bytes >= kVllmLarge && !is_a100;
}

// Its share of the memory, less weights, the peak of a trial run, and its context. The trial run reads as
// many tokens as a step may have, and samples for as many sequences as may run. CUDA graphs lie in the rest
// of the memory.
double vllm_pool(const CacheDemand& demand) {
    const std::int64_t tokens =
        most_step_tokens(ServingEngine::vllm, demand.memory_bytes, demand.is_a100, demand.limits);
    const std::int64_t own = engine_sequences(ServingEngine::vllm, demand.memory_bytes, demand.is_a100);
    const std::int64_t sequences =
        std::min(tokens, demand.limits.sequences > 0 ? demand.limits.sequences : own);
    const double logits = static_cast<double>(sequences) * demand.vocabulary * kVllmLogitBytes;
    const double trial = std::max(demand.chunk_bytes, logits);
    return share_of(demand, kVllmShare) * demand.memory_bytes - demand.weight_bytes - trial - kContextBytes;
}

// ---- SGLang 0.5 ----

struct SglangRow {
    double memory_bytes;  // from which on a machine is of the row
    std::int64_t tokens;  // of a chunk of a prefill
    std::int64_t batch;   // the largest of a CUDA graph
};
constexpr std::array<SglangRow, 6> kSglangRows = {
    {{0, 2048, 8},
     {20 * kGib, 2048, 24},
     {35 * kGib, 4096, 32},
     {60 * kGib, 8192, 256},
     {90 * kGib, 8192, 256},
     {160 * kGib, 16384, 512}}
};

const SglangRow& sglang_row(double memory_bytes) {
    const SglangRow* found = kSglangRows.data();
    for (const SglangRow& row : kSglangRows) {
        if (memory_bytes >= row.memory_bytes) found = &row;
    }
    return *found;
}

// The memory less weights and a reserve that depends on the size of the memory: in MiB 512, 1.5 for each
// token of a chunk, 2 for each sequence of the largest CUDA graph, and 128.
double sglang_pool(const CacheDemand& demand) {
    const SglangRow& row = sglang_row(demand.memory_bytes);
    const double reserve =
        (512 + 1.5 * static_cast<double>(row.tokens) + 2 * static_cast<double>(row.batch) + 128) * kMib;
    // mem_fraction_static, of three digits
    const double own = std::floor(1000 * (1 - reserve / demand.memory_bytes) + 0.5) / 1000;
    return share_of(demand, own) * demand.memory_bytes - demand.weight_bytes;
}

// ---- TensorRT-LLM 1.0 ----

constexpr double kTrtllmShare = 0.9;          // free_gpu_memory_fraction
constexpr std::int64_t kTrtllmTokens = 8192;  // max_num_tokens

// A share of what weights, activations and the context leave.
double trtllm_pool(const CacheDemand& demand) {
    const double free = demand.memory_bytes - demand.weight_bytes - demand.chunk_bytes - kContextBytes;
    return share_of(demand, kTrtllmShare) * free;
}

}  // namespace

bool divides_memory(ServingEngine engine, bool on_gpu) {
    return on_gpu && (engine == ServingEngine::vllm || engine == ServingEngine::sglang ||
                      engine == ServingEngine::trtllm);
}

std::int64_t most_step_tokens(ServingEngine engine, double memory_bytes, bool is_a100,
                              const EngineLimits& limits) {
    if (limits.step_tokens > 0) return limits.step_tokens;
    return engine_step_tokens(engine, memory_bytes, is_a100).value_or(kTrtllmTokens);
}

double cache_pool_bytes(ServingEngine engine, bool on_gpu, const CacheDemand& demand) {
    if (on_gpu && engine == ServingEngine::vllm) return vllm_pool(demand);
    if (on_gpu && engine == ServingEngine::sglang) return sglang_pool(demand);
    if (on_gpu && engine == ServingEngine::trtllm) return trtllm_pool(demand);
    return plain_pool(demand);
}

std::int64_t cache_block_tokens(ServingEngine engine, bool on_gpu) {
    if (engine == ServingEngine::vllm) return on_gpu ? 16 : 128;  // vllm/platforms/cpu.py
    return on_gpu && engine == ServingEngine::trtllm ? 32 : 1;
}

std::int64_t engine_sequences(ServingEngine engine, double memory_bytes, bool is_a100) {
    switch (engine) {
        case ServingEngine::vllm:
            return has_large_steps(memory_bytes, is_a100) ? kVllmMoreSequences : kVllmSequences;
        case ServingEngine::sglang:
            return 1024;
        case ServingEngine::trtllm:
            return 2048;
        case ServingEngine::llamacpp:
            return 64;
        case ServingEngine::torch:
        case ServingEngine::tensorrt:
        case ServingEngine::onnxruntime:
            break;
    }
    return kVllmSequences;
}

std::optional<std::int64_t> engine_step_tokens(ServingEngine engine, double memory_bytes, bool is_a100) {
    if (engine == ServingEngine::vllm) {
        return has_large_steps(memory_bytes, is_a100) ? kVllmMoreTokens : kVllmTokens;
    }
    if (engine == ServingEngine::sglang) return sglang_row(memory_bytes).tokens;
    return std::nullopt;
}

}  // namespace infercost

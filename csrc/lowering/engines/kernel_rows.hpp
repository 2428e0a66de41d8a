// The kernels of an engine, one row each.
#pragma once

#include <span>
#include <string_view>

#include "core/exchange.hpp"
#include "lowering/engines/engine.hpp"
#include "lowering/engines/steps.hpp"

namespace infercost {

// What a fused kernel does, apart from the name that an engine gives it.
enum class Pattern : std::uint8_t {
    norm,         // of one tensor
    add_norm,     // of a sum, which is also written
    rotary,       // queries and keys of attention, rotated by their positions
    cache_write,  // new keys and values into the cache
    activation,   // between two products: an activation, a gate
    route,        // logits of a router -> experts and weights of each token
    align,        // experts of tokens -> tokens of experts, in blocks
    combine,      // results of a token's experts -> their weighted sum
    convolution,  // short, causal, one channel per group: with its window of earlier tokens and its
                  // activation
    recurrence,   // of state spaces and linear attention: a scan over tokens, or an update of states
    pointwise,    // what a compiler fuses between kernels
    sample,       // logits -> token
    count_
};
inline constexpr std::size_t kPatternCount = static_cast<std::size_t>(Pattern::count_);
// "engine.add_norm": the op of a pattern's nodes. ops/engine_kernels.cpp counts it.
std::string_view op_of(Pattern pattern);

struct KernelRow {
    Pattern pattern;
    std::string_view kernel;  // name of the engine's kernel
    int accesses;             // memory accesses per element of a row: a block of threads goes along one
    int vector = 1;           // elements of an access
};

// What the host does between steps, while the device waits: scheduling, inputs of the step, tokens of the
// last one. `sequence` is per sequence of the step, `prompt` for a step that reads prompts, and `logit` per
// logit, of an engine that samples on the host. `launch` is per kernel of a step that no recorded graph runs.
struct HostRow {
    std::int64_t since;  // version that it is valid from, as `version_number`
    std::int64_t step_ns;
    std::int64_t sequence_ns;
    std::int64_t prompt_ns;
    std::int64_t logit_ns = 0;
    std::int64_t launch_ns = kEngineLaunchNs;
};

// Which products of one input an engine runs as one.
enum class Merges : std::uint8_t {
    all,        // queries, keys and values; gate and up
    one_token,  // gate and up, in a step of one token
};

// How an engine differs from others beyond the kernels that it has. An engine without a row for add_norm adds
// in a kernel of its own, and one without a row for cache_write writes as it rotates.
struct EngineTraits {
    Merges merges = Merges::all;
    bool rotates_together = true;             // queries and keys in one kernel
    bool writes_together = true;              // keys and values in one kernel
    bool samples_on_device = true;            // or copies logits to the host
    bool stores_half = false;                 // keys and values in float16, whatever the dtype of activations
    bool narrows_on_write = true;             // the kernel that writes them converts to a narrow cache, too
    bool narrows_results = false;             // norms and attention write the static fp8 that a product reads
    bool sums_in_norms = false;               // a decode step adds up ranks and normalizes in one kernel
    std::string_view all_reduce = "library";  // the kernel of sums over ranks: see hardware/collectives.hpp
};

// The sizes of a decode step that an engine records graphs for, in ascending order. A step of another number
// of tokens is padded to the next size, and a larger one is launched kernel by kernel.
struct GraphSizes {
    std::span<const std::int64_t> small;
    // Then from the last small one by a step up to a bound.
    struct Range {
        std::int64_t step;
        std::int64_t last;
    };
    std::span<const Range> ranges;
};

// What a compiler of whole models fuses before the model runs. Names of ops are those of functional ones.
struct CompilerRow {
    // Elementwise ops that run inside the kernel of the convolution (the product) before them.
    std::span<const std::string_view> after_convolution;
    std::span<const std::string_view> after_product;
    bool joins_pointwise;  // neighboring elementwise ops are one kernel, whatever they are
    bool joins_parts;      // kernels write their part of a concatenation where it belongs
    bool channels_last;    // one layout for all convolutions; the model's inputs are copied into it
};

struct EngineRows {
    ServingEngine engine;
    std::string_view name;
    std::string_view version;
    std::span<const KernelRow> rows;
    std::span<const HostRow> hosts;         // the newest version first, and one since 0
    const CompilerRow* compiler = nullptr;  // null: the engine serves language models
    EngineTraits traits = {};
    GraphSizes graphs = {};
};

// The host of a version; 0 is the newest.
const HostRow& host_of(const EngineRows& rows, std::int64_t version);

// The rows of an engine by its name; nullptr for torch and unknown names.
const EngineRows* rows_named(std::string_view name);

const EngineRows& vllm_rows();
const EngineRows& sglang_rows();
const EngineRows& trtllm_rows();
const EngineRows& tensorrt_rows();
const EngineRows& onnxruntime_rows();
const EngineRows& llamacpp_rows();

}  // namespace infercost

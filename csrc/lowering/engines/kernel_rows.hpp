// The kernels of an engine, one row each.
#pragma once

#include <span>
#include <string_view>

#include "lowering/engines/engine.hpp"

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
};

// What the host does between steps, while the device waits: scheduling, inputs of the step, tokens of the
// last one. `sequence` is per sequence of the step, and `prompt` for a step that reads prompts.
struct HostRow {
    std::int64_t step_ns;
    std::int64_t sequence_ns;
    std::int64_t prompt_ns;
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
    HostRow host;
    const CompilerRow* compiler = nullptr;  // null: the engine serves language models
};

const EngineRows& vllm_rows();
const EngineRows& sglang_rows();
const EngineRows& trtllm_rows();
const EngineRows& tensorrt_rows();
const EngineRows& onnxruntime_rows();

}  // namespace infercost

// Serving engines: what runs a model in production. An engine does not run the operators that a framework
// recorded; it replaces groups of them by kernels of its own. A pass here rewrites a captured graph into the
// graph that an engine launches, before it is planned like any other graph. A new engine is a file of this folder
// and its line in engine.cpp; its differences from others are fields of `EngineTraits`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph.hpp"

namespace infercost {

enum class ServingEngine : std::uint8_t { torch, vllm, sglang, trtllm, llamacpp, tensorrt, onnxruntime };
std::string_view name_of(ServingEngine engine);
ServingEngine parse_engine(std::string_view name);
std::vector<std::string> engine_names();
// Those that compile whole models, and serve no language models step by step.
std::vector<std::string> compiler_names();
// The version whose behavior the rows of an engine describe; empty for torch.
std::string_view version_of(ServingEngine engine);
// Numbers of tokens for which an engine records graphs when it starts, in ascending order; empty where it
// records none.
std::vector<std::int64_t> recorded_sizes(ServingEngine engine);

struct EngineGraph {
    std::shared_ptr<const Graph> graph;
    // Nodes of it that no row of the engine covers: they run as captured.
    std::vector<NodeIndex> as_captured;
    // Contraction FLOPs of the graph, divided by those that its passes were to keep: 1 unless one of them
    // loses or doubles a product.
    double kept_share = 1.0;
};

// Rewrite a captured forward into the kernels of an engine. Contraction FLOPs and the bytes of weights stay
// the same, except as stated. Engines of language models write keys and values into a paged cache where they
// lie, join products with the same input, and run the work between products in fused kernels; latent
// attention multiplies its weights with queries instead of the whole context in a decode step. Compilers of
// whole models run elementwise work in the kernel of the convolution or product before it; the parameters of
// norms with known statistics become part of its weights.
// Throws InputError for a training step, and for a graph that the engine does not run.
EngineGraph engine_graph(const std::shared_ptr<const Graph>& graph, ServingEngine engine);

}  // namespace infercost

// Serving engines: what runs a model in production. An engine does not run the operators that a framework
// recorded; it replaces groups of them by kernels of its own. A pass here rewrites a captured graph into the
// graph that an engine launches, before it is planned like any other graph.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph.hpp"

namespace infercost {

enum class ServingEngine : std::uint8_t { torch, vllm, sglang, trtllm };
std::string_view name_of(ServingEngine engine);
ServingEngine parse_engine(std::string_view name);
std::vector<std::string> engine_names();
// The version whose behavior the rows of an engine describe; empty for torch.
std::string_view version_of(ServingEngine engine);

struct EngineGraph {
    std::shared_ptr<const Graph> graph;
    // Nodes of it that no row of the engine covers: they run as captured.
    std::vector<NodeIndex> as_captured;
};

// Rewrite a captured forward of a language model into the kernels of an engine. Keys and values are written
// into a paged cache where they lie, products with the same input are one product, and the work between
// products is in the engine's fused kernels. Contraction FLOPs and the bytes of weights stay the same, except
// that latent attention multiplies its weights with queries instead of the whole context in a decode step.
// Throws std::invalid_argument for a training step, and for a graph without attention and embeddings.
EngineGraph engine_graph(const std::shared_ptr<const Graph>& graph, ServingEngine engine);

}  // namespace infercost

// The dtype in which serving engines load weights.
#pragma once

#include <memory>

#include "core/graph.hpp"
#include "lowering/engines/engine.hpp"

namespace infercost {

// A captured model as an engine loads it: vLLM, SGLang and TensorRT-LLM load float32 checkpoints in 16 bits
// (dtype=auto), here bfloat16, and compute and cache in them. Returns the graph itself for other engines, and
// for a model with a floating parameter that is not float32.
std::shared_ptr<const Graph> loaded_graph(const std::shared_ptr<const Graph>& graph, ServingEngine engine);

}  // namespace infercost

// Graph -> Graph: results of an engine's kernels that stay in a narrow format between products.
#pragma once

#include <memory>

#include "core/graph.hpp"

namespace infercost {

// An activation that only products, convolutions, attention, pooling and fused elementwise kernels read is
// written in `narrow`, the format of their operands: its kernel rounds as it writes. What norms and softmax
// read, and what the model returns, keeps its dtype. Graphs that no compiler of whole models made are
// returned as they are.
std::shared_ptr<const Graph> narrow_chains(const std::shared_ptr<const Graph>& graph, DType narrow);

}  // namespace infercost

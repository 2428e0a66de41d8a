// The pass behind precisions amp_fp16 and amp_bf16.
#pragma once

#include "core/dtype.hpp"
#include "core/graph_rewriter.hpp"

namespace infercost {

// Mixed precision as torch.autocast("cuda") runs a model: casts become nodes (aten._to_copy); dtypes of
// results follow torch's policy and promotion rules. A parameter is cast once, and the copy is held to the
// end of the forward. Any other tensor is cast once for each op that reads it; a compiler keeps one of these
// casts.
Rewritten autocast(const Graph& graph, DType lower);

}  // namespace infercost

// Graph -> Graph before planning: what a precision adds to the captured forward becomes nodes of it.
#pragma once

#include <memory>

#include "core/graph_rewriter.hpp"
#include "count/count.hpp"

namespace infercost {

struct Lowered {
    std::shared_ptr<const Graph> graph;
    Overrides overrides;  // with the nodes' places in `graph`
};

// The graph itself where the precision adds nothing.
Lowered lower_precision(const std::shared_ptr<const Graph>& graph, const Precision& precision,
                        const Overrides& overrides);

// Mixed precision as torch.autocast("cuda") runs a model: casts become nodes (aten._to_copy), dtypes of
// results follow torch's policy and its rules of promotion. A parameter is cast once and its copy is held to
// the end of the forward; any other tensor is cast once for each op that reads it, of which a compiler keeps
// one.
Rewritten autocast(const Graph& graph, DType lower);

}  // namespace infercost

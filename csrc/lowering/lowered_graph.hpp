// Graph -> Graph: a captured forward with the nodes that a precision adds to it.
#pragma once

#include <memory>

#include "ops/precision.hpp"
#include "ops/rule.hpp"

namespace infercost {

// A graph as it runs in a precision. Counts and plans take this and no captured graph, so that neither can
// miss what the precision adds.
struct LoweredGraph {
    std::shared_ptr<const Graph> graph;
    Precision precision;
    Overrides overrides;  // by the nodes of `graph`
};

// The graph itself where the precision adds nothing; `overrides` are by the nodes of the captured graph.
LoweredGraph lower_precision(const std::shared_ptr<const Graph>& graph, const Precision& precision,
                             const Overrides& overrides);

}  // namespace infercost

// Graph -> Graph: a captured forward with the nodes that a precision adds.
#pragma once

#include <memory>

#include "ops/precision.hpp"
#include "ops/rule.hpp"

namespace infercost {

// A graph that is lowered to a precision. Counts and plans take this type instead of a captured graph, so
// that both include the nodes that a precision adds.
struct LoweredGraph {
    std::shared_ptr<const Graph> graph;
    Precision precision;
    Overrides overrides;  // by the nodes of `graph`
};

// Returns the graph itself if the precision adds nothing; `overrides` refer to nodes of the captured graph.
LoweredGraph lower_precision(const std::shared_ptr<const Graph>& graph, const Precision& precision,
                             const Overrides& overrides);

}  // namespace infercost

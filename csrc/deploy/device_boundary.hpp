// What passes the boundary of a forward on one device, and what the device holds, for captured graphs and
// those that were made of them (derived_graphs.hpp). Computed once for a graph and a precision.
#pragma once

#include <memory>

#include "count/boundary.hpp"
#include "serving/device_memory.hpp"

namespace infercost {

// The boundary of a graph. An engine writes caches in place, with room for the next token: its caches are
// those of the captured graph, and so are tokens whose ids the host of an engine prepares. A share of the
// tokens has the boundary of all of them, with its own weights and caches; a stage of a pipeline its own
// weights and caches, and the tokens of the whole model.
std::shared_ptr<const Boundary> device_boundary(const std::shared_ptr<const Graph>& graph,
                                                const Precision& precision);

// The same, as the memory models take it.
std::shared_ptr<const Holdings> device_holdings(const std::shared_ptr<const Graph>& graph,
                                                const Precision& precision);

}  // namespace infercost

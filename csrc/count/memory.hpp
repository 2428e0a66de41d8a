// Liveness over the node order -> how much memory activations need, and which node needs most.
#pragma once

#include <vector>

#include "ops/call.hpp"

namespace infercost {

struct MemoryUse {
    Expr input_bytes;               // inputs, caches and constants
    Expr peak_activation_bytes;     // results of nodes; a storage shared by views counts once
    Expr peak_memory_bytes;         // weights, buffers, inputs and the activation peak
    Expr saved_for_backward_bytes;  // results of forward nodes that backward reads; each storage once
    NodeIndex peak_node = -1;
    std::vector<Expr> timeline;  // live activation bytes while each node runs
};

// A storage lives from the node that makes it to the last node that uses any view of it, or to the end
// if it is a result of the graph. `pass` must have seen all nodes.
MemoryUse measure_memory(const Pass& pass);

}  // namespace infercost

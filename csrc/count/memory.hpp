// Lifetimes of storages -> how much memory activations need, and which node needs most.
#pragma once

#include <string>
#include <vector>

#include "ops/call.hpp"

namespace infercost {

// Where the ends of lifetimes come from.
enum class Lifetimes : std::uint8_t {
    last_use,  // a storage is free after the last node that uses it: what a planned (compiled) run does
    observed   // it is free when the captured forward held no more tensor that lies in it: what eager does
};

// A storage that a node makes, from the node that makes it to the last node during which it is held.
struct Lifetime {
    TensorIndex tensor;
    NodeIndex first;
    NodeIndex last;
    Expr bytes;
};

struct MemoryUse {
    Lifetimes lifetimes = Lifetimes::last_use;
    Expr input_bytes;               // inputs, caches and constants
    Expr peak_activation_bytes;     // results of nodes and workspaces; a storage shared by views counts once
    Expr peak_memory_bytes;         // weights, buffers, inputs and the activation peak
    Expr saved_for_backward_bytes;  // results of forward nodes that backward reads; each storage once
    NodeIndex peak_node = -1;
    std::string peak_op;          // of that node
    std::string peak_module;      // and where it stands
    std::vector<Expr> timeline;   // held results and the workspace while each node runs
    std::vector<Expr> workspace;  // of that, what the node's kernel takes for itself
    std::vector<Lifetime> storages;
};

// A storage lives from the node that makes it until nothing holds it, and to the end if it is a result of the
// graph. Where that was observed, a KV cache is held by its owner alone: one that a step replaces is free
// after its last use. `pass` must have seen all nodes; `workspace` has an entry for each.
MemoryUse measure_memory(const Pass& pass, std::vector<Expr> workspace);

}  // namespace infercost

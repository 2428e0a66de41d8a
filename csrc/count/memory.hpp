// Lifetimes of storages -> peak memory of activations, and the node at the peak.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "count/cpu_forms.hpp"

namespace infercost {

// Origin of lifetimes.
enum class Lifetimes : std::uint8_t {
    last_use,  // a storage is free after its last use, as in a planned (compiled) run
    observed   // a storage is free when the captured forward held none of its tensors, as in eager execution
};

// A storage that a node creates, from that node to the last node during which it is held.
struct Lifetime {
    TensorIndex tensor;
    NodeIndex first;
    NodeIndex last;
    Expr bytes;
};

struct MemoryUse {
    Lifetimes lifetimes = Lifetimes::last_use;
    Expr input_bytes;            // inputs, caches and constants
    Expr peak_activation_bytes;  // results of nodes, and workspaces; a storage that views share counts once
    Expr peak_memory_bytes;      // weights, buffers, inputs and the activation peak
    Expr saved_for_backward_bytes;  // results of forward nodes that backward reads, each storage once
    NodeIndex peak_node = -1;
    std::string peak_op;                       // op of that node
    std::string peak_module;                   // module of that node
    IndexedVector<NodeIndex, Expr> timeline;   // held results and workspace while each node runs
    IndexedVector<NodeIndex, Expr> workspace;  // part of the timeline: workspace of the node's kernel
    std::vector<Lifetime> storages;
};

// A storage lives from the node that creates it until it is released, and to the end if it is a result of the
// graph. A KV cache whose release was observed is free afterwards. `pass` must have seen all nodes;
// `workspace` has one entry per node.
MemoryUse measure_memory(const Pass& pass, std::vector<Expr> workspace, const StorageBytes& forms);

// Peak of activations and workspaces during the nodes before `end`. Storages with a root in `apart` do not
// count.
Expr peak_before(const Pass& pass, NodeIndex end, std::span<const Expr> workspace,
                 const std::set<TensorIndex>& apart);

}  // namespace infercost

// Times of kernels -> times of the nodes of the graph that they run.
#pragma once

#include <string_view>
#include <vector>

#include "evaluate/effects.hpp"

namespace infercost {

// One node that a kernel covers. The time of a fused kernel is that of its first node which no other kernel
// computes again; its other nodes take no time. A node that several kernels run has their times together, and
// is named and bound by the longest of them; its engine is that of the one that computes most.
struct NodeEstimate {
    NodeIndex node = 0;
    const KernelEstimate* kernel = nullptr;  // the longest
    NodeIndex carrier = 0;                   // the node that has the time of this kernel
    KernelSeconds terms{};                   // without dynamic_j
    double energy_j = 0;                     // NaN if the machine's power is unknown
    Effect effect{};
    Engine engine{};
    double flops = 0;
    double traffic_bytes = 0;
};

// In the order of the graph. The kernels must live as long.
std::vector<NodeEstimate> estimate_nodes(const std::vector<KernelEstimate>& kernels);

}  // namespace infercost

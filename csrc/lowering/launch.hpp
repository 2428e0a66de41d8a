// One launch of a kernel in one execution of a graph.
#pragma once

#include <vector>

#include "lowering/kernel_hints.hpp"

namespace infercost {

struct Launch {
    std::vector<NodeIndex> nodes;  // one in eager execution, several when fused
    Work work;
    KernelHints hints;
    bool opaque = false;  // counted by a caller's rule: the algorithm of the kernel is unknown
};

}  // namespace infercost

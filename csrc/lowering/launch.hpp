// One launch of a kernel by one way of running a graph.
#pragma once

#include <vector>

#include "core/kinds.hpp"
#include "lowering/kernel_hints.hpp"
#include "ops/rule.hpp"

namespace infercost {

struct Launch {
    std::vector<NodeIndex> nodes;  // one in eager execution, several when fused
    Work work;
    KernelHints hints;
    bool opaque = false;  // counted by a caller's own rule: nothing is known of how it works
};

// The launches of a graph in the order in which they run; sees all nodes with `analyzer`. A node that moves
// and computes nothing launches nothing. Library calls that need an operand in another layout have a launch
// that copies it before theirs.
std::vector<Launch> lower_launches(Analyzer& analyzer, Execution execution);

}  // namespace infercost

// Graph -> launches in one execution.
#pragma once

#include <vector>

#include "core/kinds.hpp"
#include "lowering/launch.hpp"
#include "ops/rule.hpp"

namespace infercost {

// The launches of a graph, in the order in which they run; `analyzer` visits all nodes. A node that neither
// moves nor computes anything has no launch. A library call that needs an operand in another layout has a
// launch before it that copies the operand.
std::vector<Launch> lower_launches(Analyzer& analyzer, Execution execution);

}  // namespace infercost

// Graph -> launches in one execution.
#pragma once

#include <vector>

#include "core/kinds.hpp"
#include "lowering/launch.hpp"
#include "ops/rule.hpp"

namespace infercost {

// The launches of a graph in execution order; `analyzer` visits all nodes. A node that neither moves bytes
// nor computes has no launch. If a library call needs an operand in another layout, a launch before it copies
// the operand.
std::vector<Launch> lower_launches(Analyzer& analyzer, Execution execution);

}  // namespace infercost

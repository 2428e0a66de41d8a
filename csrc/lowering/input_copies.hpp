// Copies of a forward's inputs into the memory of a recorded graph, whose kernels read fixed addresses.
#pragma once

#include <vector>

#include "lowering/launch.hpp"
#include "ops/rule.hpp"

namespace infercost {

// One copy per input that a launch reads, on the first node that does. As in torch's cudagraph_trees,
// weights, buffers and caches have fixed addresses and are not copied: a cache is either an output of the
// graph's own memory or marked by mark_static_address.
std::vector<Launch> input_copies(const Analyzer& analyzer, const std::vector<Launch>& launches);

}  // namespace infercost

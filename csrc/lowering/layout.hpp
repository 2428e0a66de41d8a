// The layout that a compiler chooses for the convolutions of a graph.
#pragma once

#include <vector>

#include "lowering/launch.hpp"

namespace infercost {

bool prefers_channels_last(const Pass& pass, const std::vector<Launch>& launches);

}  // namespace infercost

// Whether a compiler runs the convolutions of a graph with channels last.
#pragma once

#include <vector>

#include "lowering/launch.hpp"

namespace infercost {

bool prefers_channels_last(const Pass& pass, const std::vector<Launch>& launches);

}  // namespace infercost

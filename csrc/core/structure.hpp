// A digest of what a graph computes.
#pragma once

#include <string>

#include "core/graph.hpp"

namespace infercost {

// 32 hexadecimal digits, equal for graphs that differ only in source lines and in numbers of modules and
// weights ("layers.3.mlp"): equal layers at other places have equal costs.
std::string structure_of(const Graph& graph);

}  // namespace infercost

#pragma once

#include <vector>

#include "core/graph.hpp"

namespace infercost {

// The arguments of a node, for another node.
std::vector<NamedArgument> arguments_of(const Graph& graph, const Node& node);

}  // namespace infercost

#pragma once

#include <vector>

#include "core/graph.hpp"

namespace infercost {

// The arguments of a node, for another node.
std::vector<NamedArgument> arguments_of(const Graph& graph, const Node& node);

// Those of a slice: the first `length` elements of a dimension.
std::vector<NamedArgument> first_of(TensorIndex tensor, std::int64_t dim, const Expr& length);

}  // namespace infercost

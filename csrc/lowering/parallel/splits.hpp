// Which axes are split, and into how many parts.
#pragma once

#include "lowering/parallel/layout.hpp"
#include "lowering/parallel/relations.hpp"

namespace infercost {

// Splits axes for tensor and expert parallelism. An axis is split where products make it and the next ones
// sum over it: their results are added up over the ranks. Throws InputError as parallel_graph
// does.
void split_axes(Relations& relations, const Layout& layout);

}  // namespace infercost

// Arguments of nodes that give lengths, bounds and repeats, as one rank has them.
#pragma once

#include "core/graph_rewriter.hpp"
#include "lowering/parallel/local_shapes.hpp"

namespace infercost {

void write_arguments(const LocalShapes& shapes, GraphRewriter& rewriter);

}  // namespace infercost

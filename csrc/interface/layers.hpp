// A deployed graph at one point -> what each of its nodes counts and takes, as columns.
#pragma once

#include "core/json.hpp"
#include "hardware/hardware.hpp"
#include "interface/deployed_graph.hpp"

namespace infercost {

// Columns have one entry per node, in the order of the graph, with the keys of the layers of a profile; those
// of words hold indices of their distinct `values`. `names` adds the columns that do not depend on the point.
void write_layers(DeployedGraph& deployed, const Hardware& machine, const Sizes& sizes, bool names,
                  JsonWriter& out);

}  // namespace infercost

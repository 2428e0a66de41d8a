// A deployed graph at one point -> what each of its nodes counts and takes, as rows.
#pragma once

#include "core/json.hpp"
#include "deploy/deployed_graph.hpp"
#include "hardware/hardware.hpp"

namespace infercost {

// Layers have the keys of those of a profile. Equal ones are written once: `row` has the index of each node
// in `rows`, whose values are those of `keys`. Columns of words hold indices of their distinct `values`.
// `names` adds what does not depend on the point.
void write_layers(DeployedGraph& deployed, const Hardware& machine, const Sizes& sizes, bool names,
                  JsonWriter& out);

}  // namespace infercost

// Answers about many points: a deployed graph at a grid of sizes, on many machines.
#pragma once

#include <string>
#include <vector>

#include "deploy/deployed_graph.hpp"
#include "hardware/hardware.hpp"
#include "interface/costs.hpp"
#include "interface/fields.hpp"

namespace infercost {

// One size of a grid; the first one changes slowest.
struct GridAxis {
    std::string name;
    std::vector<std::int64_t> values;
};

// Numbers of the deployment on one machine; `columns` refer to `numbers`.
struct MachineTerms {
    std::array<double, kCostInputs> numbers{};
    CostColumns columns;
};

// Columns at all points of a grid, by machine: those of the evaluator with the ends of the band, the rate,
// and with `terms`, which has one entry per machine, costs; `refused` says why a machine cannot run it.
// `sizes` are the same at all points.
void write_grid(DeployedGraph& deployed, const std::vector<const Hardware*>& machines, const Sizes& sizes,
                const std::vector<GridAxis>& axes, const std::vector<std::string>& columns,
                const std::vector<MachineTerms>& terms, JsonWriter& out);

}  // namespace infercost

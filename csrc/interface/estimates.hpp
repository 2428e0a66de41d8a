// Answers about the cost of one forward, and its counts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "deploy/deployed_graph.hpp"
#include "hardware/hardware.hpp"
#include "interface/costs.hpp"
#include "interface/fields.hpp"

namespace infercost {

// Parts of an estimate beside its totals.
struct EstimateParts {
    bool kernels = false;
    bool modules = false;
    bool nodes = false;  // every node that a kernel covers
};

// Writes the members of an estimate of one point: totals with their band, what it moves and holds, with
// `terms` its costs, and the parts that are asked for.
void write_estimate(DeployedGraph& deployed, const Hardware& machine, const Sizes& sizes,
                    const EstimateParts& parts, const CostColumns* terms, JsonWriter& out);

// FLOPs, bytes, parameters and memory in total, by op, and by module down to a depth.
void write_counts(const std::shared_ptr<const Graph>& graph, const Precision& precision, const Sizes& sizes,
                  int depth, JsonWriter& out);

}  // namespace infercost

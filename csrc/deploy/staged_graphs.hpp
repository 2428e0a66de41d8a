// The graph of a device with the layers of all stages of a pipeline, cut into stages: forwards and training
// steps alike. Facts of the graph of all stages (derived_graphs.hpp) have the stages.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "deploy/derived_graphs.hpp"
#include "hardware/hardware.hpp"
#include "lowering/parallel/stages.hpp"
#include "plan/family.hpp"

namespace infercost {

// What balances the times of stages.
struct StageTiming {
    PlanFamily& plans;                      // of the graph of a device
    const Hardware* machine;                // null: stages have equal work
    std::shared_ptr<const Hardware> owner;  // of the machine; cuts for one without an owner are not kept
};

// Where a graph can be cut into stages. Throws LayoutError if places are too few.
std::shared_ptr<const std::vector<CutPlace>> places_of_cuts(const std::shared_ptr<const Graph>& launched,
                                                            std::int64_t stages);

// The graph of all stages of a layout, one after another, for the graph of a device, or for that of all
// stages itself. Cuts make the slowest stage as fast as possible at the default sizes. Throws LayoutError if
// the graph cannot be cut into as many stages, or is cut into another number of them.
std::shared_ptr<const Graph> graph_of_stages(const std::shared_ptr<const Graph>& launched,
                                             const Layout& layout, const StageTiming& timing, Losses& lost);

// The forward of a training step.
std::shared_ptr<const Graph> forward_of(const std::shared_ptr<const Graph>& step);

}  // namespace infercost

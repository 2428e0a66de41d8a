// Which cuts make the slowest stage of a pipeline as fast as possible, at the times that are predicted for
// the default sizes of a graph.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "hardware/hardware.hpp"
#include "lowering/engines/engine.hpp"
#include "lowering/parallel/stages.hpp"
#include "plan/family.hpp"

namespace infercost {

// Whether each device of a stage sends a part of the activation, which the next one gathers.
bool sends_slices(ServingEngine engine);

struct Balance {
    std::int64_t stages = 1;
    std::int64_t slices = 1;     // devices of a stage that send one part each
    bool between_nodes = false;  // whether the devices are in several nodes
};

// Indices of the places of cuts. `plans` are those of `launched`, the graph of a device with the layers of
// all stages. Throws std::invalid_argument for a machine without the links that sends need.
std::vector<std::size_t> timed_cuts(const std::shared_ptr<const Graph>& launched,
                                    std::span<const CutPlace> places, PlanFamily& plans,
                                    const Hardware& machine, const Balance& balance);

// The same without a machine: stages have equal work, counted as the larger of bytes and FLOPs / 300.
std::vector<std::size_t> counted_cuts(const std::shared_ptr<const Graph>& launched,
                                      std::span<const CutPlace> places, const Precision& precision,
                                      std::int64_t stages);

}  // namespace infercost

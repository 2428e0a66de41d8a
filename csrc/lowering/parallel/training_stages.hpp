// Stages of a training step: each has the forward of its layers and their backward, which later stages send
// the gradient for.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "lowering/parallel/stages.hpp"

namespace infercost {

// For each of some cuts of the forward, in ascending order, the node that the backward of the stages before
// it begins with; the number of nodes if these have none. Throws InputError where the backward of
// stages is interleaved.
std::vector<NodeIndex> backward_places(const std::shared_ptr<const Graph>& graph,
                                       std::span<const CutPlace> cuts);

// As cut_places(), where one gradient passes back, or none.
std::vector<CutPlace> training_cut_places(const std::shared_ptr<const Graph>& graph, std::int64_t stages);

// Cuts the training step of one rank. A stage sends its activation to the next one and its gradient to the
// one before it; each stage that reads a weight has a gradient of it. Throws InputError as
// pipeline_of() and backward_places() do.
Pipeline training_pipeline_of(const std::shared_ptr<const Graph>& graph, std::span<const CutPlace> cuts,
                              std::span<const std::int64_t> nodes);

}  // namespace infercost

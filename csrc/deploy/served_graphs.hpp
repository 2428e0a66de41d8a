// The two graphs of a deployed model that generates, as the tables of its engine's steps are made of them.
#pragma once

#include <memory>

#include "deploy/deployed_graph.hpp"
#include "serving/served_steps.hpp"

namespace infercost {

// Settings of steps about prefixes and chunks of prompts are those of requests and of the scheduler, and do
// not count. The deployments and the machine must live as long. Throws std::invalid_argument if the
// deployments have different settings, or if their engine forms no steps.
ServedModel served_model(DeployedGraph& decode, DeployedGraph& prefill, const Hardware& machine,
                         const std::shared_ptr<const Hardware>& owner, const EngineLimits& limits);

}  // namespace infercost

// What is rented for a deployment on each of some machines: the cheapest of its offers, in whole instances.
#pragma once

#include <vector>

#include "costs/instances.hpp"
#include "deploy/deployed_graph.hpp"
#include "interface/fields.hpp"

namespace infercost {

// The offers of one machine. Throws std::invalid_argument for a number that is out of range.
std::vector<Offer> offers_in(const JsonEntry& entry, const JsonPlace& place);

// For each machine the place of its offer, USD per hour of a device, what some replicas of the deployment
// pay, and what that is per device in use; null without offers.
void write_rents(const DeployedGraph& deployed, const std::vector<const Hardware*>& machines,
                 const std::vector<std::vector<Offer>>& offers, std::int64_t replicas, JsonWriter& out);

}  // namespace infercost

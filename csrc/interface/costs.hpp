// Money, carbon, tokens and transfer of an estimate, derived from the numbers of a deployment that a request
// has.
#pragma once

#include "costs/derived.hpp"
#include "evaluate/evaluate.hpp"
#include "interface/deployed_graph.hpp"
#include "interface/fields.hpp"

namespace infercost {

// Numbers of a deployment by their names in costs/cost_rows.hpp. null is a number that is unknown, and
// "unbounded" the rate of a link that takes no time. Throws std::invalid_argument for names of numbers that a
// point has itself.
CostColumns terms_in(const JsonEntry& entry, std::array<double, kCostInputs>& numbers);

// Writes `costs`: every figure of costs/cost_rows.hpp, null where it is unknown. `all` has the values of all
// sizes, `share` those of the device with the largest share of the batch. Throws std::invalid_argument if a
// number is missing.
void write_costs(JsonWriter& out, const DeployedGraph& deployed, const PointEstimate& total, const Sizes& all,
                 const Sizes& share, std::int64_t items, const CostColumns& terms);

}  // namespace infercost

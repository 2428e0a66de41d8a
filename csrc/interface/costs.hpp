// Money, carbon, tokens and transfer of an estimate, derived from the numbers of a deployment that a request
// has.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "costs/derived.hpp"
#include "deploy/deployed_graph.hpp"
#include "evaluate/evaluate.hpp"
#include "interface/fields.hpp"

namespace infercost {

// Numbers of a deployment by their names in costs/cost_rows.hpp. null is a number that is unknown, and
// "unbounded" the rate of a link that takes no time. Throws std::invalid_argument for names of numbers that a
// point has itself.
CostColumns terms_in(const JsonEntry& entry, std::array<double, kCostInputs>& numbers);

// What forwards themselves give to costs, at some points of a deployed graph.
class PointCosts {
  public:
    PointCosts(const DeployedGraph& deployed, const Launched& launched, std::size_t points);

    // `all` has the values of all sizes, `share` those of the device with the largest share of the batch.
    void set_sizes(std::size_t point, const Sizes& all, const Sizes& share);
    // Latency, interval and energy, the latter on all devices, at all points.
    void set_times(std::span<const double> latency_s, std::span<const double> interval_s,
                   std::span<const double> energy_j);

    // Items per second under continuous load.
    std::vector<double> rates() const;
    // A figure at all points; NaN where it is unknown. Throws std::invalid_argument if a number is missing.
    std::vector<double> derived(CostFigure figure, const CostColumns& terms) const;

  private:
    std::vector<double>& known(CostInput input) { return known_[static_cast<std::size_t>(input)]; }

    Launched launched_;
    std::string batch_;
    std::array<std::vector<double>, kCostInputs> known_;  // empty: a number of the deployment
};

// Writes `costs`: every figure of costs/cost_rows.hpp, null where it is unknown; `point` is of one point.
void write_costs(JsonWriter& out, const PointCosts& point, const CostColumns& terms);

}  // namespace infercost

// Knots of piecewise-linear tables: where they lie, the fewest within a tolerance, and lines between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "simulate/step_costs.hpp"

namespace infercost {

using Numbers = std::vector<double>;
using Whole = std::vector<std::int64_t>;

// Whole numbers at equal ratios from `low` to `high`, both included.
Whole geometric(std::int64_t low, std::int64_t high, std::size_t count);

// The different ones, in ascending order.
Whole ascending(const Whole& values);

// All from `first` to `last`.
Whole count_from(std::int64_t first, std::int64_t last);

// NaN, the mark of an unknown energy, stays.
double at_least(double least, double value);

// The value of a line through points with ascending places; beyond the last point it goes on.
double extended(double at, const Numbers& places, const Numbers& values);

// The last of each stretch of equal values: a step takes the next of them.
Curve stairs(const Numbers& at, const Numbers& seconds, const Numbers& joules);

// What a step takes of stairs; beyond the last knot its values.
StepCost next_of(const Curve& stairs, double at);

// The same tables for a simulation, in which unknown energy counts as none.
StepTables with_known_energy(StepTables tables);

// Places of knots between which lines meet all values within a tolerance: the maximum of |line / value - 1|
// at all positions. Each line is made as long as the tolerance allows, from left to right. The first and the
// last position are knots. `at` ascends; tables have a value for each position, all above 0 or all 0.
std::vector<std::size_t> chosen_knots(std::span<const double> at,
                                      std::span<const std::span<const double>> tables, double tolerance);

}  // namespace infercost

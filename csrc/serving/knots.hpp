// Fewest knots of piecewise-linear tables within a tolerance.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace infercost {

// Places of knots between which lines meet all values within a tolerance: the maximum of |line / value - 1|
// at all positions. Each line is made as long as the tolerance allows, from left to right. The first and the
// last position are knots. `at` ascends; tables have a value for each position, all above 0 or all 0.
std::vector<std::size_t> chosen_knots(std::span<const double> at,
                                      std::span<const std::span<const double>> tables, double tolerance);

}  // namespace infercost

// Error bands, in which four of five measurements are expected.
#pragma once

#include <cmath>

#include "hardware/hardware.hpp"

namespace infercost {

// With a relative spread s, the band of t is t / (1 + s) to t (1 + s); `spread` is s t. What is 0 has no
// band.
inline double band_low(double value, double spread) {
    constexpr double kLeast = 1e-300;  // keeps 0 / 0 at 0
    return value * (value / (value + spread + kLeast));
}
inline double band_high(double value, double spread) {
    return value + spread;
}

// The relative spread of an energy: independent errors of power and latency, added in squares.
inline double energy_spread(const Hardware& machine, double of_latency) {
    const double of_power = machine.constant("energy.spread");
    return std::sqrt(of_power * of_power + of_latency * of_latency);
}

}  // namespace infercost

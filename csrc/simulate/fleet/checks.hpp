// Checks of settings of fleets.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "core/errors.hpp"

namespace infercost {

inline void check_setting(const char* owner, const char* name, double value, double least, double most) {
    if (value >= least && value <= most) return;
    throw InputError(std::string(owner) + ": " + name + " is " + std::to_string(value) +
                     "; expected a number from " + std::to_string(least) + " to " + std::to_string(most));
}

inline void check_setting(const char* owner, const char* name, std::int64_t value, std::int64_t least,
                          std::int64_t most) {
    if (value >= least && value <= most) return;
    throw InputError(std::string(owner) + ": " + name + " is " + std::to_string(value) +
                     "; expected a whole number from " + std::to_string(least) + " to " +
                     std::to_string(most));
}

inline constexpr double kMostTarget = 1e9;
inline constexpr double kMostDelay_s = 1e7;
inline constexpr double kLeastTick_s = 1e-2;
inline constexpr std::int64_t kMostReplicas = 1 << 20;

}  // namespace infercost

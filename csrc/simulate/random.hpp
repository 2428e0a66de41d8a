// Random numbers that depend on a seed and on what they are for, not on the order of draws.
#pragma once

#include <cstdint>

namespace infercost {

// The finalizer of SplitMix64 (Steele, Lea and Flood 2014).
inline std::uint64_t mixed(std::uint64_t value) {
    value += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

inline std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
    return mixed(mixed(a) ^ b);
}

// A number from 0 to below 1.
inline double uniform(std::uint64_t seed, std::uint64_t request, std::uint64_t token) {
    return static_cast<double>(mixed(mixed(seed, request), token) >> 11) * 0x1p-53;
}

}  // namespace infercost

// Plan x sizes x Hardware -> columns. The only evaluator: one estimate is a sweep of one point.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "hardware/machine.hpp"
#include "plan/plan.hpp"

namespace infercost {

// Values of the plan's open sizes, one column each, all of one length.
using SizeColumns = std::map<std::string, std::span<const std::int64_t>, std::less<>>;

struct Columns {
    std::vector<double> latency_s;
    // Latency by what it was spent on: each kernel's launch, and its longest other term.
    std::vector<double> compute_s;
    std::vector<double> dram_s;
    std::vector<double> cache_s;
    std::vector<double> launch_s;
    std::vector<double> peak_memory_bytes;
};

// Throws std::invalid_argument for a size that is missing, unknown or out of its range.
Columns evaluate(const Plan& plan, const SizeColumns& sizes, std::size_t points, const Hardware& hardware);

struct KernelEstimate {
    double latency_s = 0;  // of one launch
    double compute_s = 0;
    double dram_s = 0;
    double cache_s = 0;
    double launch_s = 0;
};

// The same arithmetic for one point, kernel by kernel in the plan's order.
std::vector<KernelEstimate> evaluate_kernels(const Plan& plan, const Sizes& sizes, const Hardware& hardware);

}  // namespace infercost

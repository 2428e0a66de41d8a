// Plans x sizes x Hardware -> columns. The only evaluator: one estimate is a grid of one point.
//
// A point's result depends on nothing but the point: not on the block it stands in, on the threads, nor on
// the instruction set.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "evaluate/run.hpp"
#include "hardware/hardware.hpp"
#include "plan/family.hpp"
#include "simd/isa.hpp"

namespace infercost {

// One size of a grid: at point i it is values[(i / repeat) % values.size()]. A column of its own has repeat 1
// and a value for each point.
struct SizeAxis {
    std::string name;
    std::span<const std::int64_t> values;
    std::uint64_t repeat = 1;
};

// Where results go, one value for each point. Empty columns are left out.
struct Columns {
    std::span<double> latency_s;
    // Latency by what it was spent on: each kernel's launch, and its longest other term.
    std::span<double> compute_s;
    std::span<double> dram_s;
    std::span<double> cache_s;
    std::span<double> launch_s;
    std::span<double> spread_s;  // latency may be this much more, or as many times less
    std::span<double> energy_j;  // not a number where it is not known of the machine
    std::span<double> peak_memory_bytes;
};

struct EvaluateOptions {
    unsigned threads = 1;
    Isa isa = best_isa();
};

// Points first .. first + points of a grid. Throws std::invalid_argument for a size that is missing, unknown,
// out of its range, or on the far side of a guard.
void evaluate(PlanFamily& family, std::span<const SizeAxis> axes, const Hardware& hardware,
              std::uint64_t first, std::size_t points, const Columns& out,
              const EvaluateOptions& options = {});
// The same for one plan, whatever the sizes.
void evaluate(const std::shared_ptr<const Plan>& plan, std::span<const SizeAxis> axes,
              const Hardware& hardware, std::uint64_t first, std::size_t points, const Columns& out,
              const EvaluateOptions& options = {});

}  // namespace infercost

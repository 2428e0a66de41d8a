// Plans x sizes x Hardware -> columns. The only evaluator: one estimate is a grid of one point.
//
// The result of a point depends on that point only: not on its block, the threads, or the instruction set.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "evaluate/run.hpp"
#include "hardware/hardware.hpp"
#include "plan/family.hpp"
#include "simd/isa.hpp"

namespace infercost {

// One size of a grid: its value at point i is values[(i / repeat) % values.size()]. A column has repeat 1 and
// one value per point.
struct SizeAxis {
    std::string name;
    std::span<const std::int64_t> values;
    std::uint64_t repeat = 1;
};

// Output columns with one value per point. Empty columns are not written.
struct Columns {
    std::span<double> latency_s;
    // Between the starts of two forwards under continuous load. One device starts the next one after the
    // last; stages of a pipeline work on several at a time.
    std::span<double> interval_s;
    // Latency by cause: the launch of each kernel, and its longest other term.
    std::span<double> compute_s;
    std::span<double> dram_s;
    std::span<double> cache_s;
    std::span<double> link_s;
    std::span<double> launch_s;
    std::span<double> spread_s;  // the error band is latency / (1 + spread) to latency x (1 + spread)
    std::span<double> energy_j;  // NaN if the energy of the machine is unknown
    std::span<double> peak_memory_bytes;
};

// The same figures for one point.
struct PointEstimate {
    double latency_s = 0;
    double interval_s = 0;
    double compute_s = 0;
    double dram_s = 0;
    double cache_s = 0;
    double link_s = 0;
    double launch_s = 0;
    double spread_s = 0;
    double energy_j = 0;
    double peak_memory_bytes = 0;
};

struct ColumnRow {
    std::string_view name;
    std::span<double> Columns::* column;
    double PointEstimate::* value;
};
// Every column of the evaluator, in the order of reports.
inline constexpr std::array<ColumnRow, 10> kColumns = {
    {
     {"latency_s", &Columns::latency_s, &PointEstimate::latency_s},
     {"interval_s", &Columns::interval_s, &PointEstimate::interval_s},
     {"compute_s", &Columns::compute_s, &PointEstimate::compute_s},
     {"dram_s", &Columns::dram_s, &PointEstimate::dram_s},
     {"cache_s", &Columns::cache_s, &PointEstimate::cache_s},
     {"link_s", &Columns::link_s, &PointEstimate::link_s},
     {"launch_s", &Columns::launch_s, &PointEstimate::launch_s},
     {"spread_s", &Columns::spread_s, &PointEstimate::spread_s},
     {"energy_j", &Columns::energy_j, &PointEstimate::energy_j},
     {"peak_memory_bytes", &Columns::peak_memory_bytes, &PointEstimate::peak_memory_bytes},
     }
};

struct EvaluateOptions {
    unsigned threads = 1;
    Isa isa = best_isa();
};

// Evaluate points first .. first + points of a grid. Throws InputError for a size that is missing,
// unknown or out of range, or that violates a guard.
void evaluate(PlanFamily& family, std::span<const SizeAxis> axes, const Hardware& hardware,
              std::uint64_t first, std::size_t points, const Columns& out,
              const EvaluateOptions& options = {});
// Evaluate one plan for all sizes.
void evaluate(const std::shared_ptr<const Plan>& plan, std::span<const SizeAxis> axes,
              const Hardware& hardware, std::uint64_t first, std::size_t points, const Columns& out,
              const EvaluateOptions& options = {});
// Evaluate one point: a value for every size that the plan leaves open.
PointEstimate evaluate_point(const std::shared_ptr<const Plan>& plan, const Sizes& sizes,
                             const Hardware& hardware);

}  // namespace infercost

// A plan that is bound to a machine, ready to evaluate blocks of points.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "evaluate/run.hpp"
#include "hardware/machine.hpp"
#include "plan/plan.hpp"
#include "simd/isa.hpp"

namespace infercost {

// Doubles that are aligned to cache lines: a load that crosses two lines takes twice as long.
class AlignedColumns {
  public:
    explicit AlignedColumns(std::size_t count = 0) { grow(count); }
    // Keeps the contents.
    void grow(std::size_t count) {
        if (lines_.size() * kPerLine < count) lines_.resize((count + kPerLine - 1) / kPerLine);
    }
    double* data() { return lines_.empty() ? nullptr : lines_.front().values; }
    const double* data() const { return lines_.empty() ? nullptr : lines_.front().values; }

  private:
    static constexpr std::size_t kPerLine = 8;
    struct alignas(64) Line {
        double values[kPerLine];
    };
    std::vector<Line> lines_;
};

// Values of the sizes at the points of one block.
struct SizeBlock {
    std::span<const std::string> names;
    double* values;  // kBlock values per name; values after the last point repeat it
    std::size_t points;
};

// One cache line longer than a block: columns half a page apart share the low address bits, and a load would
// wait for the store to another column.
struct BlockResult {
    alignas(64) std::array<double, kBlock + 8> latency, compute, dram, cache, link, launch, spread, energy,
        footprint;
};

// Seconds that each launch waits in addition to device time: the host that issues it, and the start of the
// forward, both distributed over all launches.
struct LaunchWait {
    double host_s = 0;
    double start_s = 0;
};

class BoundPlan {
  public:
    // `names` are the sizes of the blocks. Throws InputError if the plan needs other sizes.
    BoundPlan(std::shared_ptr<const Plan> plan, const Hardware& hardware, std::span<const std::string> names);

    const Plan& plan() const { return *plan_; }
    // `scratch` grows to the size of the plan's columns, and may be reused for other plans.
    void run(const SizeBlock& sizes, Isa isa, AlignedColumns& scratch, BlockResult& result) const;
    // The sums over some kernels of this plan: device time and energy above static power, without waits.
    void sum(std::span<const BoundKernel> kernels, const SizeBlock& sizes, Isa isa, AlignedColumns& scratch,
             BlockResult& result) const;
    // Seconds at each point in addition to device time: start of the forward and the host that issues kernels
    // (`wait_s`), and the host of an engine (`engine_s`), which may work beside the device. `device_s` has
    // the latency of all kernels.
    void waits(const SizeBlock& sizes, Isa isa, AlignedColumns& scratch, std::span<const double> device_s,
               std::span<double> wait_s, std::span<double> engine_s) const;
    const std::vector<BoundKernel>& kernels() const { return kernels_; }
    // Whether a kernel runs on this machine.
    bool runs(std::size_t kernel) const { return runs_[kernel]; }
    // Static power of the machine; NaN if its energy is unknown.
    double static_w() const { return static_w_; }
    // Device time of one launch of each of these kernels at the first point. The kernels belong to this plan,
    // or have their quantities in its columns.
    std::vector<KernelSeconds> terms(std::span<const BoundKernel> kernels, const SizeBlock& sizes,
                                     Isa isa) const;
    // Seconds that the device waits for an engine's host in a launch of a kernel, at the first point.
    // `device` holds the terms of all kernels.
    double engine_s(std::size_t kernel, std::span<const KernelSeconds> device, const SizeBlock& sizes,
                    Isa isa) const;
    // Seconds in addition to device time.
    LaunchWait wait(std::span<const KernelSeconds> device, const SizeBlock& sizes, Isa isa) const;

  private:
    BlockInput fill(const SizeBlock& sizes, Isa isa, AlignedColumns& scratch, double* footprint) const;
    static void sum_block(const BlockInput& input, Isa isa, BlockResult& result);
    void check_guards(const SizeBlock& sizes, const double* columns) const;
    double device_s(std::span<const KernelSeconds> device) const;
    // Seconds at a point for which no graph of an engine is recorded, beside device time: of the host's calls
    // and of the gaps between kernels.
    double unrecorded_s(const double* columns, std::size_t point, double device_s) const;
    double host_of_engine_s(std::size_t kernel, const double* columns, std::size_t point,
                            double device_s) const;

    std::shared_ptr<const Plan> plan_;
    std::vector<BoundKernel> kernels_;
    std::vector<bool> runs_;
    double launches_ = 0;  // of kernels that run
    MemoryCosts memory_;
    Affine footprint_;  // peak memory on this kind of machine
    double start_s_ = 0;
    double static_w_ = 0;
    double spread_ = 0;                // of waits
    double host_s_ = 0;                // host time to issue all ops while the device runs
    double host_spread_s_ = 0;         // by which that may be longer
    double unrecorded_host_s_ = 0;     // the same for a step that no recorded graph runs
    double unrecorded_gap_s_ = 0;      // what the gaps between its kernels are longer
    std::vector<std::size_t> inputs_;  // inputs of the tape, as indices into the names
};

}  // namespace infercost

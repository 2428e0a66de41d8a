// A plan on a machine, ready to run blocks of points.
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

// Doubles that start at a cache line: a vector that lies across two of them takes twice as long to load.
class AlignedColumns {
  public:
    explicit AlignedColumns(std::size_t count = 0) { grow(count); }
    // What was in there is kept.
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

// Values of sizes at the points of one block.
struct SizeBlock {
    std::span<const std::string> names;
    double* values;  // kBlock for each name; what lies behind the last point is filled with it
    std::size_t points;
};

// A line longer than a block: columns half a page apart share the low bits of their addresses, and a load
// then waits for the store to another one.
struct BlockResult {
    alignas(64) std::array<double, kBlock + 8> latency, compute, dram, cache, launch, spread, energy,
        footprint;
};

// What each launch waits for beside the device, seconds: the host that issues it, and the start of the
// forward, both shared out over all launches.
struct LaunchWait {
    double host_s = 0;
    double start_s = 0;
};

class BoundPlan {
  public:
    // `names` are those of the blocks that it will be given. Throws std::invalid_argument where the plan
    // needs more.
    BoundPlan(std::shared_ptr<const Plan> plan, const Hardware& hardware, std::span<const std::string> names);

    const Plan& plan() const { return *plan_; }
    // `scratch` grows to what the plan's columns need, and may be used for other plans after.
    void run(const SizeBlock& sizes, Isa isa, AlignedColumns& scratch, BlockResult& result) const;
    const std::vector<BoundKernel>& kernels() const { return kernels_; }
    // What the machine draws whatever it does; not a number where its energy is not known.
    double static_w() const { return static_w_; }
    // What the device spends on one launch of each of these kernels at the first point: this plan's, or such
    // as have their quantities in its columns.
    std::vector<KernelSeconds> terms(std::span<const BoundKernel> kernels, const SizeBlock& sizes,
                                     Isa isa) const;
    // On top of what the device spends, `device` being the terms of all kernels.
    LaunchWait wait(std::span<const KernelSeconds> device) const;

  private:
    BlockInput fill(const SizeBlock& sizes, Isa isa, AlignedColumns& scratch, double* footprint) const;
    void check_guards(const SizeBlock& sizes, const double* columns) const;

    std::shared_ptr<const Plan> plan_;
    std::vector<BoundKernel> kernels_;
    MemoryCosts memory_;
    double start_s_ = 0;
    double static_w_ = 0;
    double spread_ = 0;                // of what the host spends
    double host_s_ = 0;                // what the host spends on issuing all ops, while the device runs
    std::vector<std::size_t> inputs_;  // of the tape, as indices into the names
};

}  // namespace infercost

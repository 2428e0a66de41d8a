#include "evaluate/run.hpp"

#include "evaluate/tape_run.hpp"
#include "hardware/cpu_model.hpp"
#include "hardware/gpu_model.hpp"
#include "hardware/systolic_model.hpp"

namespace infercost::INFERCOST_ISA {
namespace {

// What a kernel draws beyond what the machine draws anyway, as far as the board's limit allows: its
// arithmetic, and its bytes at the last cache and, where that does not hold them, at dram.
struct Energy {
    // A cache holds all of a working set up to half of its size, and nothing from one and a half on.
    static constexpr double kMissed = 1.5;
    const EnergyCosts& costs;
    const double* footprint;
    Vec most;
    Quantity contraction, pointwise, weights, others, together;
    bool weights_miss, others_miss;  // a cache, at all points of the block; joules are the same either way

    INFERCOST_INLINE Energy(const BoundKernel& kernel, const BlockColumns& block)
        : costs(kernel.energy),
          footprint(block.footprint),
          most(splat(kernel.energy.most_w)),
          contraction(block[kernel.terms.contraction_flops]),
          pointwise(block[kernel.terms.pointwise_flops]),
          weights(block[kernel.terms.weight_bytes]),
          others(block[kernel.terms.other_bytes]),
          together(block[kernel.energy.together]),
          weights_miss(block.lowest_footprint * kernel.energy.per_cache >= kMissed),
          others_miss((block.least(kernel.terms.weight_bytes) + block.least(kernel.terms.other_bytes)) *
                          kernel.energy.per_cache >=
                      kMissed) {}

    // The share that it does not hold.
    INFERCOST_INLINE Vec missed(Vec bytes) const {
        return clamp(bytes * splat(costs.per_cache) - splat(kMissed - 1), splat(0.0), splat(1.0));
    }

    INFERCOST_INLINE Vec joules(int i, const Times& times) const {
        const Vec weight_bytes = weights.at(i);
        const Vec other_bytes = others.at(i);
        Vec wanted;
        if (costs.one_column) {
            wanted = together.at(i);
        } else {
            wanted = contraction.at(i) * splat(costs.engine_j_per_flop) +
                     pointwise.at(i) * splat(costs.vector_j_per_flop) +
                     (weight_bytes + other_bytes) * splat(costs.cache_j_per_byte);
        }
        // As in MemoryModel: activations were written a moment ago, weights read a whole forward ago.
        Vec cold_weights = weight_bytes;
        if (!weights_miss) cold_weights = weight_bytes * missed(load(footprint + i));
        Vec cold_others = other_bytes;
        if (!others_miss) cold_others = other_bytes * missed(weight_bytes + other_bytes);
        wanted = wanted + (cold_weights + cold_others) * splat(costs.dram_j_per_byte);
        return min(wanted, times.total * most);
    }
};

// Adds what a kernel takes to the sums: its launch, and its longest other term to what bounds it.
struct Accumulate {
    const BlockSums& sums;
    Vec launches;
    double spread;
    Energy energy;

    INFERCOST_INLINE void operator()(int i, const Times& times) const {
        const Vec spent = launches * times.busy;
        const Vec longest = max(max(times.compute, times.dram), times.cache);
        const Mask compute = times.compute >= longest;
        const Mask dram = times.dram >= longest;
        const Mask dram_alone = both(dram, neither(compute, compute));
        const Mask cache = neither(compute, dram);
        store(sums.latency + i, load(sums.latency + i) + launches * times.total);
        store(sums.compute + i, load(sums.compute + i) + only(compute, spent));
        store(sums.dram + i, load(sums.dram + i) + only(dram_alone, spent));
        store(sums.cache + i, load(sums.cache + i) + only(cache, spent));
        store(sums.launch + i, load(sums.launch + i) + launches * times.launch);
        store(sums.spread + i, load(sums.spread + i) + launches * times.total * splat(spread));
        store(sums.dynamic + i, load(sums.dynamic + i) + launches * energy.joules(i, times));
    }
};

// Keeps the terms of the first point.
struct Keep {
    KernelSeconds* terms;
    Energy energy;

    INFERCOST_INLINE void operator()(int i, const Times& times) const {
        if (i != 0) return;
        double lanes[6][Vec::lanes];
        store(lanes[0], times.total);
        store(lanes[1], times.compute);
        store(lanes[2], times.dram);
        store(lanes[3], times.cache);
        store(lanes[4], times.launch);
        store(lanes[5], energy.joules(i, times));
        *terms = {lanes[0][0], lanes[1][0], lanes[2][0], lanes[3][0], lanes[4][0], lanes[5][0]};
    }
};

template <class Sink>
void run_kernel(const BoundKernel& kernel, const BlockInput& input, const BlockColumns& block, Sink sink) {
    switch (kernel.machine) {
        case MachineKind::gpu:
            return run_gpu(kernel, input.memory, block, input.points, sink);
        case MachineKind::cpu:
            return run_cpu(kernel, input.memory, block, input.points, sink);
        case MachineKind::systolic:
            return run_systolic(kernel, input.memory, block, input.points, sink);
    }
}

BlockColumns columns_of(const BlockInput& input) {
    return {input.columns, input.stride, input.least, input.footprint, input.least_footprint};
}

}  // namespace

void run_tape(const TapeInput& tape, int points, double* columns, double* least) {
    TapeRunner{tape, columns, points}.run(least);
}

void run_block(const BlockInput& input, const BlockSums& sums) {
    const BlockColumns block = columns_of(input);
    for (int k = 0; k < input.kernel_count; ++k) {
        const BoundKernel& kernel = input.kernels[k];
        run_kernel(kernel, input, block,
                   Accumulate{sums, splat(kernel.terms.launches), kernel.spread, Energy(kernel, block)});
    }
}

void run_terms(const BlockInput& input, KernelSeconds* terms) {
    const BlockColumns block = columns_of(input);
    for (int k = 0; k < input.kernel_count; ++k) {
        run_kernel(input.kernels[k], input, block, Keep{terms + k, Energy(input.kernels[k], block)});
    }
}

}  // namespace infercost::INFERCOST_ISA

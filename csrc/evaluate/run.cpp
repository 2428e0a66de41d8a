#include "evaluate/run.hpp"

#include "evaluate/tape_run.hpp"
#include "hardware/cpu_model.hpp"
#include "hardware/gpu_model.hpp"
#include "hardware/systolic_model.hpp"

namespace infercost::INFERCOST_ISA {
namespace {

// Adds what a kernel takes to the sums: its launch, and its longest other term to what bounds it.
struct Accumulate {
    const BlockSums& sums;
    Vec launches;
    double spread;

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
    }
};

// Keeps the terms of the first point.
struct Keep {
    KernelSeconds* terms;

    INFERCOST_INLINE void operator()(int i, const Times& times) const {
        if (i != 0) return;
        double lanes[5][Vec::lanes];
        store(lanes[0], times.total);
        store(lanes[1], times.compute);
        store(lanes[2], times.dram);
        store(lanes[3], times.cache);
        store(lanes[4], times.launch);
        *terms = {lanes[0][0], lanes[1][0], lanes[2][0], lanes[3][0], lanes[4][0]};
    }
};

template <class Sink>
void run_kernel(const BoundKernel& kernel, const BlockInput& input, Sink sink) {
    const BlockColumns block{input.columns, input.stride, input.least, input.footprint,
                             input.least_footprint};
    switch (kernel.machine) {
        case MachineKind::gpu:
            return run_gpu(kernel, input.memory, block, input.points, sink);
        case MachineKind::cpu:
            return run_cpu(kernel, input.memory, block, input.points, sink);
        case MachineKind::systolic:
            return run_systolic(kernel, input.memory, block, input.points, sink);
    }
}

}  // namespace

void run_tape(const TapeInput& tape, int points, double* columns, double* least) {
    TapeRunner{tape, columns, points}.run(least);
}

void run_block(const BlockInput& input, const BlockSums& sums) {
    for (int k = 0; k < input.kernel_count; ++k) {
        const BoundKernel& kernel = input.kernels[k];
        run_kernel(kernel, input, Accumulate{sums, splat(kernel.terms.launches), kernel.spread});
    }
}

void run_terms(const BlockInput& input, KernelSeconds* terms) {
    for (int k = 0; k < input.kernel_count; ++k) run_kernel(input.kernels[k], input, Keep{terms + k});
}

}  // namespace infercost::INFERCOST_ISA

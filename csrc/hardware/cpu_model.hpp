// CPU: threads share the work while there is enough of it, caches serve what fits, each op pays its dispatch.
#pragma once

#include "hardware/model.hpp"

namespace infercost::INFERCOST_ISA {

// torch's grain size: a loop over fewer elements than this is not split between threads.
constexpr double kGrainElements = 32768;

// A blocked matrix product hands out panels of about this size, and pads columns to vector registers.
constexpr double kPanelRows = 32;
constexpr double kPanelCols = 64;
constexpr double kVectorColumns = 16;
constexpr double kTileRows = 16;  // of a matrix unit such as AMX
constexpr double kMostPadding = 16;

template <class Sink>
INFERCOST_INLINE void run_cpu(const BoundKernel& kernel, const MemoryCosts& memory, const BlockColumns& block,
                              int points, Sink& sink) {
    const KernelTerms& terms = kernel.terms;
    const CpuCosts& costs = kernel.cpu;
    const MemoryModel bytes(memory, terms, block);
    const Quantity contraction = block[terms.contraction_flops];
    const Quantity pointwise = block[terms.pointwise_flops];
    const Quantity written = block[terms.written_bytes];
    const Quantity batch = block[terms.batch];
    const Quantity m = block[terms.m];
    const Quantity n = block[terms.n];
    const Vec one = splat(1.0);
    const Vec cores = splat(costs.cores);

    for (int i = 0; i < points; i += Vec::lanes) {
        Times times;
        bytes.time(i, times.dram, times.cache);
        times.compute = splat(0.0);
        Vec threads;
        if (costs.shaped) {
            const Vec rows = max(m.at(i), one);
            const Vec cols = max(n.at(i), one);
            const Vec panels = max(one, batch.at(i) * ceil(rows * splat(1.0 / kPanelRows)) *
                                            ceil(cols * splat(1.0 / kPanelCols)));
            threads = min(cores, panels);
            // The longer side lies along the vector registers.
            const Vec lanes = max(rows, cols);
            Vec padding = ceil(lanes * splat(1.0 / kVectorColumns)) * splat(kVectorColumns) / lanes;
            if (costs.matrix) {
                padding = padding * (ceil(rows * splat(1.0 / kTileRows)) * splat(kTileRows) / rows);
            } else {
                padding = min(padding, splat(kMostPadding));
            }
            const Vec waves = ceil_div(panels, threads) * threads / panels;
            times.compute =
                contraction.at(i) * padding * waves * splat(costs.engine_s_per_flop) * (cores / threads);
        } else {
            const Vec grains = ceil(written.at(i) / splat(costs.element_bytes) * splat(1.0 / kGrainElements));
            threads = clamp(grains, one, cores);
            times.compute = contraction.at(i) * splat(costs.engine_s_per_flop);
        }
        const Vec idle = cores / threads;
        times.compute = times.compute + pointwise.at(i) * splat(costs.vector_s_per_flop) * idle;
        times.cache = times.cache * idle;  // private caches of idle cores serve nobody
        times.busy = max(max(times.compute, times.dram), times.cache);
        times.launch = splat(costs.launch_s);
        times.total = times.launch + times.busy;
        sink(i, times);
    }
}

}  // namespace infercost::INFERCOST_ISA

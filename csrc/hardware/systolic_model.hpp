// Systolic arrays: a weight tile of rows x cols is loaded, and activations stream through it one row per
// cycle.
//
// Source: "How to Scale Your Model" (jax-ml/scaling-book), chapter on TPUs: one [8,128] x [128,128] product
// per 8 cycles when full; loading the next tile overlaps with streaming, the first fill and the last drain do
// not.
#pragma once

#include "hardware/model.hpp"

namespace infercost::INFERCOST_ISA {

struct SystolicProduct {
    const SystolicCosts& costs;

    INFERCOST_INLINE Vec seconds(Vec batch, Vec m, Vec n, Vec k) const {
        const Vec rows = splat(costs.rows);
        const Vec cols = splat(costs.cols);
        const Vec tiles = batch * ceil_div(k, rows) * ceil_div(n, cols);
        // A tile is in use for m cycles, or while the next one is loaded.
        const Vec busy = ceil_div(tiles, splat(costs.units)) * max(m, splat(costs.load_rows));
        return (busy + rows + cols) * splat(costs.cycle_s);
    }
};

template <class Sink>
INFERCOST_INLINE void run_systolic(const BoundKernel& kernel, const MemoryCosts& memory,
                                   const BlockColumns& block, int points, const Sink& sink) {
    const KernelTerms& terms = kernel.terms;
    const SystolicCosts& costs = kernel.systolic;
    const MemoryModel bytes(memory, terms, block);
    const Quantity contraction = block[terms.contraction_flops];
    const Quantity pointwise = block[terms.pointwise_flops];
    const Quantity batch = block[terms.batch];
    const Quantity m = block[terms.m];
    const Quantity n = block[terms.n];
    const Quantity k = block[terms.k];
    const Quantity n_value = block[terms.n_value];
    const Quantity shared = block[terms.shared];
    const SystolicProduct product{costs};

    for (int i = 0; i < points; i += Vec::lanes) {
        Times times;
        bytes.time(i, times.dram, times.cache);
        if (costs.hosted) times.dram = bytes.cold_weights(i) * splat(memory.dram_s_per_byte);
        times.dram = times.dram * splat(costs.dram_factor);
        const Vec flops = contraction.at(i);
        times.compute = flops * splat(costs.engine_s_per_flop);
        if (costs.shaped) {
            Vec sets = batch.at(i);
            Vec rows = m.at(i);
            if (costs.attention) {
                // Query heads that share keys pass through the same tiles.
                const Vec heads = sets;
                sets = max(splat(1.0), shared.at(i));
                rows = rows * max(splat(1.0), heads / sets);
            }
            Vec compute = product.seconds(sets, rows, n.at(i), k.at(i));
            if (costs.attention) compute = compute + product.seconds(sets, rows, n_value.at(i), n.at(i));
            if (costs.direct) compute = min(compute, flops * splat(costs.vector_s_per_flop));
            times.compute = only(splat(0.0) < flops, compute);
        }
        times.compute = max(times.compute, pointwise.at(i) * splat(costs.vector_s_per_flop));
        times.busy = max(times.compute, times.dram);
        if (costs.shaped) {
            // The array waits for some of the bytes, most where both take as long: the 4-norm.
            const Vec compute = times.compute * times.compute;
            const Vec dram = times.dram * times.dram;
            times.busy = max(times.busy, sqrt(sqrt(compute * compute + dram * dram)));
        }
        times.busy = max(times.busy, times.cache);
        times.launch = splat(costs.launch_s);
        times.total = times.launch + times.busy;
        sink(i, times);
    }
}

}  // namespace infercost::INFERCOST_ISA

// GPU: work is divided into tiles, tiles are assigned to cores in rounds, and a share of the shorter of core
// time and memory time is exposed.
#pragma once

#include "hardware/gpu.hpp"
#include "hardware/gpu_attention.hpp"
#include "hardware/gpu_rows.hpp"
#include "hardware/gpu_tiles.hpp"
#include "hardware/model.hpp"

namespace infercost::INFERCOST_ISA {

// Times of a kernel's bytes at DRAM and at the last cache.
struct GpuMemory {
    const GpuCosts& costs;
    const MemoryCosts& memory;
    const double* footprint;
    Quantity weights, others, written, strided;

    INFERCOST_INLINE GpuMemory(const GpuCosts& gpu, const MemoryCosts& levels, const KernelTerms& terms,
                               const BlockColumns& block)
        : costs(gpu),
          memory(levels),
          footprint(block.footprint),
          weights(block[terms.weight_bytes]),
          others(block[terms.other_bytes]),
          written(block[terms.written_bytes]),
          strided(block[terms.strided_bytes]) {}

    // Products run as with cold caches: measured products take as long as if nothing were cached, and they
    // read their operands in an order of their own.
    INFERCOST_INLINE void time_products(int i, Vec& dram, Vec& cache) const {
        const Vec bytes = weights.at(i) + others.at(i);
        dram = bytes * splat(memory.dram_s_per_byte * costs.dram_factor);
        cache = bytes * splat(memory.last_cache_s_per_byte);
    }

    // `again`: bytes that are read once more.
    template <bool streams>
    INFERCOST_INLINE void time(int i, Vec again, Vec& dram, Vec& cache) const {
        const Vec weight_bytes = weights.at(i);
        const Vec other_bytes = others.at(i);
        const Vec results = written.at(i);
        // Each change between reading and writing pauses the bus.
        const Vec moved = other_bytes + again;
        const Vec paused = splat(costs.turnaround) * min(moved - results, results);
        Vec cold = moved + paused;
        if (costs.strided_factor > 0) cold = cold + strided.at(i) * splat(costs.strided_factor);
        if constexpr (!streams) {
            // Activations were just written: a working set that fits the last cache is still in it.
            cold = only(splat(memory.last_capacity) < weight_bytes + other_bytes, cold);
        }
        // Weights were last read one forward ago.
        dram = (cold + weight_bytes) * splat(memory.dram_s_per_byte * costs.dram_factor);
        cache = (weight_bytes + moved) * splat(memory.last_cache_s_per_byte);
    }
};

// `easy`: nothing is cached, and there is work for all cores. `constant`: values that do not depend on the
// number of rows are equal at all points.
template <GpuCosts::Shape shape, bool constant, bool easy, class Sink>
INFERCOST_INLINE void run_gpu(const BoundKernel& kernel, const MemoryCosts& levels, const BlockColumns& block,
                              int points, const Sink& sink) {
    using Shape = GpuCosts::Shape;
    constexpr bool tiled = shape == Shape::tiles || shape == Shape::winograd;
    const KernelTerms& terms = kernel.terms;
    // Copies, because a compiler reloads values that a store to a column may have changed.
    const GpuCosts costs = kernel.gpu;
    const MemoryCosts memory = levels;
    const GpuMemory bytes(costs, memory, terms, block);
    const GpuTiles tiles(costs, terms, block);
    const GpuWinograd winograd(costs, terms, block);
    const GpuRows rows(costs, terms, block);
    const GpuAttention attention(costs, terms, block);
    const Quantity contraction = block[terms.contraction_flops];
    const Quantity pointwise = block[terms.pointwise_flops];
    // FLOPs that draw power: attention skips blocks of keys that a mask hides.
    const Quantity powered = shape == Shape::attention ? block[terms.causal_flops] : contraction;
    // If all bytes come from DRAM, a faster cache does not bind. Nor does it bind products in a chain,
    // whatever DRAM does: what they read from it is part of the time of their tiles.
    const bool behind_dram = (tiled && costs.chained) || ((tiled || easy) && costs.cache_hidden);
    TilesOfProduct product;
    WinogradProducts prepared;
    RowsOfLength length;
    if constexpr (tiled && constant) {
        tiles.prepare(0, product);
        if constexpr (easy) tiles.products.drop_slower(block.least(terms.m), product);
    }
    if constexpr (shape == Shape::winograd && constant) {
        winograd.prepare(0, prepared);
        if constexpr (easy)
            winograd.products.drop_slower(block.least(terms.winograd_tiles_4), prepared.separate);
    }
    if constexpr (shape == Shape::rows && constant) rows.prepare(0, length);

    for (int i = 0; i < points; i += Vec::lanes) {
        Times times;
        Vec again = splat(0.0);
        Vec rest = splat(0.0);  // exposed part of the shorter of compute and DRAM
        times.compute = splat(0.0);
        if constexpr (shape == Shape::rows) {
            if constexpr (!constant) rows.prepare(i, length);
            again = rows.again(i, length);
        }
        if constexpr (tiled) {
            if (costs.chained) {
                bytes.template time<easy>(i, again, times.dram, times.cache);
            } else {
                bytes.time_products(i, times.dram, times.cache);
            }
        } else {
            bytes.template time<easy>(i, again, times.dram, times.cache);
        }
        if constexpr (shape == Shape::attention) {
            times.compute = attention.seconds(i);
            // Streamed keys are part of the cores' time.
            const Mask streamed = attention.few(i);
            rest = select(streamed, splat(0.0),
                          splat(costs.attention.exposed_memory) * min(times.compute, times.dram));
            times.dram = select(streamed, min(times.compute, times.dram), times.dram);
        } else if constexpr (tiled) {
            if constexpr (!constant) tiles.prepare(i, product);
            times.compute = tiles.template seconds<easy>(i, product);
            if constexpr (shape == Shape::winograd) {
                if constexpr (!constant) winograd.prepare(i, prepared);
                times.compute = min(times.compute, winograd.template seconds<easy>(i, prepared));
            }
            if (costs.direct) {
                times.compute = min(times.compute, contraction.at(i) * splat(costs.direct_s_per_flop));
            }
            if (costs.most_bytes > 0) {
                const Vec results = bytes.written.at(i);
                const Vec largest = max(results, bytes.others.at(i) - results);
                times.compute = max(times.compute, only(splat(costs.most_bytes) < largest,
                                                        contraction.at(i) * splat(costs.large_s_per_flop)));
            }
            rest = splat(costs.tiles.exposed_memory) * min(times.compute, times.dram);
        } else if constexpr (shape == Shape::rows) {
            times.compute = rows.latency(i, length);
            const Vec longest = max(times.compute, times.dram);
            rest = sqrt(times.compute * times.compute + times.dram * times.dram) - longest;
        } else if constexpr (shape == Shape::unshaped) {
            times.compute = contraction.at(i) * splat(costs.engine_s_per_flop);
        }
        // Epilogues overlap with the matrix unit; without a product they determine the time.
        if (costs.pointwise) {
            times.compute = max(times.compute, pointwise.at(i) * splat(costs.vector_s_per_flop));
        }
        if (costs.issue_s_per_byte > 0) {
            times.compute = max(times.compute, bytes.written.at(i) * splat(costs.issue_s_per_byte));
        }
        if ((tiled || shape == Shape::attention || shape == Shape::unshaped) && costs.power_s_per_flop > 0) {
            const Vec moved = costs.chained ? times.dram * splat(costs.dram_byte_per_s)
                                            : bytes.weights.at(i) + bytes.others.at(i);
            times.compute = max(times.compute, powered.at(i) * splat(costs.power_s_per_flop) +
                                                   moved * splat(costs.power_s_per_byte));
        }
        times.busy = max(times.compute, times.dram);
        if (!behind_dram) times.busy = max(times.busy, times.cache);
        if constexpr (shape != Shape::none && shape != Shape::unshaped) times.busy = times.busy + rest;
        if ((tiled || shape == Shape::rows) && costs.transposed_factor > 0) {
            // Separate kernels, before and after.
            const Vec turned = bytes.others.at(i) * splat(costs.transposed_factor * memory.dram_s_per_byte);
            times.dram = times.dram + turned;
            times.busy = times.busy + turned;
        }
        times.launch = splat(costs.floor_s);
        times.total = splat(costs.floor_s) + times.busy;
        if (behind_dram) {
            sink.behind_dram(i, times);
        } else {
            sink(i, times);
        }
    }
}

template <class Sink>
INFERCOST_INLINE void run_gpu(const BoundKernel& kernel, const MemoryCosts& memory, const BlockColumns& block,
                              int points, const Sink& sink) {
    using Shape = GpuCosts::Shape;
    const KernelTerms& terms = kernel.terms;
    const bool streams = MemoryModel::streams(memory, terms, block);
    const bool fixed = terms.n.coefficient == 0 && terms.k.coefficient == 0 && terms.batch.coefficient == 0;
    switch (kernel.gpu.shape) {
        case Shape::none:
            return streams ? run_gpu<Shape::none, false, true>(kernel, memory, block, points, sink)
                           : run_gpu<Shape::none, false, false>(kernel, memory, block, points, sink);
        case Shape::rows:
            if (!fixed) return run_gpu<Shape::rows, false, false>(kernel, memory, block, points, sink);
            return streams ? run_gpu<Shape::rows, true, true>(kernel, memory, block, points, sink)
                           : run_gpu<Shape::rows, true, false>(kernel, memory, block, points, sink);
        case Shape::attention:
            return run_gpu<Shape::attention, false, false>(kernel, memory, block, points, sink);
        case Shape::unshaped:
            return run_gpu<Shape::unshaped, false, false>(kernel, memory, block, points, sink);
        case Shape::tiles:
            if (!fixed) return run_gpu<Shape::tiles, false, false>(kernel, memory, block, points, sink);
            return streams && GpuTiles::ample(kernel.gpu, terms, block)
                       ? run_gpu<Shape::tiles, true, true>(kernel, memory, block, points, sink)
                       : run_gpu<Shape::tiles, true, false>(kernel, memory, block, points, sink);
        case Shape::winograd:
            if (!fixed) return run_gpu<Shape::winograd, false, false>(kernel, memory, block, points, sink);
            return streams && GpuWinograd::ample(kernel.gpu, terms, block)
                       ? run_gpu<Shape::winograd, true, true>(kernel, memory, block, points, sink)
                       : run_gpu<Shape::winograd, true, false>(kernel, memory, block, points, sink);
    }
}

}  // namespace infercost::INFERCOST_ISA

// CPU: threads share the work if there is enough, caches serve working sets that fit, and each op has its
// dispatch. Work beside the arithmetic of a kernel (copies into a layout, passes over memory) runs before or
// after it, so times add up.
#pragma once

#include "hardware/model.hpp"

namespace infercost::INFERCOST_ISA {

// Rows and windows are split earlier.
constexpr double kRowGrainElements = 2048;

// A blocked matrix product distributes panels of about this size, and pads columns to vector registers.
constexpr double kPanelRows = 32;
constexpr double kPanelCols = 64;
constexpr double kVectorColumns = 16;
constexpr double kTileRows = 16;  // of a matrix unit such as AMX
constexpr double kMostPadding = 16;

// A product with at most this many rows reads weights where they are. Its arithmetic overlaps with the reads,
// and panels may be as narrow as a vector if a thread still has kGrainElements of weights. Measured with
// torch 2.13: fp32 2.6, 2.3, 5.2 and 7.2 ms with 1, 2, 4 and 8 rows.
constexpr double kFewRows = 3;

// Attention of fewer queries is a product of a vector with the keys: their elements are the limit, not FLOPs.
// Measured with torch 2.13 on an EPYC (Zen 4), 48 heads of 64 with 512 keys: fp32 0.33, 0.58 and 0.84 ms for
// 1, 2 and 4 queries, bf16 2.66, 0.78 and 0.85.
constexpr double kSeveralRows = 2;

// Threads that share a cache open a parallel loop one by one; groups of them open it side by side. Decode on
// 64 cores takes 0.2 ms per layer beyond its bytes (Graviton3, EPYC 9554: the published rows of two models).
constexpr double kGroupThreads = 8;
constexpr double kOtherThreads = 1.0 / 64;

// Kernels evict the code and the data that an op's call needs from the private caches, until the op is called
// again. Measured on a Xeon with 2 MiB of L2 per core (torch 2.13), as shares of the extra time after a loop
// over four times the capacity: 0.07 to 0.2 after half of it, 0.54 to 0.63 after the whole, 0.97 after twice
// as much. The kernels in between are taken to move as many bytes as the op itself.
constexpr double kFirstEvicted = 0.4;
constexpr double kAllEvicted = 1.6;

// Above this size glibc maps new memory for each result (DEFAULT_MMAP_THRESHOLD_MAX), whose pages fault one
// by one.
constexpr double kMappedBytes = 32.0 * 1024 * 1024;

template <class Sink>
INFERCOST_INLINE void run_cpu(const BoundKernel& kernel, const MemoryCosts& memory, const BlockColumns& block,
                              int points, const Sink& sink) {
    const KernelTerms& terms = kernel.terms;
    const CpuCosts& costs = kernel.cpu;
    const MemoryModel bytes(memory, terms, block);
    const Quantity contraction = block[terms.contraction_flops];
    const Quantity pointwise = block[terms.pointwise_flops];
    const Quantity written = block[terms.written_bytes];
    const Quantity cached = block[terms.cached_bytes];
    const Quantity kept = block[terms.kept_bytes];
    const Quantity copied = block[terms.copied_bytes];
    const Quantity strided = block[terms.strided_bytes];
    const Quantity batch = block[terms.batch];
    const Quantity m = block[terms.m];
    const Quantity n = block[terms.n];
    const Quantity k = block[terms.k];
    const Quantity images = block[terms.images];
    const Vec zero = splat(0.0);
    const Vec one = splat(1.0);
    const Vec cores = splat(costs.cores);
    const Vec first_threads = splat(kGroupThreads * (1 - kOtherThreads));
    const Vec per_element = splat(1.0 / costs.element_bytes);

    for (int i = 0; i < points; i += Vec::lanes) {
        Times times;
        bytes.time(i, times.dram, times.cache);
        times.compute = zero;
        const Vec weights = bytes.weights.at(i);
        const Vec touched = weights + bytes.others.at(i);
        // Keys and values of the step before, and memory in which results of the graph live on, are in no
        // cache unless it holds the whole forward. A working set that exceeds the last cache is cold already.
        const Vec own = cached.at(i) + kept.at(i);
        const Vec held = only(touched < splat(memory.last_capacity), own);
        times.dram = times.dram + only(splat(memory.weight_capacity) < load(block.footprint + i), held) *
                                      splat(memory.dram_s_per_byte);
        const Vec beyond = splat(costs.weight_passes - 1.0);
        times.dram = times.dram + bytes.cold_weights(i) * beyond * splat(memory.dram_s_per_byte);
        Vec threads;
        if (costs.shaped) {
            const Vec rows = max(m.at(i), one);
            const Vec cols = max(n.at(i), one);
            Vec across = ceil(cols * splat(1.0 / kPanelCols));
            if (costs.weights) {
                const Vec shares = max(across, ceil(weights * splat(costs.shares_per_byte)));
                const Vec narrow = min(shares, ceil(cols * splat(1.0 / kVectorColumns)));
                across = select(splat(kFewRows) < rows, across, narrow);
            }
            const Vec panels = max(one, batch.at(i) * ceil(rows * splat(1.0 / kPanelRows)) * across);
            threads = min(cores, panels);
            // The longer side is along the vector registers.
            const Vec lanes = max(rows, cols);
            Vec padding = ceil(lanes * splat(1.0 / kVectorColumns)) * splat(kVectorColumns) / lanes;
            if (costs.matrix) {
                padding = padding * (ceil(rows * splat(1.0 / kTileRows)) * splat(kTileRows) / rows);
            } else {
                padding = min(padding, splat(kMostPadding));
            }
            const Vec waves = ceil_div(panels, threads) * threads / panels;
            times.compute = contraction.at(i) * padding * waves * splat(costs.engine_s_per_flop);
            if (costs.row_s_per_flop > 0) {
                const Vec streamed = contraction.at(i) * waves * splat(costs.row_s_per_flop);
                times.compute = select(rows < splat(kSeveralRows), streamed, times.compute);
            }
        } else {
            // The larger of operands and result, because a reduction is split by its operands.
            const Vec moved = max(written.at(i), bytes.others.at(i) - written.at(i)) * per_element;
            const Vec grain =
                splat(1.0 / (costs.rows || costs.depthwise ? kRowGrainElements : kGrainElements));
            threads = costs.least_shared > 0 ? select(moved < splat(costs.least_shared), one, cores)
                                             : clamp(ceil(moved * grain), one, cores);
            times.compute = contraction.at(i) * splat(costs.engine_s_per_flop);
        }
        const Vec idle = cores / threads;
        times.compute = times.compute * idle;
        Vec loops = zero;
        constexpr int kLoops = static_cast<int>(kSlowLoopCount);
        for (int loop = 0; loop < kLoops; ++loop) {
            if (costs.loop_s[loop] > 0) {
                loops = loops + block[terms.slow_loops[loop]].at(i) * splat(costs.loop_s[loop]);
            }
        }
        // A library copies weights into its own order, element by element.
        const Vec all_copied = copied.at(i);
        const Vec reordered = costs.copies_activations ? min(weights, all_copied) : all_copied;
        loops = loops + (reordered + strided.at(i)) * per_element * splat(costs.reorder_s);
        times.compute =
            times.compute + loops / threads + pointwise.at(i) * splat(costs.vector_s_per_flop) * idle;
        // Activations are copied into blocks of channels and results out of them, image by image. Without a
        // measured rate, they are written and read once more.
        Vec streamed = all_copied - reordered;
        if (costs.copying_s > 0) {
            if (costs.copies_results) streamed = streamed + written.at(i);
            const Vec copiers = clamp(images.at(i), one, cores);
            times.compute = times.compute + streamed * per_element * splat(costs.copying_s) / copiers;
            times.cache = times.cache * idle;
        } else {
            times.cache = (times.cache + splat(2.0 * memory.last_cache_s_per_byte) * streamed) * idle;
        }
        const Vec mapped = only(splat(kMappedBytes) < written.at(i), written.at(i)) +
                           only(splat(kMappedBytes) < all_copied, all_copied);
        times.dram = times.dram + mapped * splat(costs.fault_s_per_byte);
        const Vec large = only(splat(memory.last_capacity) < written.at(i), written.at(i));
        times.dram = times.dram + large * splat(costs.allocated_s_per_byte);
        if (costs.weights) {
            times.cache = times.cache + only(splat(costs.private_capacity) < touched, weights) * beyond *
                                            splat(memory.last_cache_s_per_byte);
            times.cache = max(times.cache, weights * splat(costs.gemv_s_per_byte) * idle);
            const Vec moving = max(times.dram, times.cache);
            const auto many = splat(kFewRows) < m.at(i);
            const Vec packing = only(many, weights * splat(costs.packing_s_per_byte) * idle);
            times.compute = times.compute + packing;
            times.busy = select(many, times.compute + moving, max(times.compute, moving));
        } else {
            if (costs.matrix_packing_s > 0) {
                const Vec matrix = n.at(i) * k.at(i) * splat(costs.matrix_packing_s);
                times.compute = times.compute + only(splat(kFewRows) < m.at(i), matrix * idle);
            }
            times.busy = times.compute + max(times.dram, times.cache);
        }
        const Vec opened = min(threads, splat(kOtherThreads) * threads + first_threads);
        times.launch = splat(costs.launch_s) + only(one < threads, opened * splat(costs.region_s));
        if (costs.cold_s > 0) {
            const Vec swept = touched * splat(costs.apart / costs.private_capacity);
            const Vec evicted = (swept - splat(kFirstEvicted)) * splat(1.0 / (kAllEvicted - kFirstEvicted));
            times.launch = times.launch + clamp(evicted, zero, one) * splat(costs.cold_s);
        }
        times.total = times.launch + times.busy;
        sink(i, times);
    }
}

}  // namespace infercost::INFERCOST_ISA

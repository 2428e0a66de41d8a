// Shared parts of the machine models, for one instruction set: reading quantities, and costs of bytes. A
// model computes the seconds of each term of one kernel at a vector of points; the kernel takes launch +
// max(compute, dram, cache).
#pragma once

#include "hardware/costs.hpp"
#include "simd/vec.hpp"

namespace infercost::INFERCOST_ISA {

struct Times {
    Vec compute;
    Vec dram;
    Vec cache;
    Vec link;  // of collectives alone
    Vec launch;
    Vec busy;   // the longest of compute, dram and cache
    Vec total;  // launch + busy, rounded once, so that it is monotonic in busy
};

// A quantity, with its constants in registers.
struct Quantity {
    Vec constant;
    Vec coefficient;
    const double* column;

    INFERCOST_INLINE Vec at(int i) const { return constant + coefficient * load(column + i); }
};

// The columns of one block of points: `stride` values each.
struct BlockColumns {
    const double* columns;
    int stride;
    const double* lowest;     // the minimum of each column
    const double* footprint;  // bytes of weights and activations of the whole plan
    double lowest_footprint;

    INFERCOST_INLINE Quantity operator[](const Affine& a) const {
        return {splat(a.constant), splat(a.coefficient), columns + static_cast<long>(a.column) * stride};
    }

    // A lower bound of a quantity in the block; -1 if unknown.
    INFERCOST_INLINE double least(const Affine& a) const {
        return a.coefficient >= 0 ? a.constant + a.coefficient * lowest[a.column] : -1.0;
    }
};

INFERCOST_INLINE Vec ceil_div(Vec a, Vec b) {
    return ceil(a / b);
}
INFERCOST_INLINE Vec clamp(Vec a, Vec low, Vec high) {
    return min(max(a, low), high);
}

// Times of bytes at DRAM and at the innermost cache that holds them.
struct MemoryModel {
    Quantity weights;
    Quantity others;
    const double* footprint;
    const MemoryCosts& costs;

    INFERCOST_INLINE MemoryModel(const MemoryCosts& memory, const KernelTerms& terms,
                                 const BlockColumns& block)
        : weights(block[terms.weight_bytes]),
          others(block[terms.other_bytes]),
          footprint(block.footprint),
          costs(memory) {}

    // Whether no cache holds anything, at any point of the block.
    static INFERCOST_INLINE bool streams(const MemoryCosts& memory, const KernelTerms& terms,
                                         const BlockColumns& block) {
        const double bytes = block.least(terms.weight_bytes) + block.least(terms.other_bytes);
        for (int level = 0; level < memory.caches; ++level) {
            if (memory.capacity[level] >= bytes) return false;
        }
        return block.lowest_footprint > memory.last_capacity;
    }

    // Equal to time() if streams() is true.
    INFERCOST_INLINE void stream(int i, Vec& dram, Vec& cache) const {
        const Vec bytes = weights.at(i) + others.at(i);
        dram = bytes * splat(costs.dram_s_per_byte);
        cache = bytes * splat(costs.last_cache_s_per_byte);
    }

    // Weights that no cache holds since the forward before.
    INFERCOST_INLINE Vec cold_weights(int i) const {
        return only(splat(costs.weight_capacity) < load(footprint + i), weights.at(i));
    }

    INFERCOST_INLINE void time(int i, Vec& dram, Vec& cache) const {
        const Vec weight_bytes = weights.at(i);
        const Vec other_bytes = others.at(i);
        const Vec bytes = weight_bytes + other_bytes;
        const Vec last = splat(costs.last_capacity);
        // Activations were just written: a working set that fits the last cache is still in it. Weights were
        // last read one forward ago: they stay only if everything fits.
        const Vec cold_others = only(last < bytes, other_bytes);
        dram = (cold_weights(i) + cold_others) * splat(costs.dram_s_per_byte);
        // The innermost level that holds the working set serves it; each pass through the last level costs
        // time as well.
        Vec s_per_byte = splat(costs.last_cache_s_per_byte);
        for (int level = costs.caches - 1; level >= 0; --level) {
            s_per_byte =
                select(splat(costs.capacity[level]) >= bytes, splat(costs.s_per_byte[level]), s_per_byte);
        }
        cache = bytes * s_per_byte;
    }
};

}  // namespace infercost::INFERCOST_ISA

// GPU: work is cut into tiles, tiles are dealt to cores in waves, and a wave takes as long as its slowest
// tile.
#pragma once

#include "hardware/gpu.hpp"
#include "hardware/model.hpp"

namespace infercost::INFERCOST_ISA {

// What a tile costs, whatever the number of rows: constant for most kernels, and then computed once per
// block.
struct TileCosts {
    Vec columns[kTileCount];  // tiles side by side, over the whole batch
    Vec busy[kTileCount];     // seconds of one core on one tile
    Vec fetch[kTileCount];    // seconds to bring one tile's operands from the last cache
    Vec most_splits;
    Vec widest[2];  // tiles side by side that are 256 and 128 wide
};

struct GpuTiles {
    const GpuCosts& costs;
    Quantity batch, m, n, k;

    INFERCOST_INLINE void prepare(int i, TileCosts& tiles) const {
        const Vec columns = n.at(i);
        const Vec length = k.at(i);
        const Vec products = batch.at(i);
        const Vec core_s = length * splat(2.0 * costs.core_s_per_flop);
        const Vec fetch_s = length * splat(costs.operand_bytes * costs.fetch_s_per_byte);
        Vec counts[kSideCount];
        for (int side = 0; side < kSideCount; ++side) {
            counts[side] = ceil(columns * splat(1.0 / kTileSides[side])) * products;
        }
        for (int t = 0; t < costs.tile_count; ++t) {
            const Tile tile = kTiles[costs.tiles[t]];
            const double rows = kTileSides[tile.rows];
            const double cols = kTileSides[tile.cols];
            tiles.columns[t] = counts[tile.cols];
            tiles.busy[t] = core_s * splat(rows * cols);
            tiles.fetch[t] = fetch_s * splat(rows + cols);
        }
        tiles.widest[0] = counts[0];
        tiles.widest[1] = counts[1];
        tiles.most_splits = max(splat(1.0), floor(length * splat(1.0 / kSplitLength)));
    }

    // Whether each tile of the menu makes work for all cores, at every point of the block.
    static INFERCOST_INLINE bool ample(const GpuCosts& costs, const KernelTerms& terms,
                                       const BlockColumns& block) {
        // No tile is larger than 256 x 128 or 128 x 256.
        const double places = block.least(terms.batch) * block.least(terms.m) * block.least(terms.n);
        return places >= costs.cores * kTileSides[0] * kTileSides[1];
    }

    // Seconds of compute and of operand traffic between cache and cores, for the best tile of the menu.
    template <bool ample>
    INFERCOST_INLINE void best(int i, const TileCosts& tiles, Vec& compute, Vec& cache) const {
        const Vec rows = m.at(i);
        const Vec cores = splat(costs.cores);
        const Vec waves_per_tile = splat(1.0 / costs.cores);
        const Vec half = splat(0.5 / costs.cores);
        Vec counts[kSideCount];
        for (int side = 0; side < kSideCount; ++side) {
            if (ample && !costs.busy_sides[side]) continue;
            counts[side] = ceil(rows * splat(1.0 / kTileSides[side]));
        }
        int tile_count = costs.busy_tile_count;
        if constexpr (!ample) {
            const Vec fewest = min(counts[0] * tiles.widest[1], counts[1] * tiles.widest[0]);
            if (any(splat(3.0) * fewest < cores + splat(1.0))) tile_count = costs.tile_count;
        }
        Vec best = splat(__builtin_inf());
        compute = splat(0.0);
        cache = splat(0.0);
        for (int t = 0; t < tile_count; ++t) {
            const Vec count = tiles.columns[t] * counts[kTiles[costs.tiles[t]].rows];
            // ceil(count / cores) of whole numbers. The half keeps exact multiples where they are, although
            // the reciprocal is rounded.
            Vec busy = ceil(count * waves_per_tile - half) * tiles.busy[t];
            if constexpr (!ample) {
                // Too few tiles for the cores: one wave, and each tile's reduction is split between several.
                if (any(count < cores)) {
                    const Vec splits = max(splat(1.0), min(floor(cores / count), tiles.most_splits));
                    busy = busy / splits;
                }
            }
            const Vec fetch = count * tiles.fetch[t];
            const Vec slower = max(busy, fetch);
            const Mask better = slower < best;
            best = select(better, slower, best);
            compute = select(better, busy, compute);
            cache = select(better, fetch, cache);
        }
    }
};

struct GpuAttention {
    const GpuCosts& costs;
    Quantity batch, m, n, k, n_value;

    INFERCOST_INLINE Vec seconds(int i) const {
        const Vec rows = m.at(i);
        const Vec keys = n.at(i);
        const Vec one = splat(1.0);
        const Vec cores = splat(costs.cores);
        const Vec row_blocks = ceil(rows * splat(1.0 / kQueryRows));
        const Vec padded = ceil(rows * splat(1.0 / kInstructionRows)) * splat(kInstructionRows);
        const Vec block_rows = select(rows >= splat(kQueryRows), splat(kQueryRows), padded);
        const Vec blocks = batch.at(i) * row_blocks;
        const Vec most = max(one, floor(keys * splat(1.0 / kKeyColumns)));
        const Vec splits = clamp(floor(cores / blocks), one, most);
        const Vec waves = ceil_div(blocks * splits, cores);
        const Vec flops = splat(2.0) * block_rows * keys / splits * (k.at(i) + n_value.at(i));
        return waves * flops * splat(costs.core_s_per_flop);
    }
};

// `easy`: nothing is in a cache, and there is work for all cores.
template <GpuCosts::Shape shape, bool constant_tiles, bool easy, class Sink>
INFERCOST_INLINE void run_gpu(const BoundKernel& kernel, const MemoryCosts& memory, const BlockColumns& block,
                              int points, Sink& sink) {
    using Shape = GpuCosts::Shape;
    const KernelTerms& terms = kernel.terms;
    const GpuCosts& costs = kernel.gpu;
    const MemoryModel bytes(memory, terms, block);
    const GpuTiles tiles{costs, block[terms.batch], block[terms.m], block[terms.n], block[terms.k]};
    const GpuAttention attention{costs,          block[terms.batch], block[terms.m],
                                 block[terms.n], block[terms.k],     block[terms.n_value]};
    const Quantity contraction = block[terms.contraction_flops];
    const Quantity pointwise = block[terms.pointwise_flops];
    TileCosts tile_costs;
    if constexpr (shape == Shape::tiles && constant_tiles) tiles.prepare(0, tile_costs);

    for (int i = 0; i < points; i += Vec::lanes) {
        Times times;
        if constexpr (easy) {
            bytes.stream(i, times.dram, times.cache);
        } else {
            bytes.time(i, times.dram, times.cache);
        }
        times.compute = splat(0.0);
        if constexpr (shape == Shape::attention) {
            times.compute = attention.seconds(i);
        } else if constexpr (shape == Shape::tiles) {
            if constexpr (!constant_tiles) tiles.prepare(i, tile_costs);
            Vec fetch;
            tiles.template best<easy>(i, tile_costs, times.compute, fetch);
            if (costs.direct) {
                const Vec direct = contraction.at(i) * splat(costs.vector_s_per_flop);
                const Mask faster = direct < max(times.compute, fetch);
                times.compute = select(faster, direct, times.compute);
                fetch = select(faster, splat(0.0), fetch);
            }
            times.cache = max(times.cache, fetch);
        } else if constexpr (shape == Shape::unshaped) {
            times.compute = contraction.at(i) * splat(costs.engine_s_per_flop);
        }
        // Epilogues overlap with the matrix unit; alone they are all there is.
        times.compute = max(times.compute, pointwise.at(i) * splat(costs.vector_s_per_flop));
        times.busy = max(max(times.compute, times.dram), times.cache);
        times.launch = splat(costs.floor_s);
        times.total = splat(costs.floor_s) + times.busy;
        sink(i, times);
    }
}

template <class Sink>
INFERCOST_INLINE void run_gpu(const BoundKernel& kernel, const MemoryCosts& memory, const BlockColumns& block,
                              int points, Sink& sink) {
    using Shape = GpuCosts::Shape;
    const KernelTerms& terms = kernel.terms;
    const bool streams = MemoryModel::streams(memory, terms, block);
    switch (kernel.gpu.shape) {
        case Shape::none:
            return streams ? run_gpu<Shape::none, false, true>(kernel, memory, block, points, sink)
                           : run_gpu<Shape::none, false, false>(kernel, memory, block, points, sink);
        case Shape::attention:
            return run_gpu<Shape::attention, false, false>(kernel, memory, block, points, sink);
        case Shape::unshaped:
            return run_gpu<Shape::unshaped, false, false>(kernel, memory, block, points, sink);
        case Shape::tiles:
            if (terms.n.coefficient == 0 && terms.k.coefficient == 0 && terms.batch.coefficient == 0) {
                return streams && GpuTiles::ample(kernel.gpu, terms, block)
                           ? run_gpu<Shape::tiles, true, true>(kernel, memory, block, points, sink)
                           : run_gpu<Shape::tiles, true, false>(kernel, memory, block, points, sink);
            }
            return run_gpu<Shape::tiles, false, false>(kernel, memory, block, points, sink);
    }
}

}  // namespace infercost::INFERCOST_ISA

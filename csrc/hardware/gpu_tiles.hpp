// Matrix products on a GPU, and convolutions as products: directly, or by one of Winograd's algorithms.
#pragma once

#include "hardware/gpu.hpp"
#include "hardware/model.hpp"

namespace infercost::INFERCOST_ISA {

// Costs of the tiles of a product, for any number of rows.
struct TilesOfProduct {
    int count;
    Vec per_row[kMostTiles];   // 1 / rows of a tile
    Vec resident[kMostTiles];  // tiles that a core holds at once
    Vec per_resident[kMostTiles];
    Vec columns[kMostTiles];  // tiles along the columns, over the whole batch, per core
    Vec busy[kMostTiles];     // arithmetic of one core on one tile, seconds
    Vec spent[kMostTiles];    // including the exposed operand latency, if cores are full
    Vec latency;              // operand latency of a round of tiles, seconds
    Vec most_parts;
};

// Preserves integers despite a rounded reciprocal.
constexpr double kRounding = 1e-9;

struct Products {
    const TileCosts& costs;
    const TileMenu& menu;
    double cores;
    double core_s_per_flop;

    INFERCOST_INLINE void prepare(Vec batch, Vec n, Vec k, TilesOfProduct& tiles) const {
        Vec depth = (k + splat(costs.depth_overhead)) * splat(2.0 * core_s_per_flop);
        if (costs.page_bytes > 0) {
            const Vec beyond = k * splat(costs.operand_bytes / costs.page_bytes) - splat(1.0);
            depth =
                depth + depth * splat(costs.page_cost) * clamp(beyond, splat(0.0), splat(costs.page_most));
        }
        tiles.latency = k * splat(costs.operand_s);
        tiles.count = menu.count;
        for (int t = 0; t < menu.count; ++t) {
            const Tile& tile = menu.tiles[t];
            const double resident = resident_tiles(tile);
            tiles.per_row[t] = splat(1.0 / tile.rows);
            tiles.resident[t] = splat(resident);
            tiles.per_resident[t] = splat(1.0 / resident);
            tiles.columns[t] = ceil(n * splat(1.0 / tile.cols)) * batch * splat(tile.sharing / cores);
            tiles.busy[t] = depth * splat(work_of(tile));
            tiles.spent[t] = of_a_tile(tiles.busy[t], tiles.latency, tiles.per_resident[t]);
        }
        tiles.most_parts =
            clamp(floor(k * splat(1.0 / costs.split_length)), splat(1.0), splat(costs.most_splits));
    }

    // Drop tiles that are not the fastest for any number of rows from `least` on, if there is work for all
    // cores. With r rows, a tile takes at least r * row_s, and at most that plus two tiles along the rows and
    // one round.
    INFERCOST_INLINE void drop_slower(double least, TilesOfProduct& tiles) const {
        if (costs.by_rows) return;
        double row_s[kMostTiles];
        double most_s[kMostTiles];
        int best = 0;
        for (int t = 0; t < tiles.count; ++t) {
            const double spent_s = first_lane(tiles.spent[t]);
            const double column_s = first_lane(tiles.columns[t]) * spent_s;
            row_s[t] = first_lane(tiles.per_row[t]) * column_s;
            most_s[t] = least * row_s[t] + 2 * column_s + spent_s;
            if (row_s[t] < row_s[best]) best = t;
        }
        int kept = 0;
        for (int t = 0; t < tiles.count; ++t) {
            constexpr double kSlack = 1.0 - 1e-6;  // far above rounding errors
            if (least * row_s[t] * kSlack > most_s[best]) continue;
            tiles.per_row[kept] = tiles.per_row[t];
            tiles.columns[kept] = tiles.columns[t];
            tiles.spent[kept] = tiles.spent[t];
            ++kept;
        }
        tiles.count = kept;
    }

    // Seconds of the cores with the best tile of the menu. `places`: elements of the result, for the cost of
    // a split. `ample`: there is work for all cores, and each holds as many tiles as it can.
    template <bool ample>
    INFERCOST_INLINE Vec seconds(Vec m, Vec places, const TilesOfProduct& tiles) const {
        Vec best = of_tile<ample>(0, m, places, tiles);
        for (int t = 1; t < tiles.count; ++t) {
            const Vec found = of_tile<ample>(t, m, places, tiles);
            if (costs.by_rows) {
                const auto larger = splat(menu.tiles[t].most_rows) < m;
                best = only(larger, best) + (found - only(larger, found));
            } else {
                best = min(best, found);
            }
        }
        // The drain of the last round overlaps.
        return max(splat(0.0), best - splat(costs.round_s));
    }

    // Seconds with one tile of the menu, including the drain of the last round.
    template <bool ample>
    INFERCOST_INLINE Vec of_tile(int t, Vec m, Vec places, const TilesOfProduct& tiles) const {
        const Vec one = splat(1.0);
        const Vec of_a_core = ceil(m * tiles.per_row[t]) * tiles.columns[t];
        // Divisions dominate the time of this function. Both early returns equal the result of the lines
        // after them.
        if (ample || !any(of_a_core < tiles.resident[t])) {
            return ceil(of_a_core - splat(kRounding)) * tiles.spent[t];
        }
        // Too few tiles for the cores: the reduction of each tile is split between several.
        const Vec parts = max(one, min(floor(one / of_a_core + splat(kRounding)), tiles.most_parts));
        const Vec dealt = ceil(of_a_core * parts - splat(kRounding));
        const Vec rounds = max(one / dealt, tiles.per_resident[t]);
        if (!any(one < parts)) return dealt * of_a_tile(tiles.busy[t], tiles.latency, rounds);
        const Vec spent = of_a_tile(tiles.busy[t] / parts, tiles.latency / parts, rounds);
        const Vec split_s =
            only(one < parts, splat(costs.split_s) + parts * places * splat(costs.split_s_per_element));
        return dealt * spent + split_s;
    }

    // Time of a tile of a core, including its share of a round's latency. `rounds`: per tile.
    INFERCOST_INLINE Vec of_a_tile(Vec busy, Vec latency, Vec rounds) const {
        const Vec waited = latency * rounds;
        return max(busy, waited) + splat(costs.exposed_operands) * min(busy, waited) +
               rounds * splat(costs.round_s);
    }

    // Work of a tile: its results, and operand fetches for its edges, which weigh more in a small tile. The
    // rate of the engine refers to tiles of 128 x 128.
    INFERCOST_INLINE double work_of(const Tile& tile) const {
        const double edges = 64.0 / tile.rows + 64.0 / tile.cols - 1.0;
        return tile.rows * tile.cols * (1.0 + costs.edge * edges) / tile.sharing;
    }

    static INFERCOST_INLINE double resident_tiles(const Tile& tile) {
        const double fit = kResidentElements * tile.sharing / (tile.rows * tile.cols);
        return fit > kMostResident ? kMostResident : fit;
    }
};

struct GpuTiles {
    Products products;
    Quantity batch, m, n, k;

    INFERCOST_INLINE GpuTiles(const GpuCosts& costs, const KernelTerms& terms, const BlockColumns& block)
        : products{costs.tiles, *costs.menu, costs.cores, costs.tiles.core_s_per_flop},
          batch(block[terms.batch]),
          m(block[terms.m]),
          n(block[terms.n]),
          k(block[terms.k]) {}

    INFERCOST_INLINE void prepare(int i, TilesOfProduct& tiles) const {
        products.prepare(batch.at(i), n.at(i), k.at(i), tiles);
    }

    template <bool ample>
    INFERCOST_INLINE Vec seconds(int i, const TilesOfProduct& tiles) const {
        const Vec rows = m.at(i);
        return products.template seconds<ample>(rows, batch.at(i) * rows * n.at(i), tiles);
    }

    // Whether each tile of the menu gives every core as many tiles as it holds, at every point of the block.
    // Then no reduction is split, and all rounds but the last are full.
    static INFERCOST_INLINE bool ample(const GpuCosts& costs, const KernelTerms& terms,
                                       const BlockColumns& block) {
        const double places = block.least(terms.batch) * block.least(terms.m) * block.least(terms.n);
        return places >= costs.cores * kResidentElements;
    }
};

struct WinogradProducts {
    TilesOfProduct separate;
    Vec fused_columns;
    Vec fused_s;        // of a block
    Vec transformed_s;  // of the weights
    Vec tile_s;         // inputs and results of one tile
};

// F(4x4, 3x3) with transforms as passes over memory, or F(2x2, 3x3) in one kernel (Lavin and Gray, "Fast
// Algorithms for Convolutional Neural Networks", 2016).
struct GpuWinograd {
    const GpuCosts& costs;
    Products products;
    Quantity m, n, k, tiles_2, tiles_4;

    INFERCOST_INLINE GpuWinograd(const GpuCosts& gpu, const KernelTerms& terms, const BlockColumns& block)
        : costs(gpu),
          products{gpu.tiles, *gpu.menu, gpu.cores, gpu.winograd.product_s_per_flop},
          m(block[terms.m]),
          n(block[terms.n]),
          k(block[terms.k]),
          tiles_2(block[terms.winograd_tiles_2]),
          tiles_4(block[terms.winograd_tiles_4]) {}

    INFERCOST_INLINE void prepare(int i, WinogradProducts& prepared) const {
        const WinogradCosts& w = costs.winograd;
        const Vec channels = k.at(i) * splat(1.0 / 9);
        const Vec results = n.at(i);
        products.prepare(splat(kTileProducts), results, channels, prepared.separate);
        const Vec depth = ceil(channels * splat(1.0 / 8)) * splat(8.0) + splat(costs.tiles.depth_overhead);
        prepared.fused_columns = ceil(results * splat(1.0 / kFusedChannels));
        prepared.fused_s =
            depth * splat(2 * kFusedProducts * kFusedTiles * kFusedChannels * w.fused_s_per_flop);
        const Vec pass = splat(w.pass_s_per_byte * w.element_bytes);
        prepared.transformed_s = channels * results * splat(9 + kTileProducts) * pass + splat(3 * w.launch_s);
        prepared.tile_s = (channels + results) * pass;
    }

    template <bool ample>
    INFERCOST_INLINE Vec seconds(int i, const WinogradProducts& prepared) const {
        const Vec large = tiles_4.at(i);
        const Vec moved = m.at(i) + splat(kTileProducts) * large;
        const Vec separate = prepared.transformed_s + moved * prepared.tile_s +
                             products.template seconds<ample>(large, splat(kTileProducts) * large * n.at(i),
                                                              prepared.separate);
        const Vec blocks = ceil(tiles_2.at(i) * splat(1.0 / kFusedTiles)) * prepared.fused_columns;
        const Vec fused = ceil(blocks * splat(1.0 / costs.cores) - splat(kRounding)) * prepared.fused_s +
                          splat(costs.winograd.launch_s);
        return min(separate, fused);
    }

    static INFERCOST_INLINE bool ample(const GpuCosts& costs, const KernelTerms& terms,
                                       const BlockColumns& block) {
        const double places = kTileProducts * block.least(terms.winograd_tiles_4) * block.least(terms.n);
        return places >= costs.cores * kResidentElements && GpuTiles::ample(costs, terms, block);
    }
};

}  // namespace infercost::INFERCOST_ISA

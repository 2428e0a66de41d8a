// GPU: what can be looked up before any size is known.
#include "hardware/gpu.hpp"

#include <algorithm>
#include <cmath>

#include "hardware/machine.hpp"

namespace infercost {
namespace {

static_assert(std::size(kTiles) == kTileCount);

// A tile can win unless another one with as many rows covers the columns with as many, but narrower tiles.
bool can_win(const Tile& tile, const Affine& n) {
    if (!is_constant(n)) return true;
    const auto count = [&](const Tile& t) { return std::ceil(n.constant / kTileSides[t.cols]); };
    return std::none_of(std::begin(kTiles), std::end(kTiles), [&](const Tile& other) {
        return other.rows == tile.rows && kTileSides[other.cols] < kTileSides[tile.cols] &&
               count(other) == count(tile);
    });
}

// Whether arithmetic takes longer than fetching operands, however many of these tiles there are.
bool computes(const Tile& tile, const GpuCosts& costs) {
    const double rows = kTileSides[tile.rows];
    const double cols = kTileSides[tile.cols];
    constexpr double kRounding = 1 + 1e-9;
    return (rows + cols) * costs.operand_bytes * costs.fetch_s_per_byte * kRounding <=
           2.0 * rows * cols * costs.core_s_per_flop / costs.cores;
}

bool divides(const Tile& a, const Tile& b) {
    return (a.rows != b.rows || a.cols != b.cols) && kTileSides[a.rows] <= kTileSides[b.rows] &&
           kTileSides[a.cols] <= kTileSides[b.cols];
}

// The menu of a kernel. Where no tile's count is below a third of the cores, a tile that computes is never
// better than one that computes and divides it, q times smaller: there are at most q times as many of the
// smaller, so they take at most q times the waves, each q times shorter, and at most two parts of a split are
// lost. What such a tile could gain comes last. Those that compute come first, so that ties fall the same way
// with and without the rest.
void choose_tiles(GpuCosts& costs, const Affine& n) {
    const auto divided = [&](const Tile& tile) {
        return computes(tile, costs) &&
               std::any_of(std::begin(kTiles), std::end(kTiles), [&](const Tile& other) {
                   return divides(other, tile) && computes(other, costs) && can_win(other, n);
               });
    };
    const auto append = [&](auto&& wanted) {
        for (int t = 0; t < kTileCount; ++t) {
            if (can_win(kTiles[t], n) && wanted(kTiles[t])) costs.tiles[costs.tile_count++] = t;
        }
    };
    append([&](const Tile& tile) { return computes(tile, costs) && !divided(tile); });
    append([&](const Tile& tile) { return !computes(tile, costs); });
    costs.busy_tile_count = costs.tile_count;
    for (int t = 0; t < costs.busy_tile_count; ++t) costs.busy_sides[kTiles[costs.tiles[t]].rows] = true;
    append(divided);
}

GpuCosts::Shape shape_of(const KernelTerms& terms) {
    if (is_zero(terms.contraction_flops)) return GpuCosts::Shape::none;
    if (terms.kind == WorkKind::attention) return GpuCosts::Shape::attention;
    // A user's rule may give no dimensions.
    return is_zero(terms.m) ? GpuCosts::Shape::unshaped : GpuCosts::Shape::tiles;
}

}  // namespace

GpuCosts Binder::gpu(const KernelTerms& terms) {
    const auto& [engine, vector] = engines(terms.dtype);
    const MemoryLevel* last = hardware_.last_cache();
    const Overheads& over = hardware_.overheads;
    GpuCosts costs;
    costs.shape = shape_of(terms);
    costs.cores = hardware_.cores;
    costs.engine_s_per_flop = seconds_per(engine.flop_per_s);
    costs.core_s_per_flop = hardware_.cores * costs.engine_s_per_flop;
    costs.vector_s_per_flop = seconds_per(vector.flop_per_s);
    costs.operand_bytes = terms.operand_bits / 8.0;
    // A convolution's window slides over shared memory: its overlap is read once.
    const double reuse = terms.kind == WorkKind::convolution ? terms.window : 1.0;
    costs.fetch_s_per_byte = last ? 1.0 / (reuse * last->bandwidth_byte_per_s) : 0.0;
    const double gap = execution_ == Execution::replayed ? over.replay_gap_s : over.launch_gap_s;
    costs.floor_s = gap + (is_contraction(terms.kind) ? over.kernel_minimum_s : 0.0);
    // Depthwise and narrow grouped convolutions have direct kernels on the vector unit: no padding to tiles.
    costs.direct = terms.kind == WorkKind::convolution && vector.flop_per_s > 0;
    choose_tiles(costs, terms.n);
    return costs;
}

}  // namespace infercost

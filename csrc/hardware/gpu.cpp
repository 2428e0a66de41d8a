// GPU: work is cut into tiles, tiles are dealt to cores in waves, and a wave takes as long as its slowest
// tile.
//
// Source of the mechanism: NVIDIA's "Matrix Multiplication Background" (tile and wave quantisation) and the
// measured step shapes of published GEMM tables. The tile menu is cuBLAS's public list; nothing is fitted.
#include <algorithm>
#include <cmath>
#include <limits>

#include "hardware/machine.hpp"

namespace infercost {
namespace {

struct Tile {
    double rows;
    double cols;
};
constexpr Tile kTiles[] = {
    {256, 128},
    {128, 256},
    {128, 128},
    {256, 64 },
    {64,  256},
    {128, 64 },
    {64,  128},
    {64,  64 },
    {64,  32 },
    {32,  64 }
};

// Splitting the reduction over cores pays only while each part still has this much of it.
constexpr double kSplitLength = 256;

// Flash attention works on blocks of this many query rows, and splits long key ranges likewise.
constexpr double kQueryRows = 128;
constexpr double kKeyColumns = 512;
// The smallest number of rows that a matrix instruction takes: a decode step pads its one query to it.
constexpr double kInstructionRows = 16;

struct Rate {
    double per_core;  // FLOP/s of one core
    double cores;
    double cache_byte_per_s;
    double operand_bytes;
};

// Seconds of compute and of operand traffic between cache and cores, for the best tile of the menu. Each
// operand element that is fetched serves `reuse` places of the product.
void best_tile(const Rate& rate, double batch, double m, double n, double k, double reuse, double& compute,
               double& cache) {
    double best = std::numeric_limits<double>::infinity();
    for (const Tile& tile : kTiles) {
        const double tiles = batch * ceil_div(m, tile.rows) * ceil_div(n, tile.cols);
        const double wanted = std::floor(rate.cores / tiles);
        const double splits = std::clamp(wanted, 1.0, std::max(1.0, std::floor(k / kSplitLength)));
        const double waves = ceil_div(tiles * splits, rate.cores);
        const double busy = waves * 2.0 * tile.rows * tile.cols * (k / splits) / rate.per_core;
        const double bytes = tiles * (tile.rows + tile.cols) * k * rate.operand_bytes;
        const double fetch = bytes / (reuse * rate.cache_byte_per_s);
        const double slower = std::max(busy, fetch);
        if (slower < best) {
            best = slower;
            compute = busy;
            cache = fetch;
        }
    }
}

double attention_seconds(const Rate& rate, const KernelBlock& kernel, std::size_t i) {
    const double rows = kernel.m[i];
    const double row_blocks = ceil_div(rows, kQueryRows);
    const double block_rows =
        rows >= kQueryRows ? kQueryRows : ceil_div(rows, kInstructionRows) * kInstructionRows;
    const double blocks = kernel.batch[i] * row_blocks;
    const double splits = std::clamp(std::floor(rate.cores / blocks), 1.0,
                                     std::max(1.0, std::floor(kernel.n[i] / kKeyColumns)));
    const double waves = ceil_div(blocks * splits, rate.cores);
    const double block_flops = 2.0 * block_rows * kernel.n[i] / splits * (kernel.k[i] + kernel.n_value[i]);
    return waves * block_flops / rate.per_core;
}

}  // namespace

void time_on_gpu(const Hardware& hardware, Execution execution, const KernelBlock& kernel,
                 const KernelTimes& times) {
    const Engine engine = contraction_engine(hardware, kernel.dtype);
    const Engine vector = vector_engine(hardware, kernel.dtype);
    const MemoryLevel* last = hardware.last_cache();
    const Rate rate{engine.flop_per_s / hardware.cores, hardware.cores,
                    last ? last->bandwidth_byte_per_s : std::numeric_limits<double>::infinity(),
                    kernel.operand_bits / 8.0};
    time_memory(hardware, kernel, times);

    const Overheads& over = hardware.overheads;
    const double gap = execution == Execution::replayed ? over.replay_gap_s : over.launch_gap_s;
    const double minimum = is_contraction(kernel.kind) ? over.kernel_minimum_s : 0.0;
    // In eager execution the host may be slower than the device: then its time is what is seen.
    const double dispatch = execution == Execution::eager ? over.dispatch_s : 0.0;

    for (std::size_t i = 0; i < kernel.points; ++i) {
        double compute = 0;
        double tiles_cache = 0;
        if (kernel.kind == WorkKind::attention) {
            compute = attention_seconds(rate, kernel, i);
        } else if (kernel.contraction_flops[i] > 0 && kernel.m[i] > 0) {
            // A convolution's window slides over shared memory: its overlap is read once.
            const double reuse = kernel.kind == WorkKind::convolution ? kernel.window : 1.0;
            best_tile(rate, kernel.batch[i], kernel.m[i], kernel.n[i], kernel.k[i], reuse, compute,
                      tiles_cache);
            if (kernel.kind == WorkKind::convolution) {
                // Depthwise and narrow grouped convolutions have direct kernels on the vector unit: no
                // padding to tiles.
                const double direct = kernel.contraction_flops[i] / vector.flop_per_s;
                if (direct < std::max(compute, tiles_cache)) {
                    compute = direct;
                    tiles_cache = 0;
                }
            }
        } else if (kernel.contraction_flops[i] > 0) {
            compute = kernel.contraction_flops[i] / engine.flop_per_s;  // a user's rule gives no dimensions
        }
        if (kernel.pointwise_flops[i] > 0 && vector.flop_per_s > 0) {
            // Epilogues overlap with the matrix unit; alone they are all there is.
            compute = std::max(compute, kernel.pointwise_flops[i] / vector.flop_per_s);
        }
        times.compute[i] = compute;
        times.cache[i] = std::max(times.cache[i], tiles_cache);
        const double busy = std::max({compute, times.dram[i], times.cache[i]});
        times.launch[i] = std::max(gap + minimum, dispatch - busy);
    }
}

}  // namespace infercost

// What a machine makes of a kernel before any size is known. Plain data without the standard library: it is
// read by code that is compiled for other instruction sets (see simd/vec.hpp). Rates are kept as seconds per
// unit, since a product takes a fraction of the time of a division.
#pragma once

#include "core/kernel_terms.hpp"

namespace infercost {

enum class MachineKind { gpu, cpu, systolic };

inline constexpr int kMaxCaches = 7;

struct Tile {
    double rows;
    double cols;
    double most_rows = 0;  // of a product that it is for, where a library goes by rows alone
};

inline constexpr int kMostTiles = 6;

// The tiles that a library has kernels for.
struct TileMenu {
    int count;
    Tile tiles[kMostTiles];
};

// Of a window's time, where a compiler lays channels innermost: they are vectors then.
inline constexpr double kCompiledWindow = 0.2;

struct MemoryCosts {
    double dram_s_per_byte = 0;
    double last_capacity = 0;  // of the last cache; 0 where there is none
    double last_cache_s_per_byte = 0;
    int caches = 0;  // levels that may serve a working set by themselves, inner to outer
    double capacity[kMaxCaches] = {};
    double s_per_byte[kMaxCaches] = {};
};

// Cores that work on tiles of a product, on the matrix or on the vector unit.
struct TileCosts {
    double core_s_per_flop = 0;   // one core at what it reaches
    double operand_s = 0;         // latency of fetching operands, per element of the reduction
    double exposed_operands = 0;  // share of the shorter of arithmetic and latency that is not hidden
    double round_s = 0;           // a further round of tiles on a core: its pipeline drains and fills
    double exposed_memory = 0;    // share of the shorter of cores and dram that is not hidden
    double split_length = 0;      // the least length of a part of a split reduction
    double most_splits = 0;       // the most parts
    double split_s = 0;           // the pass that adds the parts up
    double split_s_per_element = 0;
    // Rows of operands further apart than `page_bytes` ask for more pages than a core's TLB holds.
    double page_bytes = 0;  // 0: it holds them all
    double page_cost = 0;
    double page_most = 0;
    double operand_bytes = 4;
    double depth_overhead = 0;  // elements of the reduction that filling the pipeline is worth
    double edge = 0;            // what a tile of 64 x 64 takes longer for a result than one of 128 x 128
    bool by_rows = false;       // the tile follows from the number of rows; otherwise it is the fastest
};

// Kernels that go along rows (softmax, norms), and how much of a row still lies in a cache when it is read
// again.
struct RowCosts {
    double issue_s = 0;  // of an element, where rows in flight wait for instructions; 0: for latencies
    double element_bytes = 4;
    double threads = 0;   // of one core
    double block = 0;     // threads of a block of rows; 0: as softmax chooses
    double held = 0;      // longest row that registers hold
    double passes = 0;    // more reads of a row that is not held
    double l1_bytes = 0;  // of one core that hold rows in flight
    double l2_bytes = 0;
    double l1_in_l2 = 0;  // 1: both together hold the rows of all cores
    double width = 1;     // how gradually a cache overflows
    double trip_s = 0;    // of a block over its part of a row
    double element_s = 0;
};

struct AttentionCosts {
    double core_s_per_flop = 0;
    double exponential_s = 0;  // of a core
    double tile_s = 0;         // to start a tile of queries
    double longest = 0;        // share of the longest tile that comes on top of the mean
    double exposed_memory = 0;
    double decode_start_s = 0;
    double decode_s_per_byte = 0;     // of one core: its share of dram
    double decode_s_per_element = 0;  // of one block of a core, by what it has in flight
    double narrow = 0;                // of arithmetic, what keys narrower than queries add
    double narrow_s = 0;              // the kernel that makes queries as narrow
    double wide_passes = 0;           // of partial results of heads that are too wide to be held
    double combine_s = 0;
    double combine_split_s = 0;
};

// Winograd's algorithms for convolutions.
struct WinogradCosts {
    double fused_s_per_flop = 0;  // of a core; 0: there are none
    double product_s_per_flop = 0;
    double pass_s_per_byte = 0;
    double element_bytes = 4;
    double launch_s = 0;
};

struct GpuCosts {
    enum class Shape { none, rows, tiles, winograd, attention, unshaped } shape = Shape::none;
    double cores = 0;
    double engine_s_per_flop = 0;  // all cores of the contraction engine
    double vector_s_per_flop = 0;  // 0: no vector engine
    double floor_s = 0;            // launch gap, and what the smallest kernel costs beyond it
    double dram_factor = 1;        // time of a byte over that of a stream
    double turnaround = 0;         // of dram between reading and writing
    double strided_factor = 0;     // a byte that is read across its order, on top of a streamed one
    double transposed_factor = 0;  // a kernel's bytes, where they are first brought into another order
    bool pointwise = false;        // it has pointwise FLOPs, and there is a unit for them
    bool cache_hidden = false;     // the last cache is no slower than dram
    double issue_s_per_byte = 0;   // of results, where instructions and not bytes are the limit; 0: never
    bool direct = false;           // a convolution may run on the vector unit instead
    double direct_s_per_flop = 0;
    double most_bytes = 0;  // of an operand that kernels count by 32 bits; 0: they can have any
    double large_s_per_flop = 0;
    // A board that is always at work has no more power than it may draw for long; 0: it is not limited.
    double sustained_s_per_flop = 0;
    double sustained_s_per_byte = 0;
    const TileMenu* menu = nullptr;
    TileCosts tiles;
    RowCosts rows;
    AttentionCosts attention;
    WinogradCosts winograd;
};

struct CpuCosts {
    double cores = 0;
    bool shaped = false;
    bool matrix = false;
    double engine_s_per_flop = 0;
    double vector_s_per_flop = 0;
    double element_bytes = 1;
    double launch_s = 0;
    bool depthwise = false;              // a convolution of each channel by itself
    bool rows = false;                   // a loop that is split by rows
    bool copies_activations = false;     // a library copies activations into its layout, too
    bool copies_results = false;         // and results out of it
    double least_shared = 0;             // elements below which one thread does all; 0: as many as have work
    double region_s = 0;                 // of a parallel loop, for each thread
    double fault_s_per_byte = 0;         // of memory that is mapped anew
    double loop_s[kSlowLoopCount] = {};  // a hundredth of an element, on one core
    double copying_s = 0;                // an element into a library's layout, on one core; 0: by its bytes
    double reorder_s = 0;                // an element from one order of axes into another, on one core
    double packing_s = 0;                // an element of weights into panels, on all cores; 0: not known
    double gemv_s = 0;                   // an element of weights that meet a lone row, on all cores
};

struct SystolicCosts {
    bool shaped = false;
    bool attention = false;
    bool direct = false;
    double rows = 1;
    double cols = 1;
    double units = 1;
    double cycle_s = 0;
    double engine_s_per_flop = 0;
    double vector_s_per_flop = 0;
    double launch_s = 0;
};

// What a kernel draws beyond what the machine draws anyway.
struct EnergyCosts {
    double engine_j_per_flop = 0;
    double vector_j_per_flop = 0;
    // Joules of the arithmetic and of the last cache together, where all of it grows with one column.
    Affine together;
    bool one_column = true;
    double cache_j_per_byte = 0;  // of the last cache and of the way to it
    double dram_j_per_byte = 0;   // on top of that
    double per_cache = 0;         // 1 / its bytes
    double most_w = 0;            // the board's limit leaves no more
};

// A kernel with what one machine makes of its kind and dtype; one of the three is set.
struct BoundKernel {
    MachineKind machine = MachineKind::gpu;
    double spread = 0;  // of its time, as a fraction
    KernelTerms terms{};
    EnergyCosts energy;
    GpuCosts gpu;
    CpuCosts cpu;
    SystolicCosts systolic;
};

}  // namespace infercost

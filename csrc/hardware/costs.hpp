// Costs of a kernel on a machine, before any size is known. Plain data without the standard library, because
// code that is compiled for other instruction sets reads it (see simd/vec.hpp). Rates are stored as seconds
// per unit, because a multiplication is much faster than a division.
#pragma once

#include "core/kernel_terms.hpp"

namespace infercost {

enum class MachineKind { gpu, cpu, systolic };

inline constexpr int kMaxCaches = 7;

struct Tile {
    double rows;
    double cols;
    double most_rows = 0;  // most rows of a product for this tile, if a library selects by rows only
    double sharing = 1;    // cores that compute it together
};

inline constexpr int kMostTiles = 6;

// The tiles of a library's kernels.
struct TileMenu {
    int count;
    Tile tiles[kMostTiles];
};

// Fraction of a window's time if a compiler keeps channels innermost, because windows vectorize.
inline constexpr double kCompiledWindow = 0.2;

struct MemoryCosts {
    double dram_s_per_byte = 0;
    double last_capacity = 0;    // of the last cache; 0 if there is none
    double weight_capacity = 0;  // the same for weights until the next forward
    double last_cache_s_per_byte = 0;
    int caches = 0;  // levels that may serve a working set, inner to outer
    double capacity[kMaxCaches] = {};
    double s_per_byte[kMaxCaches] = {};
};

// Cores that compute tiles of a product, on the matrix or on the vector unit.
struct TileCosts {
    double core_s_per_flop = 0;   // one core at its reachable rate
    double operand_s = 0;         // latency of fetching operands, per element of the reduction
    double exposed_operands = 0;  // share of the shorter of arithmetic and latency that is not hidden
    double round_s = 0;           // each additional round of tiles on a core: its pipeline drains and fills
    double exposed_memory = 0;    // share of the shorter of cores and DRAM that is not hidden
    double split_length = 0;      // minimum length of a part of a split reduction
    double most_splits = 0;       // maximum number of parts
    double split_s = 0;           // the pass that adds the partial sums
    double split_s_per_element = 0;
    // Rows of operands further apart than `page_bytes` need more pages than the TLB of a core holds.
    double page_bytes = 0;  // 0: it holds them all
    double page_cost = 0;
    double page_most = 0;
    double operand_bytes = 4;
    double depth_overhead = 0;  // time to fill the pipeline, as elements of the reduction
    double edge = 0;            // extra time per result of a 64 x 64 tile over a 128 x 128 tile
    bool by_rows = false;       // the number of rows selects the tile; otherwise the fastest is used
};

// Row kernels (softmax, norms), and the share of a row that is still in a cache when it is read again.
struct RowCosts {
    double issue_s = 0;  // of an element, if rows in flight wait for instructions; 0: they wait for latencies
    double element_bytes = 4;
    double threads = 0;   // of one core, or of the blocks that it holds at once
    double block = 0;     // threads per row; 0: as in softmax
    double held = 0;      // longest row that fits registers
    double passes = 0;    // additional reads of a row that does not fit
    double l1_bytes = 0;  // L1 bytes of one core for rows in flight
    double l2_bytes = 0;
    double l1_in_l2 = 0;  // 1: both caches together hold the rows of all cores
    double width = 1;     // width of the transition at which a cache overflows
    double start_s = 0;   // of a block before its first elements
    double trip_s = 0;    // of a block over its part of a row
    double element_s = 0;
};

struct AttentionCosts {
    double core_s_per_flop = 0;
    double narrow_core_s_per_flop = 0;  // for keys narrower than queries
    double exponential_s = 0;           // on one core
    double wide = 1;                    // time of products of heads that exceed one kernel
    double query_rows = 1;              // of a tile
    bool packs = true;                  // heads that share keys share tiles of queries
    double tile_s = 0;                  // to start a tile of queries
    double longest = 0;                 // share of the longest tile that is added to the mean
    double exposed_memory = 0;
    double unit_rows = 1;    // most queries that are held while keys are streamed
    double decode_rows = 0;  // rows that are computed for any number of such queries
    double key_block = 1;
    double decode_start_s = 0;
    double decode_s_per_byte = 0;  // of one core: its share of DRAM bandwidth
    double cache_bytes = 0;
    double cached_s_per_byte = 0;           // of one core, if the last cache holds the keys
    double result_s_per_byte = 0;           // queries and results, if keys are streamed
    double narrow_s_per_element = 0;        // narrow keys and values that a core turns
    double narrow_s = 0;                    // the kernel that converts queries to the dtype of keys
    double narrow_s_per_query_element = 0;  // the same, for each element
    double wide_passes = 0;                 // passes over partial results of heads that exceed one kernel
    double combine_s = 0;
    double combine_split_s = 0;
};

// Winograd's algorithms for convolutions.
struct WinogradCosts {
    double fused_s_per_flop = 0;  // of a core; 0 if there are no fused kernels
    double product_s_per_flop = 0;
    double pass_s_per_byte = 0;
    double element_bytes = 4;
    double launch_s = 0;
};

struct GpuCosts {
    enum class Shape { none, rows, tiles, winograd, attention, unshaped } shape = Shape::none;
    double cores = 0;
    double engine_s_per_flop = 0;  // all cores of the contraction engine
    double vector_s_per_flop = 0;  // 0 if there is no vector engine
    double floor_s = 0;            // launch gap, plus the extra time of the smallest kernel
    double dram_factor = 1;        // time of a byte relative to a stream
    double turnaround = 0;         // of DRAM between reading and writing
    double strided_factor = 0;     // extra cost of a byte that is read across its storage order
    double transposed_factor = 0;  // passes over a kernel's bytes to change their layout first
    bool pointwise = false;        // has pointwise FLOPs, and there is a unit for them
    bool cache_hidden = false;     // the last cache is at least as fast as DRAM
    double issue_s_per_byte = 0;   // of results, if instructions are the limit; 0: never
    bool chained = false;          // a product reads what the kernel before it left in the cache
    double dram_byte_per_s = 0;    // that a chained product reaches
    bool direct = false;           // a convolution may run on the vector unit instead
    double direct_s_per_flop = 0;
    double most_bytes = 0;  // largest operand of kernels with 32-bit indices; 0: no limit
    double large_s_per_flop = 0;
    // Energy divided by the power of the board; 0: no limit.
    double power_s_per_flop = 0;
    double power_s_per_byte = 0;
    const TileMenu* menu = nullptr;
    TileCosts tiles;
    RowCosts rows;
    AttentionCosts attention;
    WinogradCosts winograd;
};

// torch's grain size: a loop over fewer elements is not split between threads.
inline constexpr double kGrainElements = 32768;

struct CpuCosts {
    double cores = 0;
    bool shaped = false;
    bool matrix = false;
    double engine_s_per_flop = 0;
    double row_s_per_flop = 0;  // attention of one query; 0: as of several
    double vector_s_per_flop = 0;
    double element_bytes = 1;
    double launch_s = 0;
    bool depthwise = false;              // a convolution with one channel per group
    bool rows = false;                   // a loop that is split by rows
    bool copies_activations = false;     // a library also copies activations into its layout
    bool copies_results = false;         // and results out of it
    double least_shared = 0;             // with fewer elements, one thread runs the loop; 0: no minimum
    double cold_s = 0;                   // added to launch_s if the caches of a core were swept
    double apart = 0;                    // launches from one of the same op to the next
    double private_capacity = 0;         // bytes of the largest private caches of all cores
    double region_s = 0;                 // of a parallel loop, per thread
    double fault_s_per_byte = 0;         // of newly mapped memory; 0: buffers are reused
    double allocated_s_per_byte = 0;     // of results that no cache holds, read before they are overwritten
    double loop_s[kSlowLoopCount] = {};  // a hundredth of an element, on one core
    double copying_s = 0;                // an element into a library's layout, on one core; 0: by its bytes
    double reorder_s = 0;                // an element from one order of axes to another, on one core
    bool weights = false;                // a product with weights
    double shares_per_byte = 0;          // of weights: parts that are worth a thread
    double packing_s_per_byte = 0;       // of weights into panels, on all cores; 0: they are not packed
    double matrix_packing_s = 0;         // of an element of a matrix that is no weight, on all cores
    double gemv_s_per_byte = 0;          // of weights in a product with few rows, on all cores; 0: no limit
    double weight_passes = 1;            // time of weights beyond the private caches relative to a stream
};

struct SystolicCosts {
    bool shaped = false;
    bool attention = false;
    bool direct = false;     // the vector unit computes products where it is faster
    bool hosted = false;     // no DRAM: only weights pass the host link
    double load_rows = 1;    // rows that stream through an array while a tile of weights is loaded
    double dram_factor = 1;  // time of a byte relative to a stream
    double rows = 1;
    double cols = 1;
    double units = 1;
    double cycle_s = 0;
    double engine_s_per_flop = 0;
    double vector_s_per_flop = 0;
    double launch_s = 0;
};

// One way to run a collective: start_s + max(least_s, bytes * s_per_byte), for messages up to most_bytes.
struct ExchangeWay {
    double start_s = 0;
    double steps_s = 0;  // part of start_s: steps between devices and between nodes
    double s_per_byte = 0;
    double link_s_per_byte = 0;  // the same if the network between nodes were free
    double least_s = 0;
    double most_bytes = 0;
};

inline constexpr int kMostWays = 8;

// The fastest way is used. `bytes` are those of the whole message.
struct ExchangeCosts {
    int count = 0;  // 0: nothing is exchanged
    ExchangeWay ways[kMostWays];
    double copy_s = 0;  // eager execution by an engine: the copy of the message into a buffer of its own
    double copy_s_per_byte = 0;
    double host_s = 0;  // host time of the call beyond that of another op, while the device runs
};

// Energy of a kernel above static power.
struct EnergyCosts {
    double engine_j_per_flop = 0;
    double vector_j_per_flop = 0;
    // Joules of the arithmetic and of the last cache together, if all of it is proportional to one column.
    Affine together;
    bool one_column = true;
    double cache_j_per_byte = 0;  // of the last cache and the path to it
    double dram_j_per_byte = 0;   // in addition to the cache
    double per_cache = 0;         // 1 / bytes of the cache
    double link_j_per_byte = 0;   // of a collective
    double most_w = 0;            // dynamic power within the board's limit
};

// A kernel with the costs of its kind and dtype on one machine; one of the four is set. A collective has the
// last, on every machine.
struct BoundKernel {
    MachineKind machine = MachineKind::gpu;
    double spread = 0;  // of its time, as a fraction
    int band = 0;       // the class whose spread that is: name_of_band() of hardware/machine.hpp
    KernelTerms terms{};
    EnergyCosts energy;
    GpuCosts gpu;
    CpuCosts cpu;
    SystolicCosts systolic;
    ExchangeCosts exchange;
};

}  // namespace infercost

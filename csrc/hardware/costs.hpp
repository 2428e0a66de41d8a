// What a machine makes of a kernel before any size is known. Plain data without the standard library: it is
// read by code that is compiled for other instruction sets (see simd/vec.hpp). Rates are kept as seconds per
// unit, since a product takes a fraction of the time of a division.
#pragma once

#include "core/kernel_terms.hpp"

namespace infercost {

enum class MachineKind { gpu, cpu, systolic };

inline constexpr int kMaxCaches = 7;
inline constexpr int kTileCount = 10;
inline constexpr int kSideCount = 4;

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

struct GpuCosts {
    enum class Shape { none, tiles, attention, unshaped } shape = Shape::none;
    double cores = 0;
    double core_s_per_flop = 0;    // one core of the contraction engine
    double engine_s_per_flop = 0;  // all of them
    double vector_s_per_flop = 0;  // 0: no vector engine
    double fetch_s_per_byte = 0;   // of operands, from the last cache to the cores
    double operand_bytes = 0;
    double floor_s = 0;   // launch gap, and what the smallest contraction costs beyond it
    bool direct = false;  // a convolution may run on the vector unit instead
    // Tiles of the menu that can win; the first few of them suffice where there is work for all cores.
    int tile_count = 0;
    int busy_tile_count = 0;
    int tiles[kTileCount] = {};
    bool busy_sides[kSideCount] = {};  // numbers of rows that those few have
};

struct CpuCosts {
    double cores = 0;
    bool shaped = false;
    bool matrix = false;
    double engine_s_per_flop = 0;
    double vector_s_per_flop = 0;
    double element_bytes = 1;
    double launch_s = 0;
    bool depthwise = false;           // a convolution of each channel by itself
    bool rows = false;                // a loop that is split by rows
    bool copies_activations = false;  // a library copies activations into its layout, too
    double region_s = 0;              // of a parallel loop, for each thread
    double fault_s_per_byte = 0;      // of memory that is mapped anew
    double loop_s[kLoopCount] = {};   // a hundredth of an element, on one core
    double reorder_s = 0;             // an element of weights into a library's order, on one core
    double packing_s = 0;             // an element of weights into panels, on all cores; 0: not known
    double gemv_s = 0;                // an element of weights that meet a lone row, on all cores
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

// A kernel with what one machine makes of its kind and dtype; one of the three is set.
struct BoundKernel {
    MachineKind machine = MachineKind::gpu;
    double spread = 0;  // of its time, as a fraction
    KernelTerms terms{};
    GpuCosts gpu;
    CpuCosts cpu;
    SystolicCosts systolic;
};

}  // namespace infercost

// Decomposes the time of a kernel: the part of each term that would disappear without one mechanism. The same
// loops run on a kernel without the mechanism, so no formula is duplicated. For one point, not for sweeps.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evaluate/run.hpp"
#include "hardware/hardware.hpp"
#include "plan/plan.hpp"

namespace infercost {

enum class Algorithm { none, tiles, winograd, direct };
std::string_view name_of(Algorithm algorithm);

// The tile of the menu that a product uses, and the distribution of its tiles over the cores.
struct Tiling {
    Tile tile{};
    double tiles = 0;   // tiles of the result
    double parts = 1;   // splits of each reduction
    double rounds = 0;  // rounds of tiles on the busiest core
    double filled = 0;  // share of cores x rounds that is occupied by tiles
};

struct Part {
    std::string_view name;
    double seconds;
};

// One kernel on one machine at one point.
struct KernelEstimate {
    std::string name;  // of the op that determines the kernel
    WorkKind kind = WorkKind::unknown;
    bool copies_input = false;                     // into the memory of a recorded graph
    std::vector<std::vector<NodeIndex>> launches;  // the nodes of each launch
    KernelSeconds terms{};                         // of one launch
    Bound bound = Bound::compute;
    double energy_j = 0;         // of one launch; NaN if the machine's power is unknown
    double flops = 0;            // of one launch, dense
    double traffic_bytes = 0;    // bytes that one launch reads and writes after fusion
    double sent_bytes = 0;       // bytes of one launch that leave the device over its links
    double ideal_compute_s = 0;  // arithmetic alone, with all cores at their reachable rate
    double stream_s = 0;         // all bytes once, streamed from DRAM
    Engine engine;               // the engine of its arithmetic
    std::string band;            // class of kernels whose error band it has, such as `tiles_fp8`
    std::string note;            // a remark for the reader, usually empty
    std::string_view effect;     // the main reason for its time (evaluate/effects.hpp)
    double effect_share = 0;     // of its latency
    Algorithm algorithm = Algorithm::none;
    std::optional<Tiling> tiling;
    // Losses of each term: host, start, engine, regions, steps (launch); network (link); power, edges,
    // padding, waves, depth, pages, operands, split, exponentials, keys, starts, rows, issue, idle, loops,
    // reorder (compute); strided, again, transposes, faults (dram); packing (cache).
    std::vector<Part> parts;
};

// The longest term, or launch if starting a kernel takes longer than running it.
Bound bound_of(const KernelSeconds& terms);

// Terms of one launch of a kernel, by its index in the plan.
struct KernelTime {
    std::size_t kernel;
    KernelSeconds terms;
};

// The terms of estimate_kernels() without the reasons for them, which take many times as long.
std::vector<KernelTime> kernel_times(const Plan& plan, const Sizes& sizes, const Hardware& hardware);

// One estimate per kernel that runs on the machine, in the plan's order. Sums over all launches equal the
// columns of evaluate().
std::vector<KernelEstimate> estimate_kernels(const Plan& plan, const Sizes& sizes, const Hardware& hardware);

}  // namespace infercost

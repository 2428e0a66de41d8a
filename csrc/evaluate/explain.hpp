// Why a kernel takes as long as it does: which part of each term would go if one mechanism were not there.
// The same loops answer, given a kernel without it, so that no formula stands twice. For one point, beside a
// sweep.
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

// The tile of the menu that a product takes, and how its tiles fall on the cores.
struct Tiling {
    Tile tile{};
    double tiles = 0;   // of the result
    double parts = 1;   // into which each reduction is split
    double rounds = 0;  // of tiles on the busiest core
    double filled = 0;  // share of cores x rounds that has a tile
};

struct Part {
    std::string_view name;
    double seconds;
};

// One kernel on one machine at one point.
struct KernelEstimate {
    std::string name;  // of the op that leads it
    WorkKind kind = WorkKind::unknown;
    std::vector<std::vector<NodeIndex>> launches;  // the nodes of each
    KernelSeconds terms{};                         // of one launch
    Bound bound = Bound::compute;
    double energy_j = 0;         // of one launch; not a number where the machine's power is not known
    double flops = 0;            // of one launch, dense
    double traffic_bytes = 0;    // that one launch reads and writes, as the plan has fused it
    double ideal_compute_s = 0;  // arithmetic alone, all cores at the rate that they reach
    double stream_s = 0;         // all bytes once, from dram as a stream
    Engine engine;               // that does its arithmetic
    std::string note;            // a remark for the reader, empty as a rule
    Algorithm algorithm = Algorithm::none;
    std::optional<Tiling> tiling;
    // Of a term, beyond what is ideal: host, start, regions (launch); power, edges, padding, waves, depth,
    // pages, operands, split, exponentials, keys, starts, rows, issue, idle, loops, reorder (compute);
    // strided, again, transposes, faults (dram); packing (cache).
    std::vector<Part> parts;
};

// The longest term, or launch where starting a kernel takes longer than running it.
Bound bound_of(const KernelSeconds& terms);

// One for each kernel, in the plan's order. Sums over all launches are the columns of evaluate().
std::vector<KernelEstimate> estimate_kernels(const Plan& plan, const Sizes& sizes, const Hardware& hardware);

}  // namespace infercost

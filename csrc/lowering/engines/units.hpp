// Units: groups of nodes between products that one kernel of an engine runs.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "lowering/engines/kernel_rows.hpp"
#include "lowering/flow.hpp"

namespace infercost {

using Nodes = std::vector<NodeIndex>;

struct FusedUnit {
    Nodes nodes;
    Pattern pattern = Pattern::pointwise;
    bool layout = false;  // moves nothing: an engine's kernels write where the next one reads
};

struct Units {
    std::vector<FusedUnit> units;
    // The unit of each node; -1: it stays as captured, or is no work between products.
    IndexedVector<NodeIndex, int> of_node;
};

// Nodes of one stage that are connected form a region; norms, routers and rotations in it are units of their
// own, and what is left is one unit. An engine without a kernel for sums and norms adds in one of its own.
Units find_units(const Flow& flow, const EngineRows& rows);

// "engine.add_norm", without the overload.
inline std::string_view op_name(Pattern pattern) {
    const std::string_view full = op_of(pattern);
    return full.substr(0, full.rfind('.'));
}

// Sums over a row: of a norm.
bool is_statistic(const Flow& flow, NodeIndex node);
bool is_top(const Flow& flow, NodeIndex node);
// Copies values into another layout or dtype, without arithmetic.
bool is_layout(const Flow& flow, NodeIndex node);
// Memory that later nodes fill.
bool makes_buffer(const Flow& flow, NodeIndex node);
// The node that computed what a view shows.
NodeIndex through_views(const Flow& flow, NodeIndex node);

}  // namespace infercost

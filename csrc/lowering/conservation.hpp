// Whether a rewrite of a graph kept the products of the graph before it. All shares are of contraction FLOPs
// at the default sizes, without what is known before the forward, and 1 where nothing was lost or doubled.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/graph.hpp"

namespace infercost {

// FLOPs of a rewritten graph over those of the graph before it; passes may remove what no result needs.
double kept_share(const std::shared_ptr<const Graph>& before, const std::shared_ptr<const Graph>& now);

// The same for the graph of one of several ranks, `copies` of which have tokens of their own. Each product
// must have at least its equal part in it, and at most the whole of all copies whose tokens the ranks
// exchange: the share of the first one that has not, in its equal parts if it has less. Infinite if the
// number of products differs.
double kept_by_ranks(const std::shared_ptr<const Graph>& before, const std::shared_ptr<const Graph>& rank,
                     std::int64_t ranks, std::int64_t copies = 1);

// FLOPs of all stages of a pipeline over those of the graph that was cut.
double kept_by_stages(const std::shared_ptr<const Graph>& before,
                      std::span<const std::shared_ptr<const Graph>> stages);

}  // namespace infercost

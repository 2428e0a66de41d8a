// Writes the graph of one rank: the lengths of its tensors, the arguments that give lengths, the collectives.
#pragma once

#include "lowering/parallel/layout.hpp"
#include "lowering/parallel/partial_sums.hpp"
#include "lowering/parallel/token_shares.hpp"

namespace infercost {

RankGraph write_rank(const std::shared_ptr<const Graph>& graph, Relations& relations, const Layout& layout,
                     const PartialSums& sums, const TokenShares& tokens);

}  // namespace infercost

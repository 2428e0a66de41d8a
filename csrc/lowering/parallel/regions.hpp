// Regions: the nodes between the tokens that products read and the sums of these products. Inside and outside
// of them a rank may have different shares of the tokens, which collectives gather and scatter.
#pragma once

#include <set>
#include <vector>

#include "lowering/parallel/partial_sums.hpp"

namespace infercost {

struct Region {
    std::vector<NodeIndex> nodes;
    std::vector<Operand> entries;  // tokens that it reads
    NodeIndex last;                // makes the sum
    bool attends = false;          // its products have heads
};

// The regions that end in these sums, but for those that nodes of `done` make. Throws InputError
// for a region that reads tokens elsewhere, too.
std::vector<Region> regions_of(Relations& relations, const PartialSums& sums,
                               const std::set<NodeIndex>& done = {});

}  // namespace infercost

// Sums and tokens that nodes of one rank read in the place of its parts.
#pragma once

#include <map>
#include <vector>

#include "core/indexed.hpp"
#include "lowering/parallel/expert_rows.hpp"
#include "lowering/parallel/rank_edits.hpp"

namespace infercost {

class RankSums {
  public:
    RankSums(RankEdits& edits, ExpertRows& experts)
        : shapes_(edits.shapes), edits_(edits), experts_(experts) {}

    // Adds up the parts of all ranks.
    void join(const Joined& joined);
    // Tokens of all ranks, for some nodes.
    void gather(const Gathered& gathered);
    // A result of the graph that all ranks return.
    void return_all(TensorIndex t, std::string_view collective);

  private:
    // Nodes after a join read the sum, up to one that writes the tensor again.
    void read_instead(const Joined& joined, TensorIndex sum);
    const std::vector<NodeIndex>& readers_of(TensorIndex t);

    const LocalShapes& shapes_;
    RankEdits& edits_;
    ExpertRows& experts_;
    std::map<TensorIndex, TensorIndex> summed_;  // partial sum -> its sum
    IndexedVector<TensorIndex, std::vector<NodeIndex>> readers_;
};

}  // namespace infercost

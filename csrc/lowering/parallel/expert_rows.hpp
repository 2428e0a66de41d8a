// Tokens of experts on one rank: sent to the ranks of their experts, and returned.
#pragma once

#include "lowering/parallel/rank_edits.hpp"

namespace infercost {

class ExpertRows {
  public:
    explicit ExpertRows(RankEdits& edits) : shapes_(edits.shapes), edits_(edits) {}

    // Tokens are sent to the ranks of their experts, each rank of a copy with its share of them.
    void dispatch(NodeIndex node);
    // Products of the experts that have rows.
    void count(const Experts& experts);
    // Results of experts return to the ranks of their tokens, which add them up.
    void combine(const Joined& joined, const std::vector<Expr>& shape, TensorIndex sum);
    // Drops nodes between the results of experts and their sum, which a combine replaces.
    void drop_unread();

  private:
    void add_experts(std::vector<NamedArgument>& arguments, TensorIndex rows) const;

    const LocalShapes& shapes_;
    RankEdits& edits_;
};

}  // namespace infercost

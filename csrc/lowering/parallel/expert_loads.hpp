// Tokens of experts, and the busiest of the ranks that experts lie on: its experts decide how long a step
// takes.
#pragma once

#include <cstdint>
#include <vector>

#include "core/expr.hpp"
#include "lowering/parallel/layout.hpp"

namespace infercost {

class ExpertLoads {
  public:
    // Of a layer whose tokens are sent to `top_k` experts each. Throws InputError for loads of
    // another number of experts.
    ExpertLoads(const Layout& layout, std::int64_t experts, std::int64_t top_k);

    // Rows of the busiest rank over the mean, in thousandths: 1000 where it depends on the number of tokens.
    std::int64_t share() const { return share_; }
    std::int64_t top_k() const { return top_k_; }
    // Rows of the busiest rank, of those that one copy of the model has before its experts are divided.
    Expr rows(const Expr& all) const;
    // Experts of the busiest rank that have rows.
    Expr experts(const Expr& all) const;

  private:
    Routing routing_;
    std::int64_t ranks_;  // that experts lie on
    std::int64_t parts_;  // ranks of one copy, which its rows are divided among
    std::int64_t top_k_;
    std::int64_t share_ = 1000;
    std::vector<double>
        chosen_;  // of each expert on the busiest rank: the part of all tokens that are sent to it
};

// Whether experts lie on more ranks than those that share the tokens, which are sent to them.
bool sends_tokens(const Layout& layout);

}  // namespace infercost

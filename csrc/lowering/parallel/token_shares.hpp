// Shares of the tokens: ranks of one group may have different tokens in some parts of a model. With
// `attention_data` they attend to sequences of their own, and the other products read the tokens of all; with
// `sequence` norms and sums between products are on a share of the tokens.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "lowering/parallel/partial_sums.hpp"

namespace infercost {

// Tokens that are gathered for some nodes.
struct Gathered {
    TensorIndex tensor;
    NodeIndex after;
    std::vector<NodeIndex> readers;
};

struct TokenShares {
    std::set<TensorIndex> tensors;  // with another number of tokens than in the captured graph
    std::set<NodeIndex> nodes;      // that make them
    Replacements replaced;          // their number of tokens
    std::vector<Gathered> gathered;
    std::set<TensorIndex> scattered;    // sums of which each rank gets its tokens
    std::vector<TensorIndex> returned;  // results of the graph that are gathered
    std::vector<TensorIndex> summed;    // gradients of which each rank has those of its tokens
    std::int64_t devices = 1;           // ranks with different tokens
};

// Throws InputError as parallel_graph does.
TokenShares token_shares(Relations& relations, const Layout& layout, const PartialSums& sums);

}  // namespace infercost

// Keys and values of all ranks that share the tokens of an attention.
#pragma once

#include <span>
#include <vector>

#include "core/graph_rewriter.hpp"

namespace infercost {

struct GatheredPart {
    TensorIndex tensor;
    DType dtype;
    std::vector<Expr> local;  // its lengths on a rank
    std::vector<Expr> whole;  // and with the tokens of all
};

// Gathers tensors in one message before a node: they are laid side by side, gathered, and viewed as before.
// Returns the whole tensors.
std::vector<TensorIndex> gather_parts(GraphRewriter& rewriter, NodeIndex before,
                                      std::span<const GatheredPart> parts, std::int64_t devices,
                                      std::int64_t nodes);

}  // namespace infercost

// Ulysses: ranks that share the tokens of an attention exchange them for heads, so that each has all tokens
// of some heads, and exchange the result back (DeepSpeed-Ulysses, Jacobs et al. 2023).
#pragma once

#include <vector>

#include "core/function_ref.hpp"
#include "core/graph_rewriter.hpp"
#include "lowering/flow.hpp"

namespace infercost {

struct HeadExchange {
    NodeIndex attention;
    std::int64_t devices;
    std::int64_t nodes;
    // Lengths of an operand or a result on a rank, and with the tokens of all.
    FunctionRef<std::vector<Expr>(TensorIndex)> local;
    FunctionRef<std::vector<Expr>(TensorIndex)> whole;
};

// Puts an all-to-all before the attention for query, key and value each, and one after it. Throws
// InputError where the heads of one of them cannot be divided, or where the attention has a mask
// over tokens or several results.
void exchange_heads(GraphRewriter& rewriter, const Flow& flow, const HeadExchange& exchange);

}  // namespace infercost

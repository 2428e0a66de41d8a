// What passes the boundary of a forward: the inputs that it is given, the results that it hands out, the
// weights that have to be there, and how many tokens of a language it reads.
#pragma once

#include <memory>
#include <optional>

#include "core/graph.hpp"
#include "ops/precision.hpp"

namespace infercost {

// Quantities stay expressions in all sizes of the graph, those that depend on data as well.
struct Boundary {
    std::int64_t input_tensors = 0;
    Expr input_bytes;  // at the width that the precision stores; caches stay where they are
    std::int64_t output_tensors = 0;
    // Without keys and values of attention, which the next forward needs where they are, and without what was
    // there before: weights, and inputs handed back.
    Expr output_bytes;
    Expr weight_bytes;  // weights and buffers
    // Elements of the integer inputs that the largest table of embeddings is looked up at, with two axes or
    // more (sequences in a batch); none where there is no such input.
    std::optional<Expr> tokens;
    // Keys and values that are held after the forward: those that it returns, or, if it returns none, the
    // caches that it is given. None if there are neither.
    std::optional<Expr> kv_cache_bytes;
    // What the forward adds to them: by how much the returned ones are larger than those that it is given,
    // and what it writes into caches in place.
    Expr kv_cache_growth_bytes;
};

// Of the captured forward: what a precision adds inside of it passes no boundary.
Boundary boundary_of(const std::shared_ptr<const Graph>& graph, const Precision& precision);

}  // namespace infercost

// Data at the boundary of a forward: its inputs, its results, its weights, and the number of tokens that it
// reads.
#pragma once

#include <memory>
#include <optional>

#include "core/graph.hpp"
#include "ops/precision.hpp"

namespace infercost {

// Quantities are expressions in all sizes of the graph, including those that depend on data.
struct Boundary {
    std::int64_t input_tensors = 0;
    Expr input_bytes;  // at the storage width of the precision; without caches, which do not move
    std::int64_t output_tensors = 0;
    // Without keys and values of attention, which the next forward needs in place, and without data that
    // existed before: weights, and inputs that are returned.
    Expr output_bytes;
    Expr weight_bytes;  // weights and buffers
    // Elements of the integer inputs that index the largest embedding table and have at least two axes
    // (batch, sequence); none if there is no such input.
    std::optional<Expr> tokens;
    // Keys and values that are held after the forward: those that it returns, or, if it returns none, its
    // input caches. None if there are neither.
    std::optional<Expr> kv_cache_bytes;
    // Bytes that the forward adds to them: the difference between returned and given caches, plus in-place
    // writes to caches.
    Expr kv_cache_growth_bytes;
};

// Of the captured forward; casts that a precision adds are internal.
Boundary boundary_of(const std::shared_ptr<const Graph>& graph, const Precision& precision);

}  // namespace infercost

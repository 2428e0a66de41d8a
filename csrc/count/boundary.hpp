// Data at the boundary of a forward: its inputs, its results, its weights, and the number of tokens that it
// reads.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph.hpp"
#include "ops/precision.hpp"

namespace infercost {

// How a cache grows with the tokens of a sequence.
enum class CacheKind : std::uint8_t {
    full,     // keys or values of every token
    sliding,  // of the tokens in a window
    latent,   // a vector per token from which products make the keys and values of all heads
    cross,    // of the tokens of an encoder
    state     // of a fixed size: the state of a recurrent layer, or the window of a convolution
};
std::string_view name_of(CacheKind kind);

// A tensor that a forward leaves for the next one: keys, values or a state of one layer.
struct Cache {
    std::string name;    // of the input or the result; empty if its source gave none
    TensorIndex tensor;  // as it is held after the forward
    CacheKind kind;
    DType dtype;  // of its elements, as the precision stores them
    Expr bytes;
    Expr sequence_bytes;  // of one sequence: an element of its first axis
    Expr token_bytes;     // of one position of one sequence; 0 for a state
    Expr positions;       // tokens that it holds of each sequence; 0 for a state
    bool grows = false;   // tokens add positions, in a window until it is full
    Expr added;           // positions that the last token of the forward added: 1, or 0 in a full window
};

// Quantities are expressions in all sizes of the graph, including those that depend on data.
struct Boundary {
    std::int64_t input_tensors = 0;
    Expr input_bytes;  // at the storage width of the precision; without caches, which do not move
    std::int64_t output_tensors = 0;
    // Without keys and values of attention, which the next forward needs in place, without gradients, which
    // the optimizer needs there, and without data that existed before: weights, and inputs that are returned.
    Expr output_bytes;
    Expr weight_bytes;  // weights and buffers
    // Elements of the integer inputs that index the largest embedding table and have at least two axes
    // (batch, sequence); none if there is no such input.
    std::optional<Expr> tokens;
    std::int64_t vocabulary = 0;  // rows of that table
    // Keys, values and states that are held after the forward: those that it returns, or, if it returns none,
    // its input caches.
    std::vector<Cache> caches;
    bool reads_cache = false;  // some of them were given to the forward
    // Their bytes; none if there are none.
    std::optional<Expr> kv_cache_bytes;
    // Peak of activations, without caches, while an engine computes what all tokens of a step need: not the
    // logits, which few of them need. 0 for a graph that no engine launches.
    Expr step_bytes = 0;
};

// Of the captured forward; casts that a precision adds are internal.
Boundary boundary_of(const std::shared_ptr<const Graph>& graph, const Precision& precision);

}  // namespace infercost

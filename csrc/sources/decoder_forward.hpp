// One forward of a decoder that is being built: what all of its parts know.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

#include "sources/decoder_config.hpp"
#include "sources/decoder_weights.hpp"
#include "sources/operators.hpp"

namespace infercost {

constexpr std::int64_t kEndOfDim = std::numeric_limits<std::int64_t>::max();

struct DecoderForward {
    const DecoderConfig& config;
    Operators& on;
    DecoderWeights& weights;
    Expr batch;
    Expr tokens;  // of each sequence in this forward
    Expr past;    // in the caches before it

    bool decodes() const { return config.decodes(); }
    bool is_windowed(std::int64_t layer) const { return config.windowed[static_cast<std::size_t>(layer)]; }
    // Tokens in the cache of a layer before the forward: a window keeps those that the next token attends to.
    Expr cached(bool windowed) const {
        return windowed && decodes() && config.window > 0 ? Expr::minimum(past, Expr(config.window - 1))
                                                          : past;
    }
    // Positions, [count].
    GraphTensor counted_from(const Expr& count, const Expr& first) const {
        return on.with_number("aten.add.Tensor", on.arange(count), first);
    }
    // The root mean square over the last dimension.
    GraphTensor norm(std::string_view name, const GraphTensor& input, std::int64_t width) const;
};

// Which keys a query attends to, [batch, 1, queries, keys]: truth values, or what is added to scores.
GraphTensor decoder_mask(const DecoderForward& forward, bool windowed);

}  // namespace infercost

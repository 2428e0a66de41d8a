// The MLP of a layer of a decoder: dense, or a choice of experts for each token.
#pragma once

#include <cstdint>

#include "sources/decoder_config.hpp"
#include "sources/decoder_weights.hpp"
#include "sources/operators.hpp"

namespace infercost {

class DecoderMlp {
  public:
    DecoderMlp(const DecoderConfig& config, Operators& operators, DecoderWeights& weights)
        : config_(config), on_(operators), weights_(weights) {}

    // down(activation(gate) * up).
    Value gated(const char* name, const Value& input, std::int64_t width, bool bias);
    // Experts of each token (integrations/moe.py and the routers of transformers).
    Value experts(const Value& input);

  private:
    struct Routing {
        Value logits;
        Value shares;  // weights of the experts of each token
        Value chosen;  // their numbers
    };
    Value activated(const Value& gate);
    Routing routed(const Value& flat);
    Value chosen_experts(const Value& flat, const Routing& routing);
    Value indexed(const Value& self, const Value& by, const Shape& shape);

    const DecoderConfig& config_;
    Operators& on_;
    DecoderWeights& weights_;
};

}  // namespace infercost

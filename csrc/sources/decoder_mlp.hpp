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
    GraphTensor gated(const char* name, const GraphTensor& input, std::int64_t width, bool bias);
    // Experts of each token (integrations/moe.py and the routers of transformers).
    GraphTensor experts(const GraphTensor& input);

  private:
    struct Routing {
        GraphTensor logits;
        GraphTensor shares;  // weights of the experts of each token
        GraphTensor chosen;  // their numbers
    };
    GraphTensor activated(const GraphTensor& gate);
    Routing routed(const GraphTensor& flat);
    GraphTensor chosen_experts(const GraphTensor& flat, const Routing& routing);
    GraphTensor indexed(const GraphTensor& self, const GraphTensor& by, const Shape& shape);

    const DecoderConfig& config_;
    Operators& on_;
    DecoderWeights& weights_;
};

}  // namespace infercost

// The attention of a layer of a decoder, and its caches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sources/decoder_forward.hpp"

namespace infercost {

// Keys and values of all layers: inputs of a decode step, and results of each forward.
class DecoderCaches {
  public:
    explicit DecoderCaches(const DecoderForward& forward);

    // Inputs of the graph that a decode step reads.
    const std::vector<GraphTensor>& inputs() const { return inputs_; }
    const std::vector<GraphTensor>& outputs() const { return outputs_; }
    // Without caches, layers with a window count their tokens in a tensor that the forward makes.
    void add_counts();
    // All keys and values of a layer: those in its cache, then the new ones. Layers come in their order.
    std::pair<GraphTensor, GraphTensor> updated(std::int64_t layer, const GraphTensor& key,
                                                const GraphTensor& value);

  private:
    GraphTensor empty();
    GraphTensor of_window(const GraphTensor& all, const std::string& name);

    const DecoderForward& forward_;
    const DecoderConfig& config_;
    Operators& on_;
    std::vector<GraphTensor> inputs_;
    std::vector<GraphTensor> outputs_;
    std::vector<GraphTensor> counts_;
    std::size_t next_input_ = 0;
    std::size_t next_count_ = 0;
};

class DecoderAttention {
  public:
    // What all layers read.
    struct Shared {
        GraphTensor cos;
        GraphTensor sin;
        GraphTensor full_mask;
        GraphTensor window_mask;
    };

    DecoderAttention(const DecoderForward& forward, DecoderCaches& caches, Shared shared)
        : forward_(forward),
          config_(forward.config),
          on_(forward.on),
          caches_(caches),
          shared_(std::move(shared)) {}

    // `of_layer` keeps what lives until the layer returns.
    GraphTensor output(std::int64_t layer, const GraphTensor& hidden, Operators::Frame& of_layer);

  private:
    GraphTensor projected(const char* name, const GraphTensor& hidden, std::int64_t heads);
    GraphTensor rotated(const GraphTensor& x, const GraphTensor& cos, const GraphTensor& sin);
    GraphTensor repeated(const GraphTensor& all);
    GraphTensor fused(std::int64_t layer, const GraphTensor& query, const GraphTensor& keys,
                      const GraphTensor& values);
    GraphTensor eager(std::int64_t layer, const GraphTensor& query, const GraphTensor& all_keys,
                      const GraphTensor& all_values, Operators::Frame& of_layer);

    const DecoderForward& forward_;
    const DecoderConfig& config_;
    Operators& on_;
    DecoderCaches& caches_;
    Shared shared_;
};

}  // namespace infercost

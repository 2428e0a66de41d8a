// The hyperparameters of a decoder of language, as config.json of `transformers` states them, and the types
// that its weights are stored in.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"
#include "sources/gguf_model.hpp"

namespace infercost {

// What the models of one family have in common, and what their configs leave out.
struct DecoderFamily {
    enum class Norm : std::uint8_t { plain, offset };  // offset: times 1 + weight, in float32
    enum class Experts : std::uint8_t { none, mixtral, qwen, qwen_shared };
    enum class Windows : std::uint8_t { none, all, alternating };

    std::string_view name;        // `model_type`
    std::int64_t head_width = 0;  // by default; 0: hidden size / heads
    std::int64_t window = 0;      // by default; 0: none
    Norm norm = Norm::plain;
    Experts experts = Experts::none;
    Windows windows = Windows::none;  // which layers have the window of `sliding_window`
    bool tied = false;                // embeddings, by default
    bool gelu = false;                // the activation, by default
    bool scaled_embeddings = false;   // multiplied by the root of the hidden size
    bool norms_around = false;        // of attention and MLP: before and after
    bool head_norms = false;          // of queries and keys
    bool qkv_bias = false;            // of queries, keys and values, by default
    bool states_bias = false;         // of all four projections, by `attention_bias`
    bool idle_mask = false;           // for a window of 0, which no layer reads
    bool eager_attention = false;     // scores are capped, which no fused kernel of torch does
};

// A type that weights are stored in: elements of a dtype, and what a block of a row has beside them.
struct WeightType {
    DType dtype = DType::bfloat16;
    std::string format;            // empty for plain elements, which products read as they are
    std::int64_t values = 1;       // weights in an element
    std::int64_t group = 0;        // weights in a block
    std::int64_t block_bytes = 0;  // beside the elements of a block
    std::optional<DType> scale;    // of a block, in place of bytes
    std::int64_t bits = 0;         // of a weight, where its elements have fewer
};

// The storage of one weight.
struct StoredWeight {
    WeightType type;
    std::int64_t elements = -1;  // below zero: as many as the parameter has
    std::int64_t bytes = -1;     // in all, where its parts have several types; below zero: those of the type
};

struct DecoderConfig {
    enum class Phase : std::uint8_t { prefill, decode };

    std::string name;
    const DecoderFamily* family = nullptr;
    Phase phase = Phase::decode;
    bool decodes() const { return phase == Phase::decode; }
    DType dtype = DType::float32;  // of activations and caches, and of weights without a type
    std::int64_t layers = 0;
    std::int64_t hidden = 0;
    std::int64_t heads = 0;
    std::int64_t kv_heads = 0;
    std::int64_t head_width = 0;
    std::int64_t feed_forward = 0;
    std::int64_t vocabulary = 0;
    std::int64_t experts = 0;
    std::int64_t experts_per_token = 0;
    std::int64_t expert_width = 0;
    std::int64_t shared_width = 0;
    std::int64_t window = 0;
    std::vector<bool> windowed;  // by layer
    std::vector<bool> sparse;    // by layer: with experts
    std::string activation;      // `silu` or `gelu_pytorch_tanh`
    bool tied = false;
    bool qkv_bias = false;
    bool output_bias = false;
    bool mlp_bias = false;
    bool normalized_experts = false;  // weights of a token's experts have the sum 1
    double norm_epsilon = 1e-6;
    double query_scale = 0;  // gemma2: `query_pre_attn_scalar`
    double attention_cap = 0;
    double result_cap = 0;
    // By name of the parameter; empty where all weights have the dtype of activations.
    std::function<std::optional<StoredWeight>(const std::string& parameter)> stored;

    bool has_windows() const;
};

// Throws std::invalid_argument for a family that is unknown, a setting that the family's graph depends on and
// that this file does not know, and sizes that are out of range.
DecoderConfig decoder_config_from_json(std::string_view text);

// The decoder of a GGUF file; `phase` is prefill or decode. Throws as above, and as GgufModel::config_json().
DecoderConfig decoder_config_of_gguf(std::shared_ptr<const GgufModel> model, std::string_view phase);

}  // namespace infercost

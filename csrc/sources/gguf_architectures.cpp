// The table of architectures of GGUF files: the config of `transformers` for the settings of a file. Keys are
// from llama.cpp (gguf-py/gguf/constants.py), with the meaning of the values that convert_hf_to_gguf.py
// writes.
#include <algorithm>
#include <array>
#include <map>

#include "core/errors.hpp"
#include "core/json.hpp"
#include "sources/gguf_model.hpp"

namespace infercost {
namespace {

constexpr std::int64_t kMostWhole = std::int64_t{1} << 31;
constexpr std::int64_t kMostFactors = 1 << 16;  // of rotations, one for two dimensions of a head
constexpr std::int64_t kSigmoid = 2;            // value of `expert_gating_func`

// Values of a config by key, each as JSON.
class GgufConfig {
  public:
    void set(const std::string& key, std::int64_t value) {
        values_[key] = JsonWriter().integer(value).take();
    }
    void set(const std::string& key, double value) { values_[key] = JsonWriter().number(value).take(); }
    void set(const std::string& key, const char* text) { values_[key] = JsonWriter::quoted(text); }
    void set(const std::string& key, const GgufConfig& inner) { values_[key] = inner.json(); }
    void set_flag(const std::string& key, bool value) { values_[key] = value ? "true" : "false"; }
    void set_none(const std::string& key) { values_[key] = "null"; }
    void set_ones(const std::string& key, std::int64_t count) {
        JsonWriter list;
        list.begin_list();
        for (std::int64_t i = 0; i < count; ++i) list.number(1.0);
        values_[key] = list.end_list().take();
    }
    std::string json() const {
        JsonWriter out;
        out.begin_object();
        for (const auto& [key, value] : values_) out.key(key).raw(value);
        return out.end_object().take();
    }

  private:
    std::map<std::string, std::string> values_;
};

// Layers that a forward runs: without those that predict further tokens.
std::int64_t layers_of(const GgufModel& model) {
    const std::int64_t layers = model.count("block_count", std::nullopt, 1, kMostLayers);
    return layers - model.count("nextn_predict_layers", 0, 0, layers - 1);
}

// A setting that is the same in all layers.
std::int64_t same_in_layers(const GgufModel& model, std::string_view key,
                            std::optional<std::int64_t> otherwise = std::nullopt) {
    const std::vector<std::int64_t> values =
        model.counts(key, model.count("block_count", std::nullopt, 1, kMostLayers), otherwise);
    const bool same =
        std::all_of(values.begin(), values.end(), [&](auto each) { return each == values.front(); });
    if (same) return values.front();
    throw InputError(
        model.spec() + ": " + model.architecture() + "." + std::string(key) +
        " differs by layer, which no config of this architecture states; pass the config of the model it "
        "was converted from as hf:config.json");
}

// Settings of a decoder's tokens, which GGUF files state for a tokenizer.
void set_tokens(GgufConfig& config) {
    for (const char* const key : {"bos_token_id", "eos_token_id", "pad_token_id"}) config.set_none(key);
}

GgufConfig default_rotation(const GgufModel& model, const char* base = "rope.freq_base") {
    GgufConfig rope;
    rope.set("rope_type", "default");
    rope.set("rope_theta", model.number(base, 10'000.0));
    return rope;
}

// Rotations of all heads; the model's window has a base of its own in some families.
GgufConfig rotations(const GgufModel& model, std::int64_t width, const char* base = "rope.freq_base") {
    GgufConfig rope = default_rotation(model, base);
    const std::int64_t rotated = model.count("rope.dimension_count", width, 0, kMostWhole);
    if (rotated != 0 && rotated != width) {
        rope.set("partial_rotary_factor", static_cast<double>(rotated) / static_cast<double>(width));
    }
    return rope;
}

std::int64_t head_width(const GgufModel& model, std::int64_t hidden, std::int64_t heads) {
    const std::int64_t usual = hidden / heads;
    const std::int64_t width =
        model.count("attention.key_length", usual > 0 ? std::optional(usual) : std::nullopt);
    if (model.count("attention.value_length", width) == width) return width;
    throw InputError(model.spec() +
                     ": heads of keys and of values have different widths; expected one of both");
}

// Settings that all decoders have.
void set_decoder(GgufConfig& config, const GgufModel& model) {
    const std::int64_t hidden = model.count("embedding_length");
    const std::int64_t heads = same_in_layers(model, "attention.head_count");
    const std::int64_t width = head_width(model, hidden, heads);
    config.set("vocab_size", model.length("token_embd.weight", 0));
    config.set("hidden_size", hidden);
    config.set("intermediate_size", same_in_layers(model, "feed_forward_length", 1));
    config.set("num_hidden_layers", layers_of(model));
    config.set("num_attention_heads", heads);
    config.set("num_key_value_heads", same_in_layers(model, "attention.head_count_kv", heads));
    config.set("head_dim", width);
    config.set("max_position_embeddings", model.count("context_length", 2048));
    config.set("rms_norm_eps", model.number("attention.layer_norm_rms_epsilon", 1e-5));
    config.set("rope_parameters", rotations(model, width));
    config.set_flag("tie_word_embeddings", !model.has_tensor("output.weight"));
    config.set_flag("attention_bias", model.has_tensor("blk.0.attn_q.bias"));
    set_tokens(config);
}

// `count` is the config's key for the number of experts.
void set_experts(GgufConfig& config, const GgufModel& model, const char* count) {
    config.set(count, model.count("expert_count", std::nullopt, 1, kMostExperts));
    config.set("num_experts_per_tok", model.count("expert_used_count"));
}

std::int64_t expert_width(const GgufModel& model) {
    if (model.has("expert_feed_forward_length")) return model.count("expert_feed_forward_length");
    return model.length("blk." + std::to_string(layers_of(model) - 1) + ".ffn_up_exps.weight", -2);
}

// Layers with a sliding window; the model's family decides which layers have one.
void set_window(GgufConfig& config, const GgufModel& model) {
    const std::int64_t window = model.count("attention.sliding_window", 0, 0, kMostWhole);
    if (window > 0) config.set("sliding_window", window);
}

void set_llama(GgufConfig& config, const GgufModel& model) {
    set_decoder(config, model);
    if (model.count("expert_count", 0, 0, kMostWhole) == 0) {
        config.set("model_type", "llama");
        config.set_flag("mlp_bias", model.has_tensor("blk.0.ffn_up.bias"));
        return;
    }
    config.set("model_type", "mixtral");
    if (model.has("expert_feed_forward_length")) config.set("intermediate_size", expert_width(model));
    set_experts(config, model, "num_local_experts");
    config.set_none("sliding_window");
}

void set_qwen2moe(GgufConfig& config, const GgufModel& model) {
    set_decoder(config, model);
    set_experts(config, model, "num_experts");
    config.set("moe_intermediate_size", expert_width(model));
    config.set("shared_expert_intermediate_size", model.length("blk.0.ffn_up_shexp.weight", 0));
}

void set_qwen3moe(GgufConfig& config, const GgufModel& model) {
    set_decoder(config, model);
    set_experts(config, model, "num_experts");
    config.set("moe_intermediate_size", expert_width(model));
}

void set_gemma2(GgufConfig& config, const GgufModel& model) {
    set_decoder(config, model);
    set_window(config, model);
}

void set_gemma3(GgufConfig& config, const GgufModel& model) {
    set_gemma2(config, model);
    const std::int64_t hidden = model.count("embedding_length");
    const std::int64_t width = head_width(model, hidden, same_in_layers(model, "attention.head_count"));
    GgufConfig both;
    both.set("full_attention", rotations(model, width));
    both.set("sliding_attention", rotations(model, width, "rope.freq_base_swa"));
    config.set("rope_parameters", both);
}

void set_phi3(GgufConfig& config, const GgufModel& model) {
    set_decoder(config, model);
    config.set_none("sliding_window");
    set_window(config, model);
    const std::string factors_long = "rope_factors_long.weight";
    const std::string factors_short = "rope_factors_short.weight";
    if (!model.has_tensor(factors_long) || !model.has_tensor(factors_short)) return;
    const std::int64_t hidden = model.count("embedding_length");
    GgufConfig rope =
        rotations(model, head_width(model, hidden, same_in_layers(model, "attention.head_count")));
    rope.set("rope_type", "longrope");
    rope.set_ones("long_factor", std::min(kMostFactors, model.length(factors_long, 0)));
    rope.set_ones("short_factor", std::min(kMostFactors, model.length(factors_short, 0)));
    rope.set("original_max_position_embeddings", model.count("rope.scaling.original_context_length", 4096));
    config.set("rope_parameters", rope);
}

void set_gpt_oss(GgufConfig& config, const GgufModel& model) {
    set_gemma2(config, model);
    set_experts(config, model, "num_local_experts");
    config.set("intermediate_size", expert_width(model));
}

void set_deepseek_experts(GgufConfig& config, const GgufModel& model, bool gates_by_sigmoid) {
    set_experts(config, model, "n_routed_experts");
    const std::int64_t groups = model.count("expert_group_count", 1);
    config.set("moe_intermediate_size", expert_width(model));
    config.set("n_shared_experts", model.count("expert_shared_count", 1));
    config.set("n_group", groups);
    config.set("topk_group", model.count("expert_group_used_count", 1));
    if (!gates_by_sigmoid && groups > 1) config.set("topk_method", "group_limited_greedy");
}

void set_deepseek2(GgufConfig& config, const GgufModel& model) {
    const bool gates_by_sigmoid = model.count("expert_gating_func", 1, 0, kMostWhole) == kSigmoid;
    config.set("model_type", gates_by_sigmoid ? "deepseek_v3" : "deepseek_v2");
    const std::int64_t rotated = model.count("rope.dimension_count");
    config.set("kv_lora_rank", model.count("attention.kv_lora_rank"));
    // Files since 2025 state the widths of heads under keys of their own, and the widths of latents under the
    // usual ones.
    const std::string own = model.has("attention.key_length_mla") ? "_mla" : "";
    const std::int64_t key = model.count("attention.key_length" + own);
    config.set("v_head_dim", model.count("attention.value_length" + own));
    if (key <= rotated) {
        throw InputError(model.spec() + ": keys of " + std::to_string(key) + " have " +
                         std::to_string(rotated) + " rotated dimensions; expected fewer");
    }
    config.set("qk_rope_head_dim", rotated);
    config.set("qk_nope_head_dim", key - rotated);
    const std::int64_t heads = same_in_layers(model, "attention.head_count");
    const std::int64_t layers = layers_of(model);
    const std::int64_t dense = model.count("leading_dense_block_count", 0, 0, layers);
    config.set("vocab_size", model.length("token_embd.weight", 0));
    config.set("hidden_size", model.count("embedding_length"));
    config.set("intermediate_size",
               model.counts("feed_forward_length", model.count("block_count"), 1).front());
    config.set("num_hidden_layers", layers);
    config.set("num_attention_heads", heads);
    config.set("num_key_value_heads", heads);
    config.set_none("q_lora_rank");
    if (model.has("attention.q_lora_rank")) config.set("q_lora_rank", model.count("attention.q_lora_rank"));
    config.set("max_position_embeddings", model.count("context_length", 2048));
    config.set("rms_norm_eps", model.number("attention.layer_norm_rms_epsilon", 1e-6));
    config.set("rope_parameters", default_rotation(model));
    config.set_flag("tie_word_embeddings", !model.has_tensor("output.weight"));
    config.set("first_k_dense_replace", dense);
    set_tokens(config);
    if (dense < layers) set_deepseek_experts(config, model, gates_by_sigmoid);
}

void set_glm4moe(GgufConfig& config, const GgufModel& model) {
    set_decoder(config, model);
    set_experts(config, model, "n_routed_experts");
    config.set("moe_intermediate_size", expert_width(model));
    config.set("n_shared_experts", model.count("expert_shared_count", 1));
    config.set("first_k_dense_replace", model.count("leading_dense_block_count", 0, 0, layers_of(model)));
    config.set("n_group", std::int64_t{1});
    config.set("topk_group", std::int64_t{1});
    config.set_flag("use_qk_norm", model.has_tensor("blk.0.attn_q_norm.weight"));
}

void set_granitemoe(GgufConfig& config, const GgufModel& model) {
    set_decoder(config, model);
    set_experts(config, model, "num_local_experts");
    config.set("intermediate_size", expert_width(model));
}

void set_olmoe(GgufConfig& config, const GgufModel& model) {
    set_decoder(config, model);
    set_experts(config, model, "num_experts");
    config.set("intermediate_size", expert_width(model));
}

void set_starcoder2(GgufConfig& config, const GgufModel& model) {
    set_decoder(config, model);
    config.set_flag("use_bias", model.has_tensor("blk.0.attn_output.bias"));
    config.set_none("sliding_window");
    config.set("norm_epsilon", model.number("attention.layer_norm_epsilon", 1e-5));
}

void set_cohere(GgufConfig& config, const GgufModel& model) {
    set_decoder(config, model);
    config.set("layer_norm_eps", model.number("attention.layer_norm_epsilon", 1e-5));
    config.set_flag("use_qk_norm", model.has_tensor("blk.0.attn_q_norm.weight"));
}

void set_cohere2(GgufConfig& config, const GgufModel& model) {
    set_decoder(config, model);
    config.set("layer_norm_eps", model.number("attention.layer_norm_epsilon", 1e-5));
    set_window(config, model);
}

struct GgufArchitecture {
    std::string_view name;   // in GGUF files
    const char* model_type;  // of `transformers`; settings may replace it
    void (*set)(GgufConfig& config, const GgufModel& model);
};
constexpr std::array kGgufArchitectures = {
    GgufArchitecture{"llama",      "llama",       set_llama     },
    GgufArchitecture{"mistral3",   "llama",       set_llama     },
    GgufArchitecture{"qwen2",      "qwen2",       set_decoder   },
    GgufArchitecture{"qwen2moe",   "qwen2_moe",   set_qwen2moe  },
    GgufArchitecture{"qwen3",      "qwen3",       set_decoder   },
    GgufArchitecture{"qwen3moe",   "qwen3_moe",   set_qwen3moe  },
    GgufArchitecture{"gemma",      "gemma",       set_decoder   },
    GgufArchitecture{"gemma2",     "gemma2",      set_gemma2    },
    GgufArchitecture{"gemma3",     "gemma3_text", set_gemma3    },
    GgufArchitecture{"phi3",       "phi3",        set_phi3      },
    GgufArchitecture{"gpt-oss",    "gpt_oss",     set_gpt_oss   },
    GgufArchitecture{"deepseek2",  "deepseek_v3", set_deepseek2 },
    GgufArchitecture{"glm4moe",    "glm4_moe",    set_glm4moe   },
    GgufArchitecture{"olmo2",      "olmo2",       set_decoder   },
    GgufArchitecture{"olmoe",      "olmoe",       set_olmoe     },
    GgufArchitecture{"granite",    "granite",     set_decoder   },
    GgufArchitecture{"granitemoe", "granitemoe",  set_granitemoe},
    GgufArchitecture{"smollm3",    "smollm3",     set_decoder   },
    GgufArchitecture{"starcoder2", "starcoder2",  set_starcoder2},
    GgufArchitecture{"command-r",  "cohere",      set_cohere    },
    GgufArchitecture{"cohere2",    "cohere2",     set_cohere2   },
};

}  // namespace

std::string GgufModel::config_json() const {
    const std::string stated = architecture();
    std::string known;
    for (const GgufArchitecture& row : kGgufArchitectures) {
        if (row.name == stated) {
            GgufConfig config;
            config.set("model_type", row.model_type);
            row.set(config, *this);
            config.set("dtype", std::string(name_of(activations())).c_str());
            return config.json();
        }
        known += (known.empty() ? "" : ", ") + std::string(row.name);
    }
    throw InputError(
        spec_ +
        (stated.empty() ? " has no general.architecture"
                        : " has the architecture '" + stated.substr(0, 60) + "', which is not known") +
        "; expected " + known +
        ". Pass the config of the model it was converted from as hf:config.json, with --quantize q4_k for "
        "example");
}

}  // namespace infercost

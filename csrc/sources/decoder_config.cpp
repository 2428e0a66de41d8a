#include "sources/decoder_config.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "core/json.hpp"

namespace infercost {
namespace {

using Norm = DecoderFamily::Norm;
using Experts = DecoderFamily::Experts;
using Windows = DecoderFamily::Windows;

// Defaults are those of the config classes of transformers 5 (models/*/configuration_*.py).
constexpr std::array kFamilies = {
    DecoderFamily{.name = "llama", .states_bias = true},
    DecoderFamily{.name = "mistral", .window = 4096, .windows = Windows::all},
    DecoderFamily{.name = "qwen2", .qkv_bias = true},
    DecoderFamily{.name = "qwen3", .head_width = 128, .head_norms = true, .states_bias = true},
    DecoderFamily{.name = "gemma",
                  .head_width = 256,
                  .norm = Norm::offset,
                  .tied = true,
                  .gelu = true,
                  .scaled_embeddings = true,
                  .states_bias = true},
    DecoderFamily{.name = "gemma2",
                  .head_width = 256,
                  .window = 4096,
                  .norm = Norm::offset,
                  .windows = Windows::alternating,
                  .tied = true,
                  .gelu = true,
                  .scaled_embeddings = true,
                  .norms_around = true,
                  .states_bias = true,
                  .eager_attention = true},
    DecoderFamily{.name = "mixtral", .experts = Experts::mixtral, .windows = Windows::all},
    DecoderFamily{.name = "qwen2_moe", .experts = Experts::qwen_shared, .qkv_bias = true, .idle_mask = true},
    DecoderFamily{.name = "qwen3_moe", .experts = Experts::qwen, .head_norms = true, .states_bias = true},
};

constexpr std::int64_t kMostWidth = std::int64_t{1} << 31;
constexpr const char* kConversion =
    "convert it where Python is: pyinfercost explore hf:config.json (or FILE.gguf) -o explore.html, or "
    "pyinfercost profile for the command line";

// An object whose keys are read by name; those that decide nothing here are left alone.
class Settings {
  public:
    Settings(const JsonEntry& whole, std::string_view name) : whole_(whole), name_(name) {
        whole.for_each_member(JsonPlace(name), [&](std::string_view key, const JsonEntry& value) {
            (value.is_null() ? nulls_ : found_).emplace(key, value);
        });
    }

    // Whether a key has a value. `null` is none: it leaves the default, unless a caller asks for it.
    bool has(std::string_view key) const { return found_.find(key) != found_.end(); }
    bool is_null(std::string_view key) const { return nulls_.find(key) != nulls_.end(); }

    std::int64_t whole(std::string_view key, std::int64_t otherwise, std::int64_t least,
                       std::int64_t most) const {
        const auto found = found_.find(key);
        if (found == found_.end()) {
            if (otherwise >= least) return otherwise;
            whole_.fail(JsonPlace(name_), " has no '" + std::string(key) + "'; pass all sizes of the model");
        }
        const JsonPlace place(name_, key);
        const std::int64_t value = found->second.integer(place);
        if (value < least || value > most) {
            found->second.fail(place, " is " + std::to_string(value) + "; expected " + std::to_string(least) +
                                          " to " + std::to_string(most));
        }
        return value;
    }
    std::int64_t whole(std::string_view key, std::int64_t otherwise = 0) const {
        return whole(key, otherwise, 1, kMostWidth);
    }
    bool flag(std::string_view key, bool otherwise) const {
        const auto found = found_.find(key);
        return found == found_.end() ? otherwise : found->second.boolean(JsonPlace(name_, key));
    }
    double number(std::string_view key, double otherwise) const {
        const auto found = found_.find(key);
        return found == found_.end() ? otherwise : found->second.number(JsonPlace(name_, key));
    }
    std::string_view text(std::string_view key, std::string_view otherwise) const {
        const auto found = found_.find(key);
        return found == found_.end() ? otherwise : found->second.text(JsonPlace(name_, key));
    }
    template <class Visit>
    void each(std::string_view key, const char* expected, Visit&& visit) const {
        const auto found = found_.find(key);
        if (found == found_.end()) return;
        const JsonPlace place(name_, key);
        found->second.for_each_item(place, expected, [&](const JsonEntry& item) { visit(item, place); });
    }
    // Reads an object; nothing happens where there is none.
    template <class Visit>
    void inner(std::string_view key, Visit&& visit) const {
        const auto found = found_.find(key);
        if (found != found_.end() && found->second.type() == JsonType::object)
            visit(Settings(found->second, key));
    }
    [[noreturn]] void refuse(std::string_view key, const std::string& what) const {
        fail(key, " " + what + ", which has no graph here; " + kConversion);
    }
    [[noreturn]] void fail(std::string_view key, const std::string& what) const {
        whole_.fail(JsonPlace(name_, key), what);
    }

  private:
    JsonEntry whole_;
    std::string_view name_;
    std::map<std::string_view, JsonEntry, std::less<>> found_;
    std::map<std::string_view, JsonEntry, std::less<>> nulls_;
};

const DecoderFamily& family_of(const Settings& config) {
    const std::string_view name = config.text("model_type", "");
    std::string known;
    for (const DecoderFamily& family : kFamilies) {
        if (family.name == name) return family;
        known += (known.empty() ? "" : ", ") + std::string(family.name);
    }
    const std::string given =
        name.empty() ? " is absent; pass the family of the model"
                     : " is '" + std::string(name) + "', a family without a graph here; " + kConversion;
    config.fail("model_type", given + ". Families with a graph are " + known);
}

DType float_of(std::string_view name) {
    for (const DType dtype : {DType::float16, DType::bfloat16, DType::float32}) {
        if (name == name_of(dtype)) return dtype;
    }
    throw std::invalid_argument("the dtype of a decoder is '" + std::string(name) +
                                "'; expected float16, bfloat16 or float32");
}

// Settings that change the operators of a forward in ways that are not known here.
void refuse_unknown(const Settings& config) {
    if (config.has("quantization_config")) config.refuse("quantization_config", "states quantized weights");
    double rotated = config.number("partial_rotary_factor", 1);
    config.inner("rope_parameters", [&](const Settings& rope) {
        if (rope.has("partial_rotary_factor")) rotated = rope.number("partial_rotary_factor", 1);
    });
    if (rotated != 1) config.refuse("partial_rotary_factor", "rotates a part of each head");
    if (config.flag("use_sliding_window", false)) {
        config.refuse("use_sliding_window", "gives some layers a window");
    }
    if (config.flag("use_bidirectional_attention", false)) {
        config.refuse("use_bidirectional_attention", "lets tokens attend to later ones");
    }
    for (const char* parts : {"text_config", "vision_config", "audio_config"}) {
        if (config.has(parts)) config.refuse(parts, "is that of a model with several parts");
    }
}

void read_windows(DecoderConfig& made, const Settings& config) {
    const Windows windows = made.family->windows;
    made.windowed.assign(static_cast<std::size_t>(made.layers), false);
    if (windows == Windows::none) return;
    if (config.is_null("sliding_window")) return;  // no window; an absent key has the default of the family
    made.window = config.whole("sliding_window", made.family->window, 0, kMostWidth);
    if (made.window == 0) return;
    for (std::size_t i = 0; i < made.windowed.size(); ++i) {
        made.windowed[i] = windows == Windows::all || i % 2 == 0;
    }
    if (windows != Windows::alternating || !config.has("layer_types")) return;
    std::size_t layer = 0;
    config.each("layer_types", "a list of types", [&](const JsonEntry& type, const JsonPlace& place) {
        if (layer < made.windowed.size()) made.windowed[layer] = type.text(place) == "sliding_attention";
        ++layer;
    });
    if (layer != made.windowed.size()) {
        throw std::invalid_argument("layer_types of the config has " + std::to_string(layer) +
                                    " entries; expected one for each of " + std::to_string(made.layers) +
                                    " layers");
    }
}

void read_experts(DecoderConfig& made, const Settings& config) {
    made.sparse.assign(static_cast<std::size_t>(made.layers), false);
    if (made.family->experts == Experts::none) return;
    const bool mixtral = made.family->experts == Experts::mixtral;
    made.experts = config.whole(mixtral || !config.has("num_experts") ? "num_local_experts" : "num_experts",
                                0, 1, kMostExperts);
    made.experts_per_token = config.whole("num_experts_per_tok", 0, 1, made.experts);
    made.expert_width = mixtral ? made.feed_forward : config.whole("moe_intermediate_size");
    made.normalized_experts = mixtral || config.flag("norm_topk_prob", false);
    if (made.family->experts == Experts::qwen_shared) {
        made.shared_width = config.whole("shared_expert_intermediate_size");
    }
    const std::int64_t step = mixtral ? 1 : config.whole("decoder_sparse_step", 1);
    for (std::size_t i = 0; i < made.sparse.size(); ++i) {
        made.sparse[i] = (static_cast<std::int64_t>(i) + 1) % step == 0;
    }
    config.each("mlp_only_layers", "a list of layers", [&](const JsonEntry& layer, const JsonPlace& place) {
        const std::int64_t at = layer.integer(place);
        if (at >= 0 && at < made.layers) made.sparse[static_cast<std::size_t>(at)] = false;
    });
}

// 0 for none.
double cap_in(const Settings& config, std::string_view key, double otherwise) {
    return config.is_null(key) ? 0 : config.number(key, otherwise);
}

void read_config(DecoderConfig& made, const Settings& config) {
    made.family = &family_of(config);
    const DecoderFamily& family = *made.family;
    refuse_unknown(config);
    made.dtype = float_of(config.text("dtype", config.text("torch_dtype", "float32")));
    made.layers = config.whole("num_hidden_layers", 0, 1, kMostLayers);
    made.hidden = config.whole("hidden_size");
    made.heads = config.whole("num_attention_heads", 0, 1, made.hidden);
    // Only for Llama is a missing number that of the heads; others have defaults of their own.
    made.kv_heads =
        config.whole("num_key_value_heads", family.name == "llama" ? made.heads : 0, 1, made.heads);
    if (made.heads % made.kv_heads != 0) {
        throw std::invalid_argument("the config has " + std::to_string(made.heads) + " heads and " +
                                    std::to_string(made.kv_heads) +
                                    " key-value heads; expected a multiple of these");
    }
    made.head_width =
        config.whole("head_dim", family.head_width > 0 ? family.head_width : made.hidden / made.heads);
    if (made.head_width % 2 != 0) {
        throw std::invalid_argument("the config has heads of " + std::to_string(made.head_width) +
                                    "; expected an even number, half of which is rotated with the other");
    }
    made.feed_forward = config.whole("intermediate_size");
    made.vocabulary = config.whole("vocab_size");
    made.tied = config.flag("tie_word_embeddings", family.tied);
    const bool states_bias = config.has("attention_bias") && family.name != "qwen2";
    made.qkv_bias =
        states_bias ? config.flag("attention_bias", false) : config.flag("qkv_bias", family.qkv_bias);
    made.output_bias = states_bias && made.qkv_bias && family.experts != Experts::qwen_shared;
    made.mlp_bias = family.name == "llama" && config.flag("mlp_bias", false);
    made.norm_epsilon = config.number("rms_norm_eps", 1e-6);
    const std::string_view by_default = family.gelu ? "gelu_pytorch_tanh" : "silu";
    const std::string_view key = family.name == "gemma2" ? "hidden_activation" : "hidden_act";
    made.activation = config.text(key, by_default);
    if (family.gelu && made.activation == "gelu") made.activation = by_default;  // a value of older releases
    if (made.activation != "silu" && made.activation != "gelu_pytorch_tanh") {
        config.refuse(key, "is '" + made.activation + "'; known are silu and gelu_pytorch_tanh");
    }
    if (family.eager_attention) {
        made.query_scale = config.number("query_pre_attn_scalar", 256);
        made.attention_cap = cap_in(config, "attn_logit_softcapping", 50);
        made.result_cap = cap_in(config, "final_logit_softcapping", 30);
    }
    read_windows(made, config);
    read_experts(made, config);
}

WeightType type_in(const JsonEntry& entry, std::string_view name) {
    const Settings fields(entry, name);
    WeightType made;
    made.dtype = parse_dtype(fields.text("dtype", ""));
    made.format = fields.text("format", "");
    made.values = fields.whole("values", 1, 1, 64);
    made.group = fields.whole("group", 0, 0, 1 << 20);
    made.block_bytes = fields.whole("block_bytes", 0, 0, 1 << 20);
    made.bits = fields.whole("bits", 0, 0, 64);
    if (fields.has("scale")) made.scale = parse_dtype(fields.text("scale", ""));
    if (!made.format.empty() && made.group == 0) {
        throw std::invalid_argument("the type '" + std::string(name) +
                                    "' of weights has a format but no group");
    }
    return made;
}

using StoredWeights = std::map<std::string, StoredWeight, std::less<>>;

StoredWeights weights_in(const JsonEntry& types, const JsonEntry& weights) {
    std::map<std::string, WeightType, std::less<>> known;
    if (types) {
        types.for_each_member(JsonPlace("types"), [&](std::string_view name, const JsonEntry& type) {
            known.emplace(name, type_in(type, name));
        });
    }
    StoredWeights found;
    weights.for_each_member(JsonPlace("weights"), [&](std::string_view name, const JsonEntry& stored) {
        StoredWeight weight;
        const JsonPlace place("weight", name);
        std::string_view type;
        if (stored.is_text()) {
            type = stored.text(place);
        } else {
            const Settings fields(stored, name);
            type = fields.text("type", "");
            constexpr std::int64_t kMost = std::int64_t{1} << 48;
            if (fields.has("elements")) weight.elements = fields.whole("elements", 0, 0, kMost);
            if (fields.has("bytes")) weight.bytes = fields.whole("bytes", 0, 0, kMost);
        }
        const auto of_type = known.find(type);
        if (of_type == known.end()) {
            stored.fail(place, " has the type '" + std::string(type) + "', which is not among `types`");
        }
        weight.type = of_type->second;
        found.emplace(name, std::move(weight));
    });
    return found;
}

DecoderConfig::Phase phase_of(std::string_view word) {
    if (word == "decode") return DecoderConfig::Phase::decode;
    if (word == "prefill") return DecoderConfig::Phase::prefill;
    throw std::invalid_argument("the phase of a decoder is '" + std::string(word) +
                                "'; expected prefill or decode");
}

StoredWeight weight_of(const GgufStored& stored) {
    const GgmlType& type = *stored.type;
    StoredWeight made;
    made.type = {type.dtype, std::string(type.format), type.values,
                 type.group, type.block_bytes,         std::nullopt,
                 type.bits};
    if (type.scale != DType::count_) made.type.scale = type.scale;
    made.elements = stored.elements;
    if (stored.mixed) made.bytes = stored.bytes;
    return made;
}

}  // namespace

bool DecoderConfig::has_windows() const {
    return std::find(windowed.begin(), windowed.end(), true) != windowed.end();
}

DecoderConfig decoder_config_from_json(std::string_view text) {
    const JsonDocument document(text, "decoder");
    const auto [config, phase, name, types, weights] = document.root().members(
        JsonPlace("the document"), std::array{
                                       JsonKey{"config"},
                                       JsonKey{"phase"},
                                       JsonKey{"name", false},
                                       JsonKey{"types", false},
                                       JsonKey{"weights", false}
    });
    DecoderConfig made;
    made.phase = phase_of(phase.text(JsonPlace("phase")));
    read_config(made, Settings(config, "config"));
    made.name = name ? std::string(name.text(JsonPlace("name"))) : std::string(made.family->name);
    if (weights && weights.size() > 0) {
        made.stored = [known = weights_in(types, weights)](const std::string& parameter) {
            const auto found = known.find(parameter);
            return found == known.end() ? std::nullopt : std::optional(found->second);
        };
    }
    return made;
}

DecoderConfig decoder_config_of_gguf(std::shared_ptr<const GgufModel> model, std::string_view phase) {
    DecoderConfig made;
    made.phase = phase_of(phase);
    const JsonDocument config(model->config_json(), model->spec());
    read_config(made, Settings(config.root(), "config"));
    made.name = model->text("general.name");
    if (made.name.empty()) made.name = model->spec().substr(0, model->spec().rfind(".gguf"));
    made.stored = [model = std::move(model)](const std::string& parameter) -> std::optional<StoredWeight> {
        const std::optional<GgufStored> found = model->stored(parameter);
        return found ? std::optional(weight_of(*found)) : std::nullopt;
    };
    return made;
}

}  // namespace infercost

// The tensors of a GGUF file that a parameter of a model of `transformers` is stored in. Names of tensors are
// from llama.cpp (gguf-py/gguf/tensor_mapping.py).
#include <algorithm>
#include <array>

#include "sources/gguf_model.hpp"

namespace infercost {
namespace {

struct TensorNames {
    std::string_view module;
    std::string_view tensors;  // joined by "+"; alternatives by "|"
};

constexpr std::array kWholeNames = {
    TensorNames{"model.embed_tokens", "token_embd" },
    TensorNames{"model.norm",         "output_norm"},
    TensorNames{"lm_head",            "output"     },
};

constexpr std::array kLayerNames = {
    TensorNames{"input_layernorm",              "attn_norm"                    },
    TensorNames{"post_attention_layernorm",     "ffn_norm"                     },
    TensorNames{"self_attn.q_proj",             "attn_q"                       },
    TensorNames{"self_attn.k_proj",             "attn_k"                       },
    TensorNames{"self_attn.v_proj",             "attn_v"                       },
    TensorNames{"self_attn.qkv_proj",           "attn_qkv|attn_q+attn_k+attn_v"},
    TensorNames{"self_attn.o_proj",             "attn_output"                  },
    TensorNames{"self_attn.q_norm",             "attn_q_norm"                  },
    TensorNames{"self_attn.k_norm",             "attn_k_norm"                  },
    TensorNames{"self_attn.q_a_proj",           "attn_q_a"                     },
    TensorNames{"self_attn.q_a_layernorm",      "attn_q_a_norm"                },
    TensorNames{"self_attn.q_b_proj",           "attn_q_b"                     },
    TensorNames{"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"                },
    TensorNames{"self_attn.kv_a_layernorm",     "attn_kv_a_norm"               },
    TensorNames{"self_attn.kv_b_proj",          "attn_k_b+attn_v_b|attn_kv_b"  },
    TensorNames{"mlp.gate_proj",                "ffn_gate"                     },
    TensorNames{"mlp.up_proj",                  "ffn_up"                       },
    TensorNames{"mlp.down_proj",                "ffn_down"                     },
    TensorNames{"mlp.gate_up_proj",             "ffn_gate+ffn_up"              },
    TensorNames{"mlp.c_fc",                     "ffn_up"                       },
    TensorNames{"mlp.c_proj",                   "ffn_down"                     },
    TensorNames{"mlp.gate",                     "ffn_gate_inp"                 },
    TensorNames{"mlp.router",                   "ffn_gate_inp"                 },
    TensorNames{"block_sparse_moe.router",      "ffn_gate_inp"                 },
    TensorNames{"mlp.shared_expert_gate",       "ffn_gate_inp_shexp"           },
    TensorNames{"mlp.shared_expert.gate_proj",  "ffn_gate_shexp"               },
    TensorNames{"mlp.shared_expert.up_proj",    "ffn_up_shexp"                 },
    TensorNames{"mlp.shared_expert.down_proj",  "ffn_down_shexp"               },
    TensorNames{"mlp.shared_experts.gate_proj", "ffn_gate_shexp"               },
    TensorNames{"mlp.shared_experts.up_proj",   "ffn_up_shexp"                 },
    TensorNames{"mlp.shared_experts.down_proj", "ffn_down_shexp"               },
};

// Parameters of a module of experts.
constexpr std::array kExpertNames = {
    TensorNames{"gate_up_proj",      "ffn_gate_exps.weight+ffn_up_exps.weight|ffn_gate_up_exps.weight"},
    TensorNames{"down_proj",         "ffn_down_exps.weight"                                           },
    TensorNames{"gate_up_proj_bias", "ffn_gate_exps.bias+ffn_up_exps.bias"                            },
    TensorNames{"down_proj_bias",    "ffn_down_exps.bias"                                             },
};
// Projections of experts that files of 2023 store one by one: `blk.0.ffn_gate.3.weight`.
constexpr std::array kOneByOne = {
    TensorNames{"gate_up_proj", "ffn_gate+ffn_up"},
    TensorNames{"down_proj",    "ffn_down"       }
};

// Parameters of a layer that are no `weight` or `bias` of a module.
constexpr std::array kOtherNames = {
    TensorNames{"self_attn.sinks",                  "attn_sinks.weight"},
    TensorNames{"mlp.gate.e_score_correction_bias", "exp_probs_b.bias" },
};

// Names of an architecture that replace those in kLayer.
struct OwnName {
    std::string_view architecture;
    TensorNames named;
};
constexpr std::array kOwnNames = {
    OwnName{"gemma2",  {"post_attention_layernorm", "post_attention_norm"}},
    OwnName{"gemma2",  {"pre_feedforward_layernorm", "ffn_norm"}          },
    OwnName{"gemma2",  {"post_feedforward_layernorm", "post_ffw_norm"}    },
    OwnName{"gemma3",  {"post_attention_layernorm", "post_attention_norm"}},
    OwnName{"gemma3",  {"pre_feedforward_layernorm", "ffn_norm"}          },
    OwnName{"gemma3",  {"post_feedforward_layernorm", "post_ffw_norm"}    },
    OwnName{"olmo2",   {"post_attention_layernorm", "post_attention_norm"}},
    OwnName{"olmo2",   {"pre_feedforward_layernorm", "ffn_norm"}          },
    OwnName{"olmo2",   {"post_feedforward_layernorm", "post_ffw_norm"}    },
    OwnName{"phi3",    {"mlp.gate_up_proj", "ffn_up"}                     },
    OwnName{"gpt-oss", {"post_attention_layernorm", "post_attention_norm"}},
    OwnName{"glm4moe", {"post_attention_layernorm", "post_attention_norm"}},
};

// The tensors of a module; empty if it is in no table.
template <class Rows>
std::string_view tensors_in(const Rows& rows, std::string_view module) {
    const auto row = std::find_if(rows.begin(), rows.end(),
                                  [&](const TensorNames& each) { return each.module == module; });
    return row == rows.end() ? std::string_view() : row->tensors;
}

std::string_view module_of_layer(std::string_view architecture, std::string_view module) {
    for (const OwnName& own : kOwnNames) {
        if (own.architecture == architecture && own.named.module == module) return own.named.tensors;
    }
    return tensors_in(kLayerNames, module);
}

std::vector<std::string_view> parts_of(std::string_view text, char at) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(at), text.size());
        parts.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

GgufNames alternatives(std::string_view tensors, const std::string& before, const std::string& after) {
    GgufNames found;
    for (const std::string_view alternative : parts_of(tensors, '|')) {
        std::vector<std::string>& names = found.emplace_back();
        for (const std::string_view name : parts_of(alternative, '+')) {
            names.push_back(before + std::string(name) + after);
        }
    }
    return found;
}

bool is_digits(std::string_view text) {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Tensors `blk.0.ffn_gate.3.weight` of some projections, in the order of the file.
std::vector<std::string> one_by_one(std::string_view projections, const std::string& block,
                                    const std::vector<GgufTensor>& tensors) {
    constexpr std::string_view kWeight = ".weight";
    std::vector<std::string> found;
    for (const GgufTensor& tensor : tensors) {
        std::string_view name = tensor.name;
        if (!name.starts_with(block) || !name.ends_with(kWeight)) continue;
        name = name.substr(block.size(), name.size() - std::min(name.size(), block.size() + kWeight.size()));
        for (const std::string_view projection : parts_of(projections, '+')) {
            const std::string begin = std::string(projection) + ".";
            if (name.starts_with(begin) && is_digits(name.substr(begin.size()))) found.push_back(tensor.name);
        }
    }
    return found;
}

}  // namespace

GgufNames gguf_names(std::string_view parameter, std::string_view architecture,
                     const std::vector<GgufTensor>& tensors) {
    const std::size_t dot = parameter.rfind('.');
    if (dot == std::string_view::npos) return {};
    const std::string_view whole = tensors_in(kWholeNames, parameter.substr(0, dot));
    if (!whole.empty()) return alternatives(whole, "", std::string(parameter.substr(dot)));
    constexpr std::string_view kLayers = "model.layers.";
    if (!parameter.starts_with(kLayers)) return {};
    std::string_view path = parameter.substr(kLayers.size());
    const std::size_t end = path.find('.');
    if (end == std::string_view::npos || !is_digits(path.substr(0, end))) return {};
    const std::string block = "blk." + std::string(path.substr(0, end)) + ".";
    path.remove_prefix(end + 1);
    const std::string_view other = tensors_in(kOtherNames, path);
    if (!other.empty()) return alternatives(other, block, "");
    const std::size_t last = path.rfind('.');
    if (last == std::string_view::npos) return {};
    const std::string_view module = path.substr(0, last);
    const std::string_view kind = path.substr(last + 1);
    const std::string_view experts =
        module.ends_with("experts") ? tensors_in(kExpertNames, kind) : std::string_view();
    if (experts.empty()) {
        return alternatives(module_of_layer(architecture, module), block, "." + std::string(kind));
    }
    GgufNames found = alternatives(experts, block, "");
    const std::string_view projections = tensors_in(kOneByOne, kind);
    if (!projections.empty()) found.push_back(one_by_one(projections, block, tensors));
    return found;
}

}  // namespace infercost

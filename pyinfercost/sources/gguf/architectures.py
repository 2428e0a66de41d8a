"""The table of architectures of GGUF files: the config of `transformers` for the settings of a file.

Keys are from llama.cpp (gguf-py/gguf/constants.py), with the meaning of the values that convert_hf_to_gguf.py writes.
Sizes that a config cannot express, such as widths that differ by layer, are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..._checks import Range
from ..library_configs import MOST_EXPERTS, MOST_LAYERS
from ..loaded_model import SpecError
from .files import GgufModel

Settings = dict[str, Any]
_SIGMOID = 2  # value of `expert_gating_func`
_ABOVE_NONE = Range(0, 2**31)


@dataclass(frozen=True)
class Architecture:
    """An architecture.

    Attributes:
        name: Its name in GGUF files.
        settings: Returns the model type of `transformers` and the values of its config.
        own_names: Parameters of a layer -> tensors, where they differ from `names.LAYER`.
    """

    name: str
    settings: Callable[[GgufModel], tuple[str, Settings]]
    own_names: Mapping[str, str] = field(default_factory=dict)


def decoder_layers(model: GgufModel) -> int:
    """Return the number of layers that a forward runs: without those that predict further tokens."""
    layers = model.count("block_count", within=Range(1, MOST_LAYERS))
    return layers - model.count("nextn_predict_layers", 0, within=Range(0, layers - 1))


def _one(model: GgufModel, key: str, default: int | None = None) -> int:
    """Return a setting that is the same in all layers.

    Raises:
        SpecError: It differs.
    """
    values = set(model.counts(key, model.count("block_count", within=Range(1, MOST_LAYERS)), default))
    if len(values) > 1:
        raise SpecError(
            f"{model.spec}: {model.architecture}.{key} differs by layer, which no config of this architecture states; "
            "pass the config of the model it was converted from as hf:config.json"
        )
    return values.pop()


def _decoder(model: GgufModel) -> Settings:
    """Return the settings that all decoders have."""
    hidden, heads = model.count("embedding_length"), _one(model, "attention.head_count")
    width = model.count("attention.key_length", hidden // heads or None)
    if model.count("attention.value_length", width) != width:
        raise SpecError(f"{model.spec}: heads of keys and of values have different widths; expected one of both")
    rotated = model.count("rope.dimension_count", width, within=_ABOVE_NONE)
    rope: Settings = {"rope_type": "default", "rope_theta": model.number("rope.freq_base", 10_000.0)}
    if rotated and rotated != width:
        rope["partial_rotary_factor"] = rotated / width
    return {
        "vocab_size": model.shape("token_embd.weight")[0],
        "hidden_size": hidden,
        "intermediate_size": _one(model, "feed_forward_length", 1),
        "num_hidden_layers": decoder_layers(model),
        "num_attention_heads": heads,
        "num_key_value_heads": _one(model, "attention.head_count_kv", heads),
        "head_dim": width,
        "max_position_embeddings": model.count("context_length", 2048),
        "rms_norm_eps": model.number("attention.layer_norm_rms_epsilon", 1e-5),
        "rope_parameters": rope,
        "tie_word_embeddings": "output.weight" not in model.tensors,
        "attention_bias": "blk.0.attn_q.bias" in model.tensors,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }


def _experts(model: GgufModel, count: str) -> Settings:
    """Return the settings of experts; `count` is the config's key for their number."""
    return {
        count: model.count("expert_count", within=Range(1, MOST_EXPERTS)),
        "num_experts_per_tok": model.count("expert_used_count"),
    }


def _expert_width(model: GgufModel) -> int:
    """Return the width of one expert."""
    if model.has("expert_feed_forward_length"):
        return model.count("expert_feed_forward_length")
    return model.shape(f"blk.{decoder_layers(model) - 1}.ffn_up_exps.weight")[-2]


def _llama(model: GgufModel) -> tuple[str, Settings]:
    found = _decoder(model)
    if model.count("expert_count", 0, within=_ABOVE_NONE) == 0:
        return "llama", {**found, "mlp_bias": "blk.0.ffn_up.bias" in model.tensors}
    if "expert_feed_forward_length" in (key.partition(".")[2] for key in model.settings):
        found["intermediate_size"] = _expert_width(model)
    return "mixtral", {**found, **_experts(model, "num_local_experts"), "sliding_window": None}


def _plain(kind: str) -> Callable[[GgufModel], tuple[str, Settings]]:
    """Take the settings of all decoders alone."""
    return lambda model: (kind, _decoder(model))


def _qwen2moe(model: GgufModel) -> tuple[str, Settings]:
    shared = model.shape("blk.0.ffn_up_shexp.weight")[0]
    width = {"moe_intermediate_size": _expert_width(model), "shared_expert_intermediate_size": shared}
    return "qwen2_moe", {**_decoder(model), **_experts(model, "num_experts"), **width}


def _qwen3moe(model: GgufModel) -> tuple[str, Settings]:
    return "qwen3_moe", {
        **_decoder(model),
        **_experts(model, "num_experts"),
        "moe_intermediate_size": _expert_width(model),
    }


def _windowed(model: GgufModel) -> Settings:
    """Return the settings of layers with a sliding window; the model's family decides which layers have one."""
    window = model.count("attention.sliding_window", 0, within=_ABOVE_NONE)
    return {"sliding_window": window} if window else {}


def _gemma2(model: GgufModel) -> tuple[str, Settings]:
    return "gemma2", {**_decoder(model), **_windowed(model)}


def _gemma3(model: GgufModel) -> tuple[str, Settings]:
    found = _decoder(model)
    base = found["rope_parameters"]
    narrow = {**base, "rope_theta": model.number("rope.freq_base_swa", 10_000.0)}
    found["rope_parameters"] = {"full_attention": base, "sliding_attention": narrow}
    return "gemma3_text", {**found, **_windowed(model)}


def _phi3(model: GgufModel) -> tuple[str, Settings]:
    found = {**_decoder(model), "sliding_window": None, **_windowed(model)}
    long, short = (f"rope_factors_{kind}.weight" for kind in ("long", "short"))
    if long in model.tensors and short in model.tensors:
        found["rope_parameters"] |= {
            "rope_type": "longrope",
            "long_factor": [1.0] * model.shape(long)[0],
            "short_factor": [1.0] * model.shape(short)[0],
            "original_max_position_embeddings": model.count("rope.scaling.original_context_length", 4096),
        }
    return "phi3", found


def _gpt_oss(model: GgufModel) -> tuple[str, Settings]:
    found = {**_decoder(model), **_windowed(model), **_experts(model, "num_local_experts")}
    return "gpt_oss", {**found, "intermediate_size": _expert_width(model)}


def _deepseek2(model: GgufModel) -> tuple[str, Settings]:
    gates_by_sigmoid = model.count("expert_gating_func", 1, within=_ABOVE_NONE) == _SIGMOID
    rotated = model.count("rope.dimension_count")
    latent = model.count("attention.kv_lora_rank")
    # Files since 2025 state the widths of heads under keys of their own, and the widths of latents under the usual
    # ones.
    own = "_mla" if model.has("attention.key_length_mla") else ""
    key, value = model.count(f"attention.key_length{own}"), model.count(f"attention.value_length{own}")
    if key <= rotated:
        raise SpecError(f"{model.spec}: keys of {key} have {rotated} rotated dimensions; expected fewer")
    heads = _one(model, "attention.head_count")
    layers = decoder_layers(model)
    dense = model.count("leading_dense_block_count", 0, within=Range(0, layers))
    found: Settings = {
        "vocab_size": model.shape("token_embd.weight")[0],
        "hidden_size": model.count("embedding_length"),
        "intermediate_size": model.counts("feed_forward_length", model.count("block_count"), 1)[0],
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "q_lora_rank": model.count("attention.q_lora_rank") if model.has("attention.q_lora_rank") else None,
        "kv_lora_rank": latent,
        "qk_rope_head_dim": rotated,
        "qk_nope_head_dim": key - rotated,
        "v_head_dim": value,
        "max_position_embeddings": model.count("context_length", 2048),
        "rms_norm_eps": model.number("attention.layer_norm_rms_epsilon", 1e-6),
        "rope_parameters": {"rope_type": "default", "rope_theta": model.number("rope.freq_base", 10_000.0)},
        "tie_word_embeddings": "output.weight" not in model.tensors,
        "first_k_dense_replace": dense,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    if dense < layers:
        found |= _experts(model, "n_routed_experts")
        groups = model.count("expert_group_count", 1)
        found |= {
            "moe_intermediate_size": _expert_width(model),
            "n_shared_experts": model.count("expert_shared_count", 1),
            "n_group": groups,
            "topk_group": model.count("expert_group_used_count", 1),
        }
        if not gates_by_sigmoid and groups > 1:
            found["topk_method"] = "group_limited_greedy"
    return "deepseek_v3" if gates_by_sigmoid else "deepseek_v2", found


def _glm4moe(model: GgufModel) -> tuple[str, Settings]:
    layers = decoder_layers(model)
    return "glm4_moe", {
        **_decoder(model),
        **_experts(model, "n_routed_experts"),
        "moe_intermediate_size": _expert_width(model),
        "n_shared_experts": model.count("expert_shared_count", 1),
        "first_k_dense_replace": model.count("leading_dense_block_count", 0, within=Range(0, layers)),
        "n_group": 1,
        "topk_group": 1,
        "use_qk_norm": "blk.0.attn_q_norm.weight" in model.tensors,
    }


def _granitemoe(model: GgufModel) -> tuple[str, Settings]:
    found = {**_decoder(model), **_experts(model, "num_local_experts")}
    return "granitemoe", {**found, "intermediate_size": _expert_width(model)}


def _olmoe(model: GgufModel) -> tuple[str, Settings]:
    return "olmoe", {**_decoder(model), **_experts(model, "num_experts"), "intermediate_size": _expert_width(model)}


def _starcoder2(model: GgufModel) -> tuple[str, Settings]:
    found = {**_decoder(model), "use_bias": "blk.0.attn_output.bias" in model.tensors, "sliding_window": None}
    return "starcoder2", {**found, "norm_epsilon": model.number("attention.layer_norm_epsilon", 1e-5)}


def _cohere(kind: str) -> Callable[[GgufModel], tuple[str, Settings]]:
    def settings(model: GgufModel) -> tuple[str, Settings]:
        eps = {"layer_norm_eps": model.number("attention.layer_norm_epsilon", 1e-5)}
        norm = {"use_qk_norm": "blk.0.attn_q_norm.weight" in model.tensors} if kind == "cohere" else _windowed(model)
        return kind, {**_decoder(model), **eps, **norm}

    return settings


_NORMS_AROUND = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        row.name: row
        for row in (
            Architecture("llama", _llama),
            Architecture("mistral3", _llama),
            Architecture("qwen2", _plain("qwen2")),
            Architecture("qwen2moe", _qwen2moe),
            Architecture("qwen3", _plain("qwen3")),
            Architecture("qwen3moe", _qwen3moe),
            Architecture("gemma", _plain("gemma")),
            Architecture("gemma2", _gemma2, _NORMS_AROUND),
            Architecture("gemma3", _gemma3, _NORMS_AROUND),
            Architecture("phi3", _phi3, {"mlp.gate_up_proj": "ffn_up"}),
            Architecture("gpt-oss", _gpt_oss, {"post_attention_layernorm": "post_attention_norm"}),
            Architecture("deepseek2", _deepseek2),
            Architecture("glm4moe", _glm4moe, {"post_attention_layernorm": "post_attention_norm"}),
            Architecture("olmo2", _plain("olmo2"), _NORMS_AROUND),
            Architecture("olmoe", _olmoe),
            Architecture("granite", _plain("granite")),
            Architecture("granitemoe", _granitemoe),
            Architecture("smollm3", _plain("smollm3")),
            Architecture("starcoder2", _starcoder2),
            Architecture("command-r", _cohere("cohere")),
            Architecture("cohere2", _cohere("cohere2")),
        )
    }
)
"""Architectures by name."""


def architecture_of(model: GgufModel) -> Architecture:
    """Return the architecture of a model.

    Raises:
        SpecError: The file has none, or it is unknown.
    """
    found = ARCHITECTURES.get(model.architecture)
    if found is None:
        of = model.architecture
        stated = f"the architecture {of!r}, which is not known" if of else "no general.architecture"
        raise SpecError(
            f"{model.spec} has {stated}; expected {', '.join(ARCHITECTURES)}. Pass the config of the model it was "
            "converted from as hf:config.json, with --quantize q4_k for example"
        )
    return found

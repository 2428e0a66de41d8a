"""Configs of decoders that the core builds without transformers: small ones of each family, and published ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_CONFIGS = Path(__file__).parent / "configs"
_SMALL = {
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "vocab_size": 128,
    "rms_norm_eps": 1e-6,
    "dtype": "bfloat16",
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}


def _small(kind: str, architecture: str, **values: Any) -> dict[str, Any]:
    return {**_SMALL, "model_type": kind, "architectures": [f"{architecture}ForCausalLM"], **values}


SMALL: dict[str, dict[str, Any]] = {
    "llama": _small("llama", "Llama"),
    "llama-biased": _small(
        "llama", "Llama", attention_bias=True, mlp_bias=True, num_key_value_heads=4, head_dim=24, dtype="float16"
    ),
    "llama-tied": _small("llama", "Llama", tie_word_embeddings=True, num_key_value_heads=1),
    "mistral": _small("mistral", "Mistral", sliding_window=None),
    "mistral-windowed": _small("mistral", "Mistral", sliding_window=16),
    "qwen2": _small("qwen2", "Qwen2"),
    "qwen3": _small("qwen3", "Qwen3", head_dim=16),
    "gemma": _small("gemma", "Gemma", head_dim=16),
    "gemma2": _small("gemma2", "Gemma2", head_dim=16, sliding_window=16, num_hidden_layers=4),
    "mixtral": _small("mixtral", "Mixtral", sliding_window=None, num_local_experts=4, num_experts_per_tok=2),
    "qwen3_moe": _small("qwen3_moe", "Qwen3Moe", head_dim=16, **_EXPERTS),
    "qwen3_moe-normalized": _small(
        "qwen3_moe", "Qwen3Moe", head_dim=16, norm_topk_prob=True, mlp_only_layers=[1], **_EXPERTS
    ),
    "qwen2_moe": _small("qwen2_moe", "Qwen2Moe", shared_expert_intermediate_size=48, **_EXPERTS),
}
"""Small configs by name."""

_WINDOW = {"sliding_window": 16, "num_hidden_layers": 4}

WINDOWED: dict[str, dict[str, Any]] = {
    "gemma2": SMALL["gemma2"],
    "gemma3": _small(
        "gemma3_text",
        "Gemma3",
        head_dim=16,
        **_WINDOW,
        layer_types=["sliding_attention"] * 3 + ["full_attention"],
    ),
    "mistral": SMALL["mistral-windowed"],
    "qwen2": _small("qwen2", "Qwen2", use_sliding_window=True, max_window_layers=1, **_WINDOW),
    "gpt_oss": _small("gpt_oss", "GptOss", head_dim=16, num_local_experts=4, num_experts_per_tok=2, **_WINDOW),
}
"""Small configs with layers that attend to a window of 16 tokens, by family."""

_PUBLISHED = {"num_hidden_layers": 28, "torch_dtype": "bfloat16", "rms_norm_eps": 1e-6, "hidden_act": "silu"}

# Values are those of the config.json of the repositories Qwen/Qwen2.5-7B, Qwen/Qwen3-8B and google/gemma-2-9b.
PUBLISHED: dict[str, dict[str, Any]] = {
    "llama-3-8b": json.loads((_CONFIGS / "llama-3-8b.json").read_text(encoding="utf-8")),
    "qwen2.5-7b": {
        **_PUBLISHED,
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": 3584,
        "intermediate_size": 18_944,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152_064,
        "use_sliding_window": False,
        "sliding_window": 131_072,
        "max_position_embeddings": 131_072,
    },
    "qwen3-8b": {
        **_PUBLISHED,
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "hidden_size": 4096,
        "intermediate_size": 12_288,
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151_936,
        "attention_bias": False,
        "max_position_embeddings": 40_960,
    },
    "gemma-2-9b": {
        **_PUBLISHED,
        "architectures": ["Gemma2ForCausalLM"],
        "model_type": "gemma2",
        "hidden_size": 3584,
        "intermediate_size": 14_336,
        "num_attention_heads": 16,
        "num_hidden_layers": 42,
        "num_key_value_heads": 8,
        "head_dim": 256,
        "vocab_size": 256_000,
        "sliding_window": 4096,
        "query_pre_attn_scalar": 256,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": 8192,
    },
    "mixtral-8x7b": json.loads((_CONFIGS / "mixtral-8x7b.json").read_text(encoding="utf-8")),
    "qwen3-30b-a3b": json.loads((_CONFIGS / "qwen3-30b-a3b.json").read_text(encoding="utf-8")),
}
"""Published configs by name."""

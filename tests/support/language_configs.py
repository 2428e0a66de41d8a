"""Configs of small language models with caches of each kind, and the bytes that follow from them."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

SMALL = {"hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 4, "vocab_size": 128, "dtype": "bfloat16"}

LLAMA = SMALL | {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
}
"""2 layers, 2 of 4 heads keep keys and values of 16 elements."""

WIDE_LLAMA = LLAMA | {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "num_hidden_layers": 8,
    "max_position_embeddings": 2048,
}
"""A Llama whose steps take long enough for servers to be loaded."""

DEEPSEEK = SMALL | {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "num_hidden_layers": 61,
    "num_key_value_heads": 4,
    "q_lora_rank": 24,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "first_k_dense_replace": 61,
}
"""The layers and the latent vectors of DeepSeek-V3: 512 elements, and 64 of a key with positions."""

GPT_OSS = SMALL | {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "sliding_window": 16,
}
"""Every other layer has a window of 16 tokens."""

QWEN_NEXT = SMALL | {
    "architectures": ["Qwen3NextForCausalLM"],
    "model_type": "qwen3_next",
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}
"""Three layers of linear attention, then one with full attention."""

MAMBA = {
    "architectures": ["Mamba2ForCausalLM"],
    "model_type": "mamba2",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_heads": 8,
    "head_dim": 16,
    "n_groups": 2,
    "state_size": 16,
    "vocab_size": 128,
    "dtype": "bfloat16",
}
"""No attention."""

T5 = {
    "architectures": ["T5ForConditionalGeneration"],
    "model_type": "t5",
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "vocab_size": 64,
    "dtype": "bfloat16",
}
"""An encoder, and a decoder that attends to it."""


def spec_of(folder: Path, config: dict[str, Any], phase: str = "") -> str:
    """Write a config and return the spec of its model.

    The processes of a run of tests share the file of a config, and so the graphs that are captured of it. It is written
    into `folder` where there is no run.
    """
    text = json.dumps(config)
    if "PYINFERCOST_TESTS_CACHE" in os.environ:
        folder = Path(os.environ["PYINFERCOST_TESTS_CACHE"], "configs", sha256(text.encode()).hexdigest()[:16])
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        unfinished = folder / f"{os.getpid()}.new"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    return f"hf:{path}" + (f"#{phase}" if phase else "")

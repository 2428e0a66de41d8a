"""Small models of Hugging Face configs with quantization settings, and the weights of their graphs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyinfercost as ic

CONFIGS = Path(__file__).parent / "configs"

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "torch_dtype": "bfloat16",
}
MIXTRAL: dict[str, Any] = {
    **LLAMA,
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}
PROJECTIONS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
LAYER = "model.layers.0"


def published(name: str, **changes: Any) -> dict[str, Any]:
    """Return a published config with some keys changed."""
    return {**json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8")), **changes}


def write_config(folder: Path, config: dict[str, Any], settings: Any = None) -> str:
    """Write a config with quantization settings; return its spec."""
    folder.mkdir(parents=True, exist_ok=True)
    quantized = config if settings is None else {**config, "quantization_config": settings}
    (folder / "config.json").write_text(json.dumps(quantized), encoding="utf-8")
    return f"hf:{folder}"


def captured(folder: Path, config: dict[str, Any], settings: Any = None, phase: str = "") -> ic.Graph:
    """Return the graph of a config with quantization settings."""
    return ic.capture(f"{write_config(folder, config, settings)}{phase}", batch=1)


def weights(graph: ic.Graph) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Return the dtype and the shape of each parameter by name."""
    return {t.name: (t.dtype, tuple(t.shape)) for t in graph.tensors if t.role == "parameter"}


def narrow(graph: ic.Graph) -> set[str]:
    """Return the names of the parameters that are stored narrow, by those that they replace."""
    marks = (".int", ".fp8", ".mxfp", ".nvfp4", ".nf4", ".fp4", ".float")
    found = {name: next((name.index(mark) for mark in marks if mark in name), 0) for name in weights(graph)}
    return {name[:end].removesuffix(".weight") for name, end in found.items() if end}

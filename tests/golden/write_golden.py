"""Writes what is counted for a set of models to JSON files beside this one, so that a change shows as a diff.

Run `python tests/golden/write_golden.py` after a change that is meant to change counts, and review the diff.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyinfercost as ic

FOLDER = Path(__file__).parent
TORCHVISION = (
    "resnet50",
    "mobilenet_v3_large",
    "vit_b_16",
    "swin_t",
    "convnext_tiny",
    "efficientnet_b0",
    "densenet121",
)
SEQUENCE = 128
# How a model is written decides its views and copies, and with another release it may be written in another way.
LIBRARIES = ("torch", "torchvision", "transformers")


def _torchvision(name: str) -> ic.Graph:
    return ic.capture(f"torchvision:{name}", batch=1)


def _transformers(name: str) -> ic.Graph:
    """One forward over 128 tokens of batch 1, without a cache."""
    import torch
    import transformers

    small = {"vocab_size": 32000, "num_attention_heads": 8, "num_key_value_heads": 4, "use_cache": False}
    make: dict[str, Callable[[], Any]] = {
        "bert_base": lambda: transformers.BertModel(transformers.BertConfig()),
        "gpt2": lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(use_cache=False)),
        "llama_small": lambda: transformers.LlamaForCausalLM(
            transformers.LlamaConfig(hidden_size=512, intermediate_size=1376, num_hidden_layers=8, **small)
        ),
        "mixtral_small": lambda: transformers.MixtralForCausalLM(
            transformers.MixtralConfig(
                hidden_size=256,
                intermediate_size=512,
                num_hidden_layers=4,
                num_local_experts=8,
                num_experts_per_tok=2,
                **small,
            )
        ),
    }
    with torch.device("meta"):
        module = make[name]().eval()
    tokens = torch.empty((1, SEQUENCE), dtype=torch.int64, device="meta")
    return ic.capture(module, (tokens,))


MODELS: dict[str, Callable[[], ic.Graph]] = {
    **{name: lambda name=name: _torchvision(name) for name in TORCHVISION},  # type: ignore[misc]
    **{
        name: lambda name=name: _transformers(name)  # type: ignore[misc]
        for name in ("bert_base", "gpt2", "llama_small", "mixtral_small")
    },
}


def document(name: str) -> dict[str, Any]:
    """All that is compared for one model."""
    counts = ic.count(MODELS[name]())
    total = counts.total
    return {
        "model": name,
        "libraries": {library: version(library) for library in LIBRARIES},
        "totals": {**total.to_dict(), "causal_flops": total.causal_flops, "bytes_by_role": total.bytes_by_role},
        "coverage": {"nodes": counts.nodes, "modelled_nodes": counts.modelled_nodes, "unmodelled": counts.unmodelled},
        "by_op": {
            op: {
                "nodes": row.nodes,
                "contraction_flops": row.contraction_flops,
                "pointwise_flops": row.pointwise_flops,
                "bytes_read": row.bytes_read,
                "bytes_written": row.bytes_written,
            }
            for op, row in sorted(counts.by_op().items())
        },
    }


def path(name: str) -> Path:
    return FOLDER / f"{name}.json"


def main() -> None:
    for name in MODELS:
        path(name).write_text(json.dumps(document(name), indent=1) + "\n", encoding="utf-8")
        print(path(name))


if __name__ == "__main__":
    main()

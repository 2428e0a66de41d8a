"""Graphs as JSON, rewritten into the kernels of serving engines; changed from captured language models."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pyinfercost as ic
from pyinfercost import _core

from ..door import Figure, require
from ..values import Value
from .figures import MACHINES, of_counts, of_estimate
from .graph_json import GraphJson, graph_of

_SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
_SMALL |= {"num_key_value_heads": 2, "vocab_size": 32, "head_dim": 4}
_LATENT = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 4}
_EXPERTS = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8, "first_k_dense_replace": 0}
_EXPERTS |= {"n_group": 1, "topk_group": 1, "num_key_value_heads": 4}
CONFIGS = (
    {"model_type": "llama", **_SMALL},
    {"model_type": "mixtral", **_SMALL, "num_local_experts": 4},
    {"model_type": "deepseek_v3", **_SMALL, **_LATENT, **_EXPERTS},
    {"model_type": "mamba", "hidden_size": 16, "num_hidden_layers": 1, "vocab_size": 32, "state_size": 4},
)
ENGINES = [name for name in _core.engines() if name != "torch"]


def captured(capture: Callable[[str, str], ic.Graph]) -> list[Value]:
    """Return the documents of prefills and decode steps of small language models.

    Args:
        capture: Returns the graph of a spec, whose phase and kind of model come second: `"decode mamba"`.
    """
    documents = []
    with tempfile.TemporaryDirectory() as folder:
        for number, config in enumerate(CONFIGS):
            path = Path(folder) / f"{number}.json"
            path.write_text(json.dumps(config), encoding="utf-8")
            for phase in ("prefill", "decode"):
                documents.append(capture(f"hf:{path}#{phase}", f"{phase} {config['model_type']}").to_dict())
    return documents


class Engines(GraphJson):
    """`engine_graph`, then `count` and `estimate`."""

    share = 30_000
    libraries = ("torch", "transformers")

    def seeds(self) -> list[Value]:
        """Return the documents of prefills and decode steps of small language models."""
        return captured(lambda spec, _: ic.capture(spec))

    def draw(self, random: Random) -> Value:
        """Return a changed document, and the engine."""
        return {**super().draw(random), "engine": random.choice(ENGINES)}

    def run(self, value: Value) -> Iterator[Figure]:
        """Read the graph, rewrite it, count it and estimate it."""
        made = ic.engine_graph(graph_of(value), value["engine"])
        sizes = value["sizes"]
        yield from of_counts(ic.count(made, sizes=sizes))
        machine = value["machine"] if value["machine"] in MACHINES else MACHINES[0]
        yield from of_estimate(ic.estimate(made, hardware=machine, engine=value["engine"], sizes=sizes))
        require(ic.Graph.from_json(made.to_json()) == made, "JSON gives the same graph")

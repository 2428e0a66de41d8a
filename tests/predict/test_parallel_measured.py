"""The graph of a rank against torch: products and collectives of processes that run a model with tensor parallelism."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.processes import printed_by_ranks

import pyinfercost as ic

pytestmark = [pytest.mark.torch, pytest.mark.slow]
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

LLAMA: dict[str, Any] = {
    "model_type": "llama", "num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 160,
    "num_hidden_layers": 2, "hidden_size": 64, "vocab_size": 512, "pad_token_id": 0,
}  # fmt: skip
BERT: dict[str, Any] = {
    "model_type": "bert", "num_attention_heads": 8, "intermediate_size": 160, "num_hidden_layers": 2, "hidden_size": 64,
    "vocab_size": 512,
}  # fmt: skip
MIXTRAL: dict[str, Any] = {**LLAMA, "model_type": "mixtral", "intermediate_size": 96, "num_local_experts": 8}
PLANS: dict[str, dict[str, Any]] = {
    "llama": {
        "causal": True, "model.embed_tokens": "words", "lm_head": "logits",
        **{f"model.layers.*.self_attn.{name}_proj": "columns" for name in "qkv"},
        **{f"model.layers.*.mlp.{name}_proj": "columns" for name in ("gate", "up")},
        "model.layers.*.self_attn.o_proj": "rows", "model.layers.*.mlp.down_proj": "rows",
    },
    "bert": {
        "causal": False, "embeddings.word_embeddings": "words",
        **{f"encoder.layer.*.attention.self.{name}": "columns" for name in ("query", "key", "value")},
        "encoder.layer.*.attention.output.dense": "rows", "encoder.layer.*.intermediate.dense": "columns",
        "encoder.layer.*.output.dense": "rows",
    },
    "mixtral": {"causal": True, "own": True},
}  # fmt: skip


def run(folder: Path, ranks: int, config: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
    """Return what the first of several processes ran."""
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    paths = folder / "config.json", folder / "plan.json"
    found: dict[str, Any] = printed_by_ranks("real_ranks.py", ranks, *paths)[0]
    return found


def products_of(graph: ic.Graph) -> Counter[tuple[int, ...]]:
    """Rows, inner length and columns of each product with a weight."""
    found: Counter[tuple[int, ...]] = Counter()
    for row in ic.count(graph).layers:
        if row.op == "aten.linear":
            node = graph.node(row.index)
            weight = graph.tensor(node.operand("weight")).shape
            rows = row.work.contraction_flops // (2 * weight[0] * weight[1])
            found[(rows, weight[1], weight[0])] += 1
    return found


def grouped_of(graph: ic.Graph) -> Counter[tuple[int, ...]]:
    """Rows, experts, inner length and columns of each product with the experts of a layer."""
    found: Counter[tuple[int, ...]] = Counter()
    for node in graph.nodes:
        if node.op in ("aten._grouped_mm", "transformers.grouped_mm_fallback"):
            left, right = (graph.tensor(made.index).shape for made in node.inputs[:2])
            found[(left[0], *right)] += 1
    return found


def collectives_of(graph: ic.Graph) -> list[tuple[str, int]]:
    """Names of the collectives, and the bytes of their operands, in order."""
    found = []
    for node in graph.nodes:
        if node.op.startswith("collective."):
            operand = graph.tensor(node.operand("input"))
            found.append((node.op.removeprefix("collective."), operand.nbytes))
    return found


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize(("name", "config"), [("llama", LLAMA), ("bert", BERT), ("mixtral", MIXTRAL)])
def test_products_and_collectives_are_those_of_real_ranks(
    tmp_path: Path, name: str, config: dict[str, Any], ranks: int
) -> None:
    measured = run(tmp_path, ranks, config, PLANS[name])
    path = tmp_path / "model.json"
    architecture = {"llama": "LlamaForCausalLM", "bert": "BertModel", "mixtral": "MixtralForCausalLM"}[name]
    path.write_text(json.dumps({**config, "architectures": [architecture]}), encoding="utf-8")
    spec = f"hf:{path}" if name == "bert" else f"hf:{path}#prefill"
    rank = ic.parallel(ic.capture(spec, sizes={"sequence": 128}), ic.Layout(tensor=ranks))

    real = Counter((left[0], left[1], right[1]) for left, right in measured["products"] if len(left) == len(right) == 2)
    predicted = products_of(rank)
    # Logits of the last token alone in a prefill, and no pooler in the real model's list where it is one row.
    heads = {shape for shape in predicted if shape[0] == 1} | {shape for shape in real if shape[2] == 512 // ranks}
    assert {s: n for s, n in predicted.items() if s not in heads} == {
        s: n for s, n in real.items() if s[0] != 1 and s not in heads
    }

    experts = Counter((left[0], *right) for left, right in measured["products"] if len(right) == 3)
    assert grouped_of(rank) == experts
    assert sum(experts.values()) == (4 if name == "mixtral" else 0)

    sums = [size for op, size in measured["collectives"] if op == "all_reduce"]
    assert sums == [size for op, size in collectives_of(rank) if op == "all_reduce"]
    gathers = [op for op, _ in measured["collectives"] if op.startswith("all_gather")]
    assert len(gathers) == sum(op == "all_gather" for op, _ in collectives_of(rank))

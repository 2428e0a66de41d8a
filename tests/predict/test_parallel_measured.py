"""The graph of a rank against torch: products and collectives of processes that run a model with tensor parallelism."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from support.processes import printed_by_ranks

import pyinfercost as ic
from pyinfercost.predict.plans import value_of

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
STEPS: dict[str, dict[str, Any]] = {
    "llama": {**PLANS["llama"], "model.layers.*.self_attn": "reads_named", "model.layers.*.mlp": "reads"},
    "bert": {
        **{name if name == "causal" else f"bert.{name}": style for name, style in PLANS["bert"].items()},
        "bert.encoder.layer.*.attention.self": "reads", "cls.predictions.decoder": "logits",
    },
}  # fmt: skip
STEPS["llama, sequence"] = {
    "causal": True, "model.embed_tokens": "share_words", "lm_head": "share_logits", "model.norm": "share_norm",
    "model.layers.*.input_layernorm": "share_norm", "model.layers.*.post_attention_layernorm": "share_norm",
    "model.layers.*.self_attn": "share_reads_named", "model.layers.*.mlp": "share_reads",
    **{f"model.layers.*.self_attn.{name}_proj": "columns" for name in "qkv"},
    **{f"model.layers.*.mlp.{name}_proj": "columns" for name in ("gate", "up")},
    "model.layers.*.self_attn.o_proj": "share_rows", "model.layers.*.mlp.down_proj": "share_rows",
}  # fmt: skip
"""Plans of training steps, whose gradients of one input of several products are added up before they are sent."""


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


def step_of(config: dict[str, Any], *, names_tokens: bool = False) -> ic.Graph:
    """Return a training step of one sequence, whose length has a name if layouts share tokens."""
    transformers = pytest.importorskip("transformers")
    maker = transformers.AutoModelForMaskedLM if config["model_type"] == "bert" else transformers.AutoModelForCausalLM
    model = maker.from_config(transformers.AutoConfig.for_model(**config), attn_implementation="sdpa").train()
    ids = torch.zeros(1, 128, dtype=torch.int64)
    keywords = {} if config["model_type"] == "bert" else {"use_cache": False}
    inputs = ic.Inputs((), {"input_ids": ids, "labels": ids, **keywords})
    if not names_tokens:
        return ic.capture(model, inputs, training=True)
    dynamic = {"input_ids": {1: "sequence"}, "labels": {1: "sequence"}}
    return ic.capture(model, inputs, training=True, dynamic=dynamic, roles={"sequence": "sequence"})


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
    rank = ic.devices.rank_graph(ic.capture(spec, sizes={"sequence": 128}), ic.Layout(tensor=ranks))

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


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize(("name", "config"), [("llama", LLAMA), ("bert", {**BERT, "tie_word_embeddings": False})])
def test_training_steps_are_those_of_real_ranks(tmp_path: Path, name: str, config: dict[str, Any], ranks: int) -> None:
    measured = run(tmp_path, ranks, config, {**STEPS[name], "train": True})
    whole = step_of(config)
    rank = ic.devices.rank_graph(whole, ic.Layout(tensor=ranks))

    # Rows, inner length and columns of all products of matrices, in order; attention is several of three dimensions.
    real = [tuple(map(tuple, operands)) for operands in measured["products"] if len(operands[0]) == 2]
    predicted = [
        tuple(made.shape for made in node.inputs if len(made.shape) == 2)
        for node in rank.nodes if node.op in ("aten.mm", "aten.addmm")
    ]  # fmt: skip
    assert Counter(predicted) == Counter(real)

    names = {"all_gather_into_tensor": "all_gather"}
    found = [(op, size) for op, size in collectives_of(rank) if op == "all_reduce"]
    assert found == [(op, size) for op, size in measured["collectives"] if op == "all_reduce"]
    assert [op for op, _ in collectives_of(rank)] == [names.get(op, op) for op, _ in measured["collectives"]]

    # The gradient of a table of embeddings is whole on each rank in torch, and of the rank's rows here, as its weight.
    weights = {tensor.name: tensor.shape for tensor in rank.tensors if tensor.role == "parameter"}
    gradients = {each: tuple(shape) for each, shape in measured["gradients"].items()}
    assert len(gradients) >= len(weights) - 1  # BERT has a bias that it does not use
    for each in gradients:
        if each.endswith(("embed_tokens.weight", "word_embeddings.weight")):
            gradients[each] = weights[each]
    assert gradients.items() <= weights.items()
    assert Counter(made.shape for made in rank.outputs[-len(gradients) :]) == Counter(gradients.values())


def test_a_training_step_that_shares_tokens_is_that_of_real_ranks(tmp_path: Path) -> None:
    measured = run(tmp_path, 2, LLAMA, {**STEPS["llama, sequence"], "train": True})
    rank = ic.devices.rank_graph(step_of(LLAMA, names_tokens=True), "tensor=2,sequence=1")
    sizes = rank.size_values({"sequence": 128})

    def shape(tensor: Any) -> tuple[int, ...]:
        return tuple(value_of(length, sizes) for length in tensor.shape)

    real = [tuple(map(tuple, operands)) for operands in measured["products"] if len(operands[0]) == 2]
    predicted = [tuple(shape(made) for made in node.inputs) for node in rank.nodes if node.op == "aten.mm"]
    assert Counter(predicted) == Counter(real)

    found = [
        (node.op.removeprefix("collective."), value_of(rank.tensor(node.operand("input")).nbytes, sizes))
        for node in rank.nodes if node.op.startswith("collective.")
    ]  # fmt: skip
    # Gradients of norms are left in parts by torch, for whoever reads them.
    assert [each for each in found if each != ("all_reduce", 4 * 64)] == [
        (op.removesuffix("_tensor").removesuffix("_into"), size) for op, size in measured["collectives"]
    ]
    assert found.count(("all_reduce", 4 * 64)) == 5

"""Parts of axes, and values that products read beside their tokens: what is divided, summed once, gathered, refused."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from support import layout_laws

import pyinfercost as ic
from pyinfercost.deployment import Layout, LayoutError
from pyinfercost.predict.plans import value_of

pytestmark = pytest.mark.torch
transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

SIZES = layout_laws.SIZES["prefill"]
WIDTH = 128


def elements(tensor: ic._core.TensorInfo) -> int:
    return prod(value_of(length, SIZES) for length in tensor.shape)


def exchanged(rank: ic.Graph, *, layer: int | None = None) -> list[tuple[str, int]]:
    """Collectives of a layer, or of all, with the elements of their operands."""
    return [
        (node.op.removeprefix("collective."), elements(node.inputs[0]))
        for node in rank.nodes
        if node.op.startswith("collective.") and (layer is None or f".{layer}." in node.module)
    ]


def test_values_that_a_norm_reads_twice_are_summed_once(tmp_path: Path) -> None:
    whole = layout_laws.captured(tmp_path, "gemma2", "prefill")  # its norms convert back to the dtype of their operand
    rank = ic.devices.rank_graph(whole, "tensor=2")
    tokens = SIZES["batch"] * SIZES["sequence"] * WIDTH
    assert exchanged(rank, layer=0) == [("all_reduce", tokens)] * 2


def test_keys_beside_queries_are_on_each_device(tmp_path: Path) -> None:
    whole = layout_laws.captured(tmp_path, "falcon", "prefill")  # the key of a group is read by its place
    tokens = SIZES["batch"] * SIZES["sequence"] * WIDTH
    for layout in ("tensor=4", "tensor=8"):  # four keys: with eight devices each has the key of another one, too
        assert exchanged(ic.devices.rank_graph(whole, layout), layer=0) == []
        assert [op for op, size in exchanged(ic.devices.rank_graph(whole, layout)) if size == tokens] == [
            "all_reduce"
        ] * 3


def test_an_axis_is_no_part_of_itself(tmp_path: Path) -> None:
    """Where a split states no axis, the axis of its operand and those of its results came to hold each other."""
    document = layout_laws.captured(tmp_path, "deepseek_v3", "prefill").to_dict()
    splits = [node for node in document["nodes"] if node["op"] == "aten.split_with_sizes.default"]
    for node in splits:
        node["args"]["dim"] = ["str", "true"]
    graph = ic.Graph.from_dict(document)
    assert splits
    assert len(ic.devices.rank_graph(graph, Layout(expert_load="balanced")).nodes) == len(graph.nodes)


class Relative(torch.nn.Module):
    """Attention with scores of positions that are computed from the tokens: heads x 16 columns, times a table."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.r, self.out = (torch.nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(5))
        self.table = torch.nn.Parameter(torch.randn(WIDTH // 8, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v, r = (each(x).unflatten(-1, (8, -1)).transpose(1, 2) for each in (self.q, self.k, self.v, self.r))
        weights = (q @ k.transpose(-1, -2) + (r @ self.table)[..., : x.shape[1]]).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize("devices", [2, 4])
def test_columns_of_heads_are_not_divided_once_more(devices: int) -> None:
    whole = ic.capture(Relative(), torch.randn(2, 64, WIDTH))
    rank = ic.devices.rank_graph(whole, f"tensor={devices}")
    assert devices * ic.count(rank).total.contraction_flops == ic.count(whole).total.contraction_flops
    shares = {share.name: share.of // share.elements for share in ic.devices.weight_shares(rank)}
    assert shares == {"table": 1, **{f"{name}.weight": devices for name in ("q", "k", "v", "r", "out")}}
    assert [op for op, _ in exchanged(rank)] == ["all_reduce"]


def test_tokens_are_shared_from_the_embedding_on(tmp_path: Path) -> None:
    rank = ic.devices.rank_graph(layout_laws.captured(tmp_path, "llama", "prefill"), "tensor=4,sequence=1")
    first = next(node for node in rank.nodes if node.op.startswith("collective."))
    assert first.op == "collective.reduce_scatter"
    of_rank, of_all = (elements(tensor) for tensor in (first.outputs[0], first.inputs[0]))
    assert 4 * of_rank == of_all == SIZES["batch"] * SIZES["sequence"] * WIDTH


def test_latents_and_the_shared_key_are_gathered(tmp_path: Path) -> None:
    rank = ic.devices.rank_graph(layout_laws.captured(tmp_path, "deepseek_v3", "prefill"), "tensor=2,sequence=1")
    tokens = SIZES["batch"] * SIZES["sequence"]
    gathered = [size for op, size in exchanged(rank, layer=0) if op == "all_gather"]
    # Latents of queries and of keys, the rotated key of all heads, and the tokens of the feed-forward part.
    assert gathered == [tokens // 2 * width for width in (32, 32, 8, WIDTH)]


def diffllama(**changes: Any) -> ic.Graph:
    config = transformers.AutoConfig.for_model(
        "diffllama", num_hidden_layers=2, hidden_size=WIDTH, num_attention_heads=8, num_key_value_heads=4,
        intermediate_size=192, vocab_size=512, **changes,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    ids = torch.zeros(2, 16, dtype=torch.int64)
    return ic.capture(model, ic.Inputs((), {"input_ids": ids, "use_cache": False}))


def test_halves_of_heads_that_meet_lie_together() -> None:
    whole = diffllama()  # the results of heads i and i + 4 are subtracted
    for tensor in (2, 4):
        rank = ic.devices.rank_graph(whole, f"tensor={tensor}")
        queries, keys, values, results = (
            next(share for share in ic.devices.weight_shares(rank) if share.name.endswith(f"0.self_attn.{name}.weight"))
            for name in ("q_proj", "k_proj", "v_proj", "o_proj")
        )
        assert tensor * queries.elements == queries.of
        assert tensor * results.elements == results.of
        copies = max(1, tensor // 2)  # of two keys in each half
        assert tensor * keys.elements == copies * keys.of
        assert tensor * values.elements == copies * values.of
        assert [op for op, _ in exchanged(rank, layer=0)] == ["all_reduce"] * 2
    message = (
        "tensor=8 does not divide the 4 heads before model.layers.0.self_attn.o_proj; expected tensor to be one of"
    )
    with pytest.raises(LayoutError, match=re.escape(f"{message} 1, 2, 4")):
        ic.devices.rank_graph(whole, "tensor=8")


@pytest.mark.slow
def test_heads_of_einsum_are_heads() -> None:
    config = transformers.AutoConfig.for_model("cvt")
    model = transformers.AutoModelForImageClassification.from_config(config).eval()
    graph = ic.capture(model, torch.randn(1, 3, 224, 224))
    with pytest.raises(
        LayoutError, match=re.escape("does not divide the 3 heads before cvt.encoder.stages.1.layers.0")
    ):
        ic.devices.rank_graph(graph, "tensor=2")
    even = transformers.AutoConfig.for_model("cvt", num_heads=[2, 4, 6])
    graph = ic.capture(
        transformers.AutoModelForImageClassification.from_config(even).eval(), torch.randn(1, 3, 224, 224)
    )
    rank = ic.devices.rank_graph(graph, "tensor=2")
    shares = {share.name: share for share in ic.devices.weight_shares(rank)}
    for stage in range(3):
        block = f"cvt.encoder.stages.{stage}.layers.0"
        for name in ("attention.attention.projection_value", "attention.output.dense", "intermediate.dense"):
            share = shares[f"{block}.{name}.weight"]
            assert 2 * share.elements == share.of, share
    with pytest.raises(LayoutError, match=re.escape("expected tensor to be one of 1, 2")):
        ic.devices.rank_graph(graph, "tensor=3")


def test_a_layout_that_divides_the_heads_but_not_their_groups_names_the_groups() -> None:
    config = transformers.LlamaConfig(
        hidden_size=96, intermediate_size=128, num_hidden_layers=1, num_attention_heads=12, num_key_value_heads=3,
        vocab_size=64,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    ids = torch.zeros(1, 8, dtype=torch.int64)
    graph = ic.capture(model, ic.Inputs((), {"input_ids": ids, "use_cache": False}))
    with pytest.raises(LayoutError, match="tensor=4 does not divide the 3 key-value heads that serve the 12 heads"):
        ic.devices.rank_graph(graph, "tensor=4")

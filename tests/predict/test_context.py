"""Context parallelism: tokens of prompts, and positions of caches, on several devices."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost.deployment import DeploymentError, LayoutError
from pyinfercost.predict.plans import caches_of, value_of
from pyinfercost.sources.captured import graph_over

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

H100 = "h100-sxm-80gb"
LAYERS, WIDTH, HEADS, KEYS = 2, 64, 8, 4
HEAD = WIDTH // HEADS
SIZES = {"batch": 2, "sequence": 256}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {
        "num_hidden_layers": LAYERS, "hidden_size": WIDTH, "num_attention_heads": HEADS, "num_key_value_heads": KEYS,
        "intermediate_size": 160, "vocab_size": 512, "pad_token_id": 0, "dtype": "bfloat16",
    },
    "mixtral": {
        "num_hidden_layers": LAYERS, "hidden_size": WIDTH, "num_attention_heads": HEADS, "num_key_value_heads": KEYS,
        "intermediate_size": 96, "num_local_experts": 8, "vocab_size": 512, "pad_token_id": 0, "dtype": "bfloat16",
    },
    "bert": {
        "num_hidden_layers": LAYERS, "hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 160,
        "vocab_size": 512,
    },
}  # fmt: skip


def captured(folder: Path, name: str, phase: str) -> ic.Graph:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"model_type": name, **CONFIGS[name]}), encoding="utf-8")
    sizes = {"batch": [2, 3], "context": [256, 512]} if phase == "decode" else {"batch": [2, 3], "sequence": [256, 512]}
    return graph_over(f"hf:{path}#{phase}" if phase else f"hf:{path}", sizes).graph


def cached_bytes(graph: ic.Graph, sizes: dict[str, int]) -> int:
    return sum(value_of(cache.bytes, sizes) for cache in caches_of(graph, "native"))


def collectives(graph: ic.Graph, sizes: dict[str, int]) -> list[tuple[str, int, int]]:
    """Names of the collectives, their devices, and the bytes of their results."""
    return [
        (node.op.removeprefix("collective."), node.argument("devices"), value_of(node.outputs[0].nbytes, sizes))
        for node in graph.nodes
        if node.op.startswith("collective.")
    ]


@pytest.mark.parametrize("engine", ["torch", "vllm"])
@pytest.mark.parametrize("name", ["llama", "mixtral"])
@pytest.mark.sample(2)
def test_ranks_share_the_tokens_of_a_prompt(tmp_path: Path, name: str, engine: str) -> None:
    whole = captured(tmp_path, name, "prefill")
    launched = ic.engine_graph(whole, engine)
    rank = ic.devices.rank_graph(launched, "context=4")
    keys = 2 * SIZES["batch"] * KEYS * SIZES["sequence"] * HEAD * 2  # and values, in two bytes
    assert collectives(rank, SIZES) == [("all_gather", 4, keys)] * LAYERS

    before, after = (ic.count(graph, sizes=SIZES) for graph in (launched, rank))
    assert after.total.parameters == before.total.parameters
    logits = 2 * SIZES["batch"] * WIDTH * 512  # of the last token: on every rank
    assert 4 * (after.total.contraction_flops - logits) == before.total.contraction_flops - logits
    assert 4 * (after.total.causal_flops - logits) == before.total.causal_flops - logits
    assert 4 * cached_bytes(rank, SIZES) == cached_bytes(launched, SIZES) > 0


@pytest.mark.parametrize(("name", "engine"), [("llama", "torch"), ("llama", "vllm"), ("bert", "torch")])
def test_ranks_exchange_tokens_for_heads(tmp_path: Path, name: str, engine: str) -> None:
    whole = ic.engine_graph(captured(tmp_path, name, "prefill" if name == "llama" else ""), engine)
    rank = ic.devices.rank_graph(whole, "context=4,ulysses=1")
    keys, element = (KEYS, 2) if name == "llama" else (HEADS, 4)
    of_head = SIZES["batch"] * SIZES["sequence"] * HEAD * element // 4  # tokens of a rank
    exchanged = [("all_to_all", 4, HEADS * of_head), *[("all_to_all", 4, keys * of_head)] * 2]
    assert collectives(rank, SIZES) == [*exchanged, ("all_to_all", 4, HEADS * of_head)] * LAYERS
    attended = [node for node in rank.nodes if "scaled_dot_product" in node.op]
    for node in attended:  # all tokens of a quarter of the heads
        shapes = [tuple(value_of(length, SIZES) for length in tensor.shape) for tensor in node.inputs[:3]]
        assert shapes == [(2, heads // 4, 256, HEAD) for heads in (HEADS, keys, keys)]
    flops = [ic.count(graph, sizes=SIZES).total for graph in (whole, rank)]
    last = 2 * SIZES["batch"] * WIDTH * 512 if name == "llama" else 2 * SIZES["batch"] * WIDTH * WIDTH
    assert 4 * (flops[1].contraction_flops - last) == flops[0].contraction_flops - last
    assert 4 * (flops[1].causal_flops - last) == flops[0].causal_flops - last


def test_heads_are_fewer_bytes_than_keys(tmp_path: Path) -> None:
    # Of n ranks a gathering brings 2 T (n - 1) / n, and four exchanges send 4 T / n (n - 1) / n.
    whole = captured(tmp_path, "bert", "")
    gathered, exchanged = (
        ic.estimate(whole, hardware=H100, layout=layout, batch=8, sequence=512).exchanges
        for layout in ("context=8", "context=8,ulysses=1")
    )
    sent = [{each.op: each.bytes_sent for each in found} for found in (gathered, exchanged)]
    assert set(sent[1]) == {"all_to_all"}
    assert 8 * sent[1]["all_to_all"] == 2 * sent[0]["all_gather"]


@pytest.mark.parametrize(
    ("name", "phase", "layout", "message"),
    [
        ("llama", "prefill", "context=8,ulysses=1", "context=8 with ulysses=1 does not divide the 4 heads of key of"),
        ("llama", "decode", "context=4,ulysses=1", "ulysses=1 exchanges tokens of a prompt for heads, and this graph"),
        ("llama", "prefill", "ulysses=1", "ulysses is 1 with context=1; expected several devices"),
    ],
)
def test_exchanges_that_do_not_fit_are_refused(
    tmp_path: Path, name: str, phase: str, layout: str, message: str
) -> None:
    with pytest.raises(LayoutError, match=re.escape(message)):
        ic.devices.rank_graph(captured(tmp_path, name, phase), layout)


@pytest.mark.parametrize("engine", ["torch", "vllm"])
def test_ranks_share_the_positions_of_a_cache(tmp_path: Path, engine: str) -> None:
    sizes = {"batch": 2, "context": 512}
    whole = captured(tmp_path, "llama", "decode")
    launched = ic.engine_graph(whole, engine)
    rank = ic.devices.rank_graph(launched, "context=4")
    rows = sizes["batch"] * HEADS
    # Of each row the sum of its exponentials, in float32 of each rank, and its result.
    assert collectives(rank, sizes) == [("all_gather", 4, 4 * rows * 4), ("all_reduce", 4, rows * HEAD * 2)] * LAYERS
    token = 2 * sizes["batch"] * KEYS * HEAD * 2 * LAYERS
    assert cached_bytes(launched, sizes) == token * (512 + 1)  # with the token of the step
    assert cached_bytes(rank, sizes) == token * (512 // 4 + 1)


def test_encoders_share_tokens(tmp_path: Path) -> None:
    whole = captured(tmp_path, "bert", "")
    rank = ic.devices.rank_graph(whole, "context=2")
    assert [op for op, _, _ in collectives(rank, SIZES)] == ["all_gather"] * LAYERS
    assert (
        ic.count(rank, sizes=SIZES).total.contraction_flops < 0.6 * ic.count(whole, sizes=SIZES).total.contraction_flops
    )


def test_long_prompts_are_faster_and_short_ones_are_not(tmp_path: Path) -> None:
    graph = captured(tmp_path, "llama", "prefill")
    layouts = ["tensor=1", "context=4"]
    result = ic.sweep(graph, hardware=H100, engine="vllm", layout=layouts, batch=[1], sequence=[128, 65536])
    latency = dict(zip(zip(result["layout"], result["sequence"], strict=True), result["latency_s"], strict=True))
    assert latency["context=4", 65536] < 0.5 * latency["tensor=1", 65536]
    assert latency["context=4", 128] > latency["tensor=1", 128]  # messages wait for each other
    known = ic.estimate(
        graph, hardware=H100, engine="vllm", layout="context=4", batch=1, sequence=65536, sustained=True
    )
    assert known.latency_s == pytest.approx(latency["context=4", 65536], rel=1e-12)
    assert known.tokens == 65536
    assert known.devices == 4


def test_with_tensor_and_pipeline(tmp_path: Path) -> None:
    graph = captured(tmp_path, "llama", "prefill")
    layout = "tensor=2,context=2,pipeline=2,nodes=2"
    rank = ic.devices.rank_graph(graph, layout)
    kinds = [
        (node.op.removeprefix("collective."), node.argument("devices"), node.argument("nodes"))
        for node in rank.nodes
        if node.op.startswith("collective.")
    ]
    assert kinds.count(("send", 2, 2)) == 1  # stages are in a machine each
    assert kinds.count(("all_gather", 2, 1)) == LAYERS + 1  # keys and values, and logits
    assert kinds.count(("all_reduce", 2, 1)) == 2 * LAYERS + 1
    known = ic.estimate(graph, hardware=H100, layout=layout, batch=1, sequence=4096)
    assert known.latency_s > 0
    assert len(known.stages) == 2


def test_what_tokens_share_otherwise_is_refused(tmp_path: Path) -> None:
    smooth = nn.Sequential(nn.Conv1d(8, 8, 3, padding=1), nn.ReLU()).eval()
    graph = ic.capture(smooth, torch.randn(1, 8, 64), dynamic={0: {2: "sequence"}})
    message = "context=2 cannot divide this model: '0' (aten.conv1d) reads neighboring tokens; expected context=1"
    with pytest.raises(LayoutError, match=re.escape(message)):
        ic.devices.rank_graph(graph, "context=2")
    path = tmp_path / "llama.json"
    path.write_text(json.dumps({"model_type": "llama", **CONFIGS["llama"]}), encoding="utf-8")
    fixed = ic.capture(f"hf:{path}#prefill")
    with pytest.raises(LayoutError, match=re.escape("it has no size 'sequence', and must be captured with it")):
        ic.devices.rank_graph(fixed, "context=2")
    with pytest.raises(DeploymentError, match="pass chunk_tokens or context, and not both"):
        ic.Deployment(hardware=H100, engine="vllm", layout="context=2", serving="chunk_tokens=512")

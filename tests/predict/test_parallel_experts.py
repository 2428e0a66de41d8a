"""Experts with unequal numbers of tokens: the busiest rank, the experts that are read, and what is exchanged."""

from __future__ import annotations

import json
import math
import re
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import pyinfercost as ic
from pyinfercost import Layout
from pyinfercost.cli import main
from pyinfercost.deployment import LayoutError
from pyinfercost.predict.plans import SERVED_EXPERTS, value_of
from pyinfercost.sources.captured import graph_over

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

EXPERTS, CHOSEN, TOKENS = 8, 2, 128
ROWS = TOKENS * CHOSEN
MIXTRAL: dict[str, Any] = {
    "model_type": "mixtral", "num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 96,
    "num_local_experts": EXPERTS, "num_experts_per_tok": CHOSEN, "num_hidden_layers": 1, "hidden_size": 64,
    "vocab_size": 512, "pad_token_id": 0,
}  # fmt: skip
HARMONIC = sum(1 / i for i in range(1, EXPERTS + 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("configs")
    (path / "config.json").write_text(json.dumps(MIXTRAL), encoding="utf-8")
    return path


@cache
def prompt(folder: Path) -> ic.Graph:
    return ic.capture(f"hf:{folder}#prefill")


@cache
def step(folder: Path) -> ic.Graph:
    return graph_over(f"hf:{folder}#decode", {"batch": [2, 3], "context": [1000, 2000]}).graph


def grouped(graph: ic.Graph) -> list[ic._core.NodeInfo]:
    found = [node for node in graph.nodes if "grouped" in node.op]
    assert len(found) == 2
    return found


def rows(graph: ic.Graph) -> int:
    """Rows of experts on the rank."""
    found = {graph.tensor(node.inputs[0].index).shape[0] for node in grouped(graph)}
    assert len(found) == 1
    return int(found.pop())


def contractions(graph: ic.Graph) -> int:
    """Contraction FLOPs of the experts."""
    return sum(row.work.contraction_flops for row in ic.count(graph).layers if "grouped" in row.op)


@pytest.mark.parametrize(
    ("load", "share"),
    [
        ("balanced", 1.0),
        # Experts 1 and 5 of eight are on the first of four ranks.
        ("power:1", 4 * (1 + 1 / 5) / HARMONIC),
        ("power:0", 1.0),
        # All tokens choose the first expert, and one in five the second; these two have 1.2 of the 2 of a token.
        ("50:10:10:10:5:5:5:5", 4 * 1.2 / 2),
        ([1] * EXPERTS, 1.0),
    ],
)
def test_the_busiest_rank_decides(folder: Path, load: str | list[int], share: float) -> None:
    rank = ic.devices.rank_graph(prompt(folder), Layout(tensor=4, expert=4, expert_load=load))
    assert rows(rank) == math.ceil(ROWS * round(share, 3) / 4)
    balanced = ic.devices.rank_graph(prompt(folder), Layout(tensor=4, expert=4))
    assert contractions(rank) * (ROWS // 4) == contractions(balanced) * rows(rank)


def test_the_busiest_of_ranks_with_random_tokens_has_more_than_the_mean(folder: Path) -> None:
    rank = ic.devices.rank_graph(prompt(folder), Layout(tensor=4, expert=4, expert_load="random"))
    mean = ROWS / 4
    assert rows(rank) == round(mean + math.sqrt(2 * mean * math.log(4)))


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 8, 16, 64, 1000])
def test_experts_that_are_read_are_those_with_tokens(folder: Path, batch: int) -> None:
    def read(layout: Layout) -> int:
        used = [node.argument("groups_used") for node in grouped(ic.devices.rank_graph(step(folder), layout))]
        assert used[0] == used[1]
        return int(value_of(used[0], {"batch": batch, "context": 1000}))

    expected = EXPERTS * (1 - (1 - CHOSEN / EXPERTS) ** batch)
    assert read(Layout(expert_load="random")) == pytest.approx(expected, abs=0.6)
    assert read(Layout(tensor=2, expert_load="random")) == pytest.approx(expected, abs=0.6)
    assert read(Layout(tensor=4, expert=4, expert_load="random")) == pytest.approx(max(1, expected / 4), abs=0.6)
    # The expert of the first rank has all tokens, and the second one of ten.
    loads = [50, 10, *[0] * 5, 40]
    chosen = 1 + (1 - (1 - 10 / 50) ** batch)
    assert read(Layout(tensor=4, expert=4, expert_load=loads)) == pytest.approx(chosen, abs=0.6)


def test_tokens_are_exchanged_with_the_busiest_rank(folder: Path) -> None:
    def exchanged(load: str) -> dict[str, tuple[Any, ...]]:
        rank = ic.devices.rank_graph(prompt(folder), Layout(expert=8, data=8, expert_load=load))
        sent = {row.op: row.work.bytes_sent for row in ic.count(rank).layers if row.op.startswith("collective.")}
        nodes = {node.op: node for node in rank.nodes if node.op.startswith("collective.")}
        return {op: (*(nodes[op].argument(name) for name in ("top_k", "experts")), sent[op]) for op in nodes}

    balanced, busy = exchanged("balanced"), exchanged("power:1")
    assert set(balanced) == {"collective.dispatch", "collective.combine"}
    for op, (chosen, experts, sent) in balanced.items():
        assert (chosen, experts) == (CHOSEN, EXPERTS)
        # To one of eight experts, of which one is on the rank: two copies of a token of 64 elements, in float32.
        assert sent == TOKENS * CHOSEN * 64 * 4 * 7 / 8
        assert busy[op][:2] == (CHOSEN, EXPERTS)
        assert busy[op][2] == pytest.approx(sent * EXPERTS / HARMONIC, rel=1e-3)
    rank = ic.devices.rank_graph(prompt(folder), Layout(expert=8, data=8, expert_load="power:1"))
    assert rows(rank) == math.ceil(ROWS * round(EXPERTS / HARMONIC, 3))


@pytest.mark.parametrize(
    ("layout", "batch_of_rank"),
    [
        ("tensor=4,data=2,expert=8", 64),
        ("tensor=4,data=2,expert=8,attention_data=4", 16),
        ("expert=8,data=8", 16),
    ],
)
def test_experts_of_all_ranks_have_the_tokens_of_all(folder: Path, layout: str, batch_of_rank: int) -> None:
    rank = ic.devices.rank_graph(step(folder), layout)
    sizes = {"batch": batch_of_rank, "context": 1000}  # 128 sequences of all ranks
    [sent] = [node for node in rank.nodes if node.op == "collective.dispatch"]
    [returned] = [node for node in rank.nodes if node.op == "collective.combine"]
    assert value_of(sent.inputs[0].shape[0], sizes) == TOKENS / 8
    assert value_of(sent.outputs[0].shape[0], sizes) == ROWS / 8
    assert value_of(returned.outputs[0].shape[0], sizes) == TOKENS / 8
    for node in grouped(rank):
        assert value_of(node.inputs[0].shape[0], sizes) == ROWS / 8
    gathered = [node for node in rank.nodes if node.op == "collective.all_gather" and "mlp" in node.module]
    assert bool(gathered) == (batch_of_rank == 64)


def test_tokens_that_are_shared_between_products_are_sent_as_they_are(folder: Path) -> None:
    graph = graph_over(f"hf:{folder}#prefill", {"batch": [2, 3], "sequence": [64, 128]}).graph
    rank = ic.devices.rank_graph(graph, "tensor=2,data=4,expert=8,sequence=1")
    sizes = {"batch": 1, "sequence": TOKENS}
    nodes = {node.op: node for node in rank.nodes if node.op in ("collective.dispatch", "collective.combine")}
    assert value_of(nodes["collective.dispatch"].inputs[0].shape[0], sizes) == TOKENS / 2
    assert value_of(nodes["collective.dispatch"].outputs[0].shape[0], sizes) == ROWS / 2
    assert prod(value_of(n, sizes) for n in nodes["collective.combine"].outputs[0].shape[:-1]) == TOKENS / 2


def test_a_step_takes_longer_with_a_busy_rank(folder: Path) -> None:
    def latency_s(load: str) -> float:
        layout = Layout(tensor=4, expert=4, expert_load=load)
        on = ic.Deployment(hardware="h100-sxm-80gb", engine="vllm", layout=layout)
        return ic.estimate(step(folder), on=on, sizes={"batch": 4096, "context": 1000}).latency_s

    assert latency_s("balanced") < latency_s("power:0.5") < latency_s("power:2")


def test_every_function_loads_the_experts_of_an_engine_alike(folder: Path) -> None:
    graph, prefill = step(folder), graph_over(f"hf:{folder}#prefill", {"batch": [2, 3], "sequence": [64, 128]}).graph
    sizes = {"batch": 3, "context": 1000}

    def on(layout: str | None, engine: str = "vllm") -> ic.Deployment:
        return ic.Deployment(hardware="h100-sxm-80gb", engine=engine, layout=layout, precision="bf16")

    served = ic.estimate(graph, on=on(f"tensor=1,expert_load={SERVED_EXPERTS}"), sizes=sizes)
    balanced = ic.estimate(graph, on=on("tensor=1,expert_load=balanced"), sizes=sizes)
    assert served.latency_s < balanced.latency_s
    for layout in (None, "tensor=1"):
        assert ic.estimate(graph, on=on(layout), sizes=sizes).latency_s == served.latency_s
    assert ic.profile(graph, on=on(None), sizes=sizes).estimate.latency_s == served.latency_s
    swept = ic.sweep(graph, on=on(None), sustained=False, sizes=sizes)
    assert swept["latency_s"][0] == served.latency_s
    steps = ic.serving.step_costs(graph, prefill, on=on(None), context=1001)
    stated = ic.serving.step_costs(graph, prefill, on=on(f"tensor=1,expert_load={SERVED_EXPERTS}"), context=1001)
    assert steps.layout == stated.layout == f"expert_load={SERVED_EXPERTS}"
    assert steps.core.decode_attention(2.0, 1000.0) == stated.core.decode_attention(2.0, 1000.0)
    assert ic.serving.step_costs(graph, prefill, on=on("tensor=1,expert_load=balanced")).layout.endswith("balanced")


def test_the_loads_of_experts_are_stated(folder: Path) -> None:
    sizes = {"batch": 3, "context": 1000}
    for engine, loads in (("vllm", SERVED_EXPERTS), ("torch", "balanced")):
        estimate = ic.estimate(step(folder), hardware="h100-sxm-80gb", engine=engine, sizes=sizes)
        assert estimate.layout.expert_load == loads
        assert f"{loads} loads; --layout expert_load=... states others" in str(estimate)
    compared = ic.compare(step(folder), hardware="h100-sxm-80gb", engine="vllm", **sizes)
    assert f"experts have {SERVED_EXPERTS} loads in vllm; --layout expert_load=... states others" in compared.notes
    measured = ic.Layout(tensor=1, expert_load=[1] * EXPERTS)
    estimate = ic.estimate(step(folder), hardware="h100-sxm-80gb", engine="vllm", layout=measured, sizes=sizes)
    assert "measured loads" in str(estimate)


def test_sweeps_state_the_loads_of_experts(folder: Path) -> None:
    def lines(*options: str) -> str:
        arguments = ["sweep", f"hf:{folder}#decode", "-H", "h100-sxm-80gb", "--batch", "1,8", *options]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    assert f"{SERVED_EXPERTS} loads; --layout expert_load=... states others" in lines("--engine", "vllm")
    assert "balanced loads" in lines()
    assert "random loads" in lines("--engine", "vllm", "--layout", "tensor=1,expert_load=random")


@pytest.mark.parametrize(
    ("load", "message"),
    [
        ("4:3:2:1", "expert_load has 4 loads, and this model has 8 experts in a layer; expected one load for each"),
        ("even", "expert_load is 'even'; expected balanced, random"),
        ("power:11", "the exponent of expert_load is 11"),
        ([0.0, 0.0], "expected balanced, random, power:EXPONENT, or the tokens of each expert as numbers"),
        (4, "expert_load is 4; expected balanced"),
    ],
)
def test_loads_that_do_not_fit_are_refused(folder: Path, load: Any, message: str) -> None:
    with pytest.raises(LayoutError, match=re.escape(message)):
        ic.devices.rank_graph(prompt(folder), Layout(tensor=2, expert=2, expert_load=load))


def test_a_model_without_experts_has_no_load_of_experts(toy: str) -> None:
    graph = ic.Graph.from_json(Path(toy).read_text(encoding="utf-8"))
    with pytest.raises(LayoutError, match=r"this model has none; expected expert_load=balanced"):
        ic.devices.rank_graph(graph, Layout(data=2, expert_load="random"))

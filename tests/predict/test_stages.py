"""Pipelines: where graphs are cut, how stages balance, and what micro-batches make of their times."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost.deployment import LayoutError

H100 = "h100-sxm-80gb"
WIDTH = 2048


def chain(inner: list[int], words: int = 0, *, skip: bool = False) -> ic.Graph:
    """Residual blocks `layers.I` of two products of these inner widths, and logits; with `skip`, from input to end."""
    builder = ic.GraphBuilder("chain")
    batch = builder.size("batch", default=64)
    given = builder.tensor("bfloat16", [batch, WIDTH], role="input", name="x")

    def op(op: str, columns: int, module: str, /, **args: Any) -> Any:
        made = builder.tensor("bfloat16", [batch, columns])
        builder.node(op, args, [made], module=module)
        return made

    def linear(x: Any, module: str, rows: int, columns: int) -> Any:
        weight = builder.tensor("bfloat16", [rows, columns], role="parameter", name=f"{module}.weight")
        return op("aten.linear.default", rows, module, input=x, weight=weight)

    first = x = op("aten.relu.default", WIDTH, "stem", self=given)
    for number, width in enumerate(inner):
        up = linear(x, f"layers.{number}.up", width, WIDTH)
        down = linear(up, f"layers.{number}.down", WIDTH, width)
        x = op("aten.add.Tensor", WIDTH, f"layers.{number}", self=x, other=down)
    if skip:
        x = op("aten.add.Tensor", WIDTH, "end", self=x, other=first)
    if words:
        x = linear(x, "head", words, WIDTH)
    return builder.build([given], [x])


def estimate(graph: ic.Graph, layout: str, **options: Any) -> ic.results.Estimate:
    return ic.estimate(graph, hardware=H100, layout=layout, execution="cuda_graph", **options)


def layers_of(known: ic.results.Estimate) -> list[list[str]]:
    return [[module for module in stage.modules if module.startswith("layers")] for stage in known.stages]


def test_stages_have_all_weights_and_send_one_activation() -> None:
    whole = chain([WIDTH] * 6)
    graph = ic.devices.rank_graph(whole, "pipeline=3")
    sends = [node for node in graph.nodes if node.op == "collective.send"]
    assert [(node.argument("devices"), node.argument("nodes")) for node in sends] == [(2, 1), (2, 1)]
    assert [graph.tensor(node.operand("input")).shape[1] for node in sends] == [WIDTH, WIDTH]
    stages = [ic.devices.rank_graph(whole, "pipeline=3", stage=number) for number in range(3)]
    names = [{share.name for share in ic.devices.weight_shares(stage)} for stage in stages]
    assert names == [
        {f"layers.{i}.{part}.weight" for i in pair for part in ("up", "down")} for pair in ((0, 1), (2, 3), (4, 5))
    ]
    assert sum(ic.count(stage).total.contraction_flops for stage in stages) == ic.count(whole).total.contraction_flops


@pytest.mark.parametrize("stages", [2, 3, 4])
@pytest.mark.parametrize("words", [0, 40_000])
def test_the_slowest_stage_is_as_fast_as_any_cut_allows(stages: int, words: int) -> None:
    inner = [512, 4096, 1024, 2048, 8192, 512, 1024, 3072]
    graph = chain(inner, words)
    known = estimate(graph, f"pipeline={stages},micro_batches=1", batch=64)
    whole = ic.estimate(graph, hardware=H100, execution="cuda_graph", batch=64)
    times = [0.0] * (len(inner) + 2)  # the stem, blocks, the head
    for layer in whole.layers:
        place = (
            0
            if layer.module == "stem"
            else len(inner) + 1
            if layer.module == "head"
            else int(layer.module.split(".")[1]) + 1
        )
        times[place] += layer.latency_s
    if not words:
        times.pop()
    send_s = next(layer.latency_s for layer in known.layers if layer.op == "collective.send")

    def taken(i: int, j: int) -> float:
        return sum(times[i:j]) + (send_s if j < len(times) else 0.0)

    bounds = ((0, *cuts, len(times)) for cuts in combinations(range(1, len(times)), stages - 1))
    best = min(max(taken(i, j) for i, j in pairwise(each)) for each in bounds)
    assert sum(len(stage.modules) for stage in known.stages) == len(times)
    assert max(stage.latency_s for stage in known.stages) == pytest.approx(best, rel=0.01)


def test_a_wide_head_takes_layers_off_the_last_stage() -> None:
    plain, headed = (layers_of(estimate(chain([4096] * 8, words), "pipeline=2")) for words in (0, 16 * 4096))
    assert [len(each) for each in plain] == [4, 4]
    # The head has as many weights as eight of the blocks, and its one large product is faster than theirs.
    assert 6 <= len(headed[0]) <= 8


def test_micro_batches_fill_the_pipeline() -> None:
    graph = chain([WIDTH] * 8)
    known = estimate(graph, "pipeline=4", batch=64)
    times = [stage.latency_s for stage in known.stages]
    # Four micro-batches of 16: the last one enters after three of the slowest stage's times.
    assert known.latency_s == pytest.approx(sum(times) + 3 * max(times), rel=1e-12)
    assert known.interval_s == pytest.approx(4 * max(times), rel=1e-12)
    assert known.throughput_per_s == pytest.approx(64 / (4 * max(times)), rel=1e-12)
    # Of stages that take equal times, (P - 1) / (m + P - 1) of the latency are bubbles: 3 / 7.
    assert known.bubble_share == pytest.approx(3 / 7, abs=0.03)  # the last stage sends nothing
    assert {stage.sent_bytes for stage in known.stages} == {16 * WIDTH * 2, 0}

    many = estimate(graph, "pipeline=4,micro_batches=16", batch=64)
    times = [stage.latency_s for stage in many.stages]
    assert many.bubble_share == pytest.approx(1 - 16 * sum(times) / 4 / many.latency_s, rel=1e-9)
    assert many.bubble_share < known.bubble_share
    one = estimate(graph, "pipeline=4", batch=1)  # nothing to divide
    assert one.latency_s == pytest.approx(sum(stage.latency_s for stage in one.stages), rel=1e-12)
    assert one.interval_s == max(stage.latency_s for stage in one.stages)


def test_a_pipeline_of_equal_stages_is_that_of_its_parts() -> None:
    graph = chain([WIDTH] * 8)
    known = estimate(graph, "pipeline=2,micro_batches=1", batch=64)
    parts = [
        ic.estimate(
            ic.devices.rank_graph(graph, "pipeline=2", stage=number), hardware=H100, execution="cuda_graph", batch=64
        )
        for number in range(2)
    ]
    assert [stage.latency_s for stage in known.stages] == [part.latency_s for part in parts]
    assert [stage.weight_bytes for stage in known.stages] == [2 * 4 * 2 * WIDTH * WIDTH] * 2
    assert known.latency_s == pytest.approx(sum(part.latency_s for part in parts), rel=1e-12)
    # Each of two devices works for its own time and idles for the rest of the interval.
    assert known.energy_j is not None
    idle_w = known.machine.power_w["idle"]
    joules = sum(part.energy_j + idle_w * (known.interval_s - part.latency_s) for part in parts if part.energy_j)
    assert known.energy_j == pytest.approx(joules, rel=1e-12)


@pytest.mark.parametrize("layout", ["pipeline=2", "pipeline=4,micro_batches=8", "pipeline=2,data=2"])
def test_points_of_a_sweep_are_the_estimates(layout: str) -> None:
    graph = chain([WIDTH, 4096, WIDTH, 1024, WIDTH], 5000)
    batches = [1, 2, 3, 7, 8, 64, 100]
    result = ic.sweep(graph, hardware=H100, execution="cuda_graph", layout=[layout], batch=batches, price=2.5)
    for row, batch in enumerate(batches):
        known = estimate(graph, layout, batch=batch, price=2.5, sustained=True)
        for name in ("latency_s", "latency_high_s", "throughput_per_s", "energy_j", "cost_usd", "cold_start_s"):
            assert result[name][row] == pytest.approx(getattr(known, name), rel=1e-12), (name, batch)
        assert result["peak_memory_bytes"][row] == max(stage.memory_bytes for stage in known.stages)


def test_stages_in_other_nodes_send_over_the_network() -> None:
    graph = chain([WIDTH] * 8)
    sends = [
        node.argument("nodes")
        for node in ic.devices.rank_graph(graph, "tensor=2,pipeline=4,nodes=2").nodes
        if node.op == "collective.send"
    ]
    assert sends == [1, 2, 1]  # ranks 0-3 and 4-7 are in one node each: stages 0 and 1, 2 and 3
    sums = {
        node.argument("nodes")
        for node in ic.devices.rank_graph(graph, "tensor=2,pipeline=4,nodes=2").nodes
        if node.op == "collective.all_reduce"
    }
    assert sums == {1}


@pytest.mark.parametrize(
    ("graph", "layout", "message"),
    [
        (chain([64, 64]), "pipeline=9", "pipeline=9 needs 8 places where one activation passes from layer to layer"),
        (
            chain([64, 64], skip=True),
            "pipeline=4",
            "(a result of 'stem' is read as late as in 'end'); expected pipeline to be at most",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused(graph: ic.Graph, layout: str, message: str) -> None:
    with pytest.raises(LayoutError, match=re.escape(message)):
        ic.devices.rank_graph(graph, layout)


def test_stages_of_another_number_are_refused() -> None:
    graph = ic.devices.rank_graph(chain([WIDTH] * 4), "pipeline=2")
    with pytest.raises(LayoutError, match="this graph has 2 stages, and the layout has pipeline=4"):
        estimate(graph, "pipeline=4")
    with pytest.raises(LayoutError, match="stage is 2"):
        ic.devices.rank_graph(chain([WIDTH] * 4), "pipeline=2", stage=2)
    with pytest.raises(LayoutError, match="micro_batches is 4 with pipeline=1"):
        ic.Layout(micro_batches=4)

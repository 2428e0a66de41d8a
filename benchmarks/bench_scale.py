"""Graphs of a thousand to a million nodes: building, validation, counting, and JSON in both directions."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost import _core

from .interleaved import alone, race, versus
from .parameters import GRAPHS, JSON_NODES, MAX_MILLION_NODES_S, SLOW_FROM_NODES, SLOW_ROUNDS, SMALLEST_GRAPH

WIDTH, HEADS = 512, 8
ROWS = 16
OPS_PER_BLOCK = 5

Declared = tuple[ic.GraphBuilder, Any, Any]


def declare(nodes: int) -> Declared:
    """Declare a chain of blocks (linear, relu, add, view, transpose) with module paths and weights, without building
    it.

    Args:
        nodes: Number of nodes, a multiple of `OPS_PER_BLOCK`.

    Returns:
        The builder, the input and the output.
    """
    builder = ic.GraphBuilder(f"chain of {nodes}")
    flat, split, turned = (ROWS, WIDTH), (ROWS, HEADS, WIDTH // HEADS), (HEADS, ROWS, WIDTH // HEADS)
    x = given = builder.tensor("float32", flat, role="input", name="x")
    for number in range(nodes // OPS_PER_BLOCK):
        block = f"layers.{number}"
        weight = builder.tensor("float32", (WIDTH, WIDTH), role="parameter", name=f"{block}.fc.weight")
        y = builder.tensor("float32", flat)
        builder.node("aten.linear.default", {"input": x, "weight": weight, "bias": None}, [y], module=f"{block}.fc")
        z = builder.tensor("float32", flat)
        builder.node("aten.relu.default", {"self": y}, [z], module=f"{block}.act")
        total = builder.tensor("float32", flat)
        builder.node("aten.add.Tensor", {"self": x, "other": z, "alpha": 1}, [total], module=block, source="chain.py:7")
        heads = builder.tensor("float32", split)
        builder.node("aten.view.default", {"self": total, "size": list(split)}, [heads], module=block)
        swapped = builder.tensor("float32", turned, strides=(WIDTH // HEADS, WIDTH, 1))
        builder.node("aten.transpose.int", {"self": heads, "dim0": 0, "dim1": 1}, [swapped], module=block)
        x = total
    return builder, given, x


def build_and_count(declared: Declared) -> tuple[ic.Graph, ic.results.Counts]:
    """Build and count; this is the measured function."""
    builder, given, result = declared
    graph = builder.build([given], [result])
    return graph, _core.count(graph, {})


def check(counts: ic.results.Counts, nodes: int) -> None:
    """Check the counts: one linear per block multiplies; the missing bias and the two views cost nothing."""
    blocks = nodes // OPS_PER_BLOCK
    total = counts.total
    assert counts.modelled_nodes == counts.nodes == nodes
    assert total.contraction_flops == blocks * 2 * ROWS * WIDTH * WIDTH
    assert total.pointwise_flops == blocks * 2 * ROWS * WIDTH
    assert total.parameters == blocks * WIDTH * WIDTH
    # Alive at an addition: the input of the block, the result of relu, and the sum.
    assert total.peak_activation_bytes == 3 * ROWS * WIDTH * 4


@pytest.mark.parametrize(
    "nodes", [pytest.param(n, marks=[pytest.mark.slow] if n >= SLOW_FROM_NODES else []) for n in GRAPHS]
)
def bench_build_and_count(benchmark: Any, nodes: int) -> None:
    """Validation and count per node, compared with the smallest graph: a ratio near 1 means linear growth."""
    small_s: list[float] = []

    def turn() -> tuple[tuple[Declared], dict[str, Any]]:
        declared = declare(SMALLEST_GRAPH)
        start = time.perf_counter()
        build_and_count(declared)
        small_s.append(time.perf_counter() - start)
        return (declare(nodes),), {}

    rounds = SLOW_ROUNDS if nodes >= SLOW_FROM_NODES else 5 * SLOW_ROUNDS
    graph, counts = benchmark.pedantic(build_and_count, setup=turn, rounds=rounds, warmup_rounds=1)
    assert graph.node_count == nodes
    check(counts, nodes)
    if benchmark.enabled:
        ours_s = list(benchmark.stats.stats.data)
        title = f"build and count {nodes:,} nodes"
        if nodes > SMALLEST_GRAPH:
            scaled = [seconds * nodes / SMALLEST_GRAPH for seconds in small_s[1:]]
            versus(title, f"{SMALLEST_GRAPH:,} nodes, scaled up", ours_s, scaled, None)
        if nodes in {SMALLEST_GRAPH, max(GRAPHS)}:
            alone(title, ours_s, MAX_MILLION_NODES_S if nodes == max(GRAPHS) else None)
        benchmark.extra_info["median_ns_per_node"] = 1e9 * statistics.median(ours_s) / nodes


@pytest.mark.slow
def bench_to_json(benchmark: Any) -> None:
    """Compared with Python's json, which writes the final text."""
    graph, _ = build_and_count(declare(JSON_NODES))
    data = graph.to_dict()
    answers = race(
        benchmark,
        f"to_json, {JSON_NODES:,} nodes",
        graph.to_json,
        {"json.dumps of the dict": lambda: json.dumps(data)},
        rounds=SLOW_ROUNDS,
    )
    assert json.loads(answers["ours"]) == json.loads(answers["json.dumps of the dict"])


@pytest.mark.slow
def bench_from_json(benchmark: Any) -> None:
    """Compared with Python's json, which parses the text first."""
    graph, _ = build_and_count(declare(JSON_NODES))
    text = graph.to_json()
    answers = race(
        benchmark,
        f"from_json, {JSON_NODES:,} nodes",
        lambda: ic.Graph.from_json(text),
        {"json.loads": lambda: json.loads(text)},
        rounds=SLOW_ROUNDS,
    )
    assert answers["ours"] == graph
    check(_core.count(answers["ours"], {}), JSON_NODES)

"""The tile of a product on a GPU: the shortcuts of the evaluator choose what a search of the whole menu chooses."""

from __future__ import annotations

from math import ceil, floor, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyinfercost as ic
from pyinfercost import _core

MENU = ((256, 128), (128, 256), (128, 128), (256, 64), (64, 256), (128, 64), (64, 128), (64, 64), (64, 32), (32, 64))
SPLIT_LENGTH = 256


def machine(cores: int, flop_per_s: float, fetch_byte_per_s: float) -> ic.Hardware:
    """A GPU that does nothing but products: no overheads, memory without end."""
    return ic.Hardware(
        id="toy",
        name="toy",
        kind="gpu",
        family="toy",
        cores=cores,
        clock_hz=1e9,
        matrix_flop_per_s={"float32": flop_per_s},
        vector_flop_per_s={"float32": 1.0},
        memory=[("l2", 1.0, fetch_byte_per_s), ("dram", 1e15, 1e30)],
        overheads_s={"dispatch": 0.0, "launch_gap": 0.0, "replay_gap": 0.0, "kernel_minimum": 0.0},
        achieved={},
        power_w={},
        links_byte_per_s={},
    )


def product_graph(n: int, k: int) -> ic.Graph:
    """A product of [rows, k] and [k, n]."""
    builder = ic.GraphBuilder("product")
    rows = builder.size("rows", default=2)
    x = builder.tensor("float32", (rows, k), role="input", name="x")
    weight = builder.tensor("float32", (k, n), role="parameter", name="w")
    y = builder.tensor("float32", (rows, n))
    builder.node("aten.mm", {"self": x, "mat2": weight}, [y])
    return builder.build([x], [y])


def searched_s(m: int, n: int, k: int, cores: int, flop_per_s: float, fetch_byte_per_s: float) -> float:
    """The best of the whole menu: a tile's arithmetic in waves, or the fetching of operands, whichever is longer."""
    best = float("inf")
    for rows, cols in MENU:
        tiles = ceil(m / rows) * ceil(n / cols)
        splits = min(max(floor(cores / tiles), 1), max(1, floor(k / SPLIT_LENGTH)))
        waves = ceil(tiles * splits / cores)
        busy_s = waves * 2 * rows * cols * (k / splits) / (flop_per_s / cores)
        fetch_s = tiles * (rows + cols) * k * 4 / fetch_byte_per_s
        best = min(best, max(busy_s, fetch_s))
    # What is moved passes through the last cache once.
    return max(best, 4 * (m * k + k * n + m * n) / fetch_byte_per_s)


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 3000),
    k=st.integers(1, 3000),
    cores=st.integers(1, 200),
    ridge=st.floats(0.5, 200),
    start=st.integers(2, 5000),
    step=st.integers(1, 300),
)
def test_the_best_tile_is_that_of_the_whole_menu(
    n: int, k: int, cores: int, ridge: float, start: int, step: int
) -> None:
    flop_per_s = 1e12
    fetch = flop_per_s / ridge
    rows = np.arange(start, start + 64 * step, step)
    plan = _core.plan(product_graph(n, k), {})
    gpu = machine(cores, flop_per_s, fetch)
    found = _core.evaluate(plan, {"rows": rows}, gpu, points=len(rows))["latency_s"]
    expected = [searched_s(int(m), n, k, cores, flop_per_s, fetch) for m in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("cores", [1, 7, 64, 108, 132])
def test_waves_are_whole_where_tiles_fill_the_cores_exactly(cores: int) -> None:
    """128 x 128 tiles in exact multiples of the cores: a reciprocal that is rounded up would count a wave too many."""
    plan = _core.plan(product_graph(128, 128), {})
    rows = np.asarray([128 * cores * waves for waves in range(1, 400)])
    flop_per_s = 1e12
    found = _core.evaluate(plan, {"rows": rows}, machine(cores, flop_per_s, 1e25), points=len(rows))["latency_s"]
    ideal = np.asarray([2 * prod((int(m), 128, 128)) / flop_per_s for m in rows])
    np.testing.assert_allclose(found, ideal, rtol=1e-12)

"""Tiles of products on a GPU: the evaluator's shortcuts select the same tile as a search of the whole menu."""

from __future__ import annotations

from math import ceil, floor, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

import pyinfercost as ic
from pyinfercost import _core

MENUS = {
    "matrix": ((128, 256), (128, 128), (64, 64), (64, 32), (64, 16), (64, 8)),
    "vector": ((128, 128), (128, 64), (128, 32), (64, 64)),
}
RESIDENT_ELEMENTS, MOST_RESIDENT = 2 * 128 * 128, 8
FLOP_PER_S = 1e12


def machine(unit: str, cores: int, **tiles: float) -> ic.Hardware:
    """A GPU that does nothing but products, on its matrix or its vector unit: no overheads, memory without end."""
    other = "vector" if unit == "matrix" else "matrix"
    rates = {f"{unit}_flop_per_s": {"float32": FLOP_PER_S}, f"{other}_flop_per_s": {}}
    return ic.Hardware(
        id="toy",
        name="toy",
        kind="gpu",
        family="toy",
        cores=cores,
        clock_hz=1e9,
        **rates,
        memory=[("l2", 1.0, 1e30), ("dram", 1e15, 1e30)],
        overheads_s={"dispatch": 0.0, "launch_gap": 0.0, "replay_gap": 0.0, "kernel_minimum": 0.0},
        achieved={},
        constants={f"tiles_{unit}.{name}": value for name, value in tiles.items()},
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


def searched_s(unit: str, m: int, n: int, k: int, cores: int, tiles: dict[str, float]) -> float:
    """The best of the whole menu: rounds of tiles on a core, in each of which arithmetic hides operands' latency."""
    best_s = float("inf")
    depth_s = 2 * (k + tiles["depth_overhead"]) * cores / FLOP_PER_S
    beyond = min(max(k * 4 / tiles["page_bytes"] - 1, 0.0), tiles["page_most"])
    depth_s *= 1 + tiles["page_cost"] * beyond
    for rows, cols in MENUS[unit]:
        count = ceil(m / rows) * ceil(n / cols)
        most_parts = min(tiles["most_splits"], floor(k / tiles["split_length"]))
        parts = min(max(cores // count, 1), max(1, most_parts))
        of_a_core = ceil(count * parts / cores)
        at_once = min(of_a_core, RESIDENT_ELEMENTS / (rows * cols), MOST_RESIDENT)
        busy_s = depth_s * rows * cols / parts * (1 + tiles["edge"] * (64 / rows + 64 / cols - 1))
        waited_s = tiles["operand_s_per_element"] * k / parts / at_once
        exposed_s = tiles["exposed_operands"] * min(busy_s, waited_s)
        tile_s = max(busy_s, waited_s) + exposed_s + tiles["round_s"] / at_once
        best_s = min(best_s, of_a_core * tile_s + (tiles["split_s"] if parts > 1 else 0.0))
    return max(0.0, best_s - tiles["round_s"])


@settings(max_examples=examples(150), deadline=None)
@given(
    unit=st.sampled_from(["matrix", "vector"]),
    n=st.integers(1, 3000),
    k=st.integers(1, 3000),
    cores=st.integers(1, 200),
    tiles=st.fixed_dictionaries(
        {
            "operand_s_per_element": st.floats(0, 1e-6),
            "exposed_operands": st.floats(0, 1),
            "round_s": st.floats(0, 1e-5),
            "split_length": st.sampled_from([64.0, 256.0, 512.0]),
            "most_splits": st.sampled_from([1, 4, 1000]),
            "split_s": st.floats(0, 1e-5),
            "depth_overhead": st.floats(0, 200),
            "edge": st.floats(0, 1),
            "page_bytes": st.sampled_from([1024.0, 2048.0, 65536.0]),
            "page_cost": st.floats(0, 1),
            "page_most": st.floats(0, 3),
        }
    ),
    start=st.integers(2, 5000),
    step=st.integers(1, 300),
)
def test_the_best_tile_is_that_of_the_whole_menu(
    unit: str, n: int, k: int, cores: int, tiles: dict[str, float], start: int, step: int
) -> None:
    rows = np.arange(start, start + 64 * step, step)
    plan = _core.plan(product_graph(n, k), {})
    found = _core.evaluate(plan, {"rows": rows}, machine(unit, cores, **tiles), points=len(rows))["latency_s"]
    expected = [searched_s(unit, int(m), n, k, cores, tiles) for m in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("unit", ["matrix", "vector"])
def test_a_point_does_not_depend_on_those_beside_it(unit: str) -> None:
    """A block in which every product keeps all cores busy takes a shortcut; a lone small point in it forbids that."""
    tiles = {"operand_s_per_element": 1e-9, "exposed_operands": 0.5, "round_s": 1e-6, "split_length": 256.0}
    gpu, plan = machine(unit, 100, **tiles), _core.plan(product_graph(128, 64), {})
    large = np.arange(100 * 128, 100 * 128 + 250 * 64, 64)
    alone = _core.evaluate(plan, {"rows": large}, gpu, points=len(large))["latency_s"]
    among = _core.evaluate(plan, {"rows": np.append(large, 2)}, gpu, points=len(large) + 1)["latency_s"]
    np.testing.assert_array_equal(alone, among[:-1])


@pytest.mark.parametrize("unit", ["matrix", "vector"])
@pytest.mark.parametrize("cores", [1, 7, 64, 108, 132])
def test_rounds_are_whole_where_tiles_fill_the_cores_exactly(cores: int, unit: str) -> None:
    """128 x 128 tiles in exact multiples of the cores: a reciprocal that is rounded up would count a round too many."""
    plan = _core.plan(product_graph(128, 128), {})
    rows = np.asarray([128 * cores * rounds for rounds in range(1, 400)])
    found = _core.evaluate(plan, {"rows": rows}, machine(unit, cores), points=len(rows))["latency_s"]
    ideal = np.asarray([2 * prod((int(m), 128, 128)) / FLOP_PER_S for m in rows])
    np.testing.assert_allclose(found, ideal, rtol=1e-12)


@pytest.mark.parametrize(("rows", "alone", "shared"), [(2048, 256, 128), (200, 128, 64), (100, 64, 64)])
def test_pairs_of_cores_share_a_tile(rows: int, alone: int, shared: int) -> None:
    """With more cores than tiles, a product takes as long as the rows of a tile on one core, times 128 columns."""
    plan = _core.plan(product_graph(128, 512), {})
    for by_rows, own in ((1.0, alone), (2.0, shared)):
        gpu = machine("matrix", 64, by_rows=by_rows, split_length=1e9)
        (found,) = _core.evaluate(plan, {"rows": [rows]}, gpu, points=1)["latency_s"]
        assert found == pytest.approx(2 * 512 * own * 128 * 64 / FLOP_PER_S)


def experts(group_size: int | None) -> ic.Graph:
    builder = ic.GraphBuilder("experts")
    rows = builder.tensor("float8_e4m3fn", [256, 4096], role="input", name="rows")
    weight = builder.tensor("float8_e4m3fn", [64, 3072, 4096], role="parameter", name="weight")
    ends = builder.tensor("int32", [64], role="input", name="ends")
    result = builder.tensor("bfloat16", [256, 3072])
    arguments = {"input": rows, "weight": weight, "offs": ends}
    group = {} if group_size is None else {"group_size": group_size}
    builder.node("pyinfercost.grouped_quantized", {**arguments, **group}, [result])
    return builder.build([rows, ends], [result])


def test_experts_with_scales_in_blocks_have_constants_of_their_own() -> None:
    """On Hopper the kernel for scales of rows is slow; on Blackwell both are of one library."""
    for hardware, least in (("h100-sxm-80gb", 3.0), ("b200-sxm-180gb", 1.0)):
        of_rows, of_blocks = (
            ic.estimate(experts(size), hardware=hardware, execution="cuda_graph").latency_s for size in (None, 128)
        )
        assert of_rows >= least * of_blocks

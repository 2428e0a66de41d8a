"""Systolic arrays: products, attention and bytes on small machines, with times computed by hand."""

from __future__ import annotations

from typing import Any

import pytest
from support.single_node import T, single_node

import pyinfercost as ic
from pyinfercost import _core

ROWS = COLS = 128
CYCLE_S = 1e-9
DRAM_BYTE_PER_S = 1e12
CACHE_BYTES = 1e6


def array(**changes: Any) -> ic.Hardware:
    """One array of 128 x 128 at 1 GHz, 1 TB/s of memory and a free scratchpad of 1 MB; nothing else costs anything."""
    facts: dict[str, Any] = {
        "cores": 1,
        "clock_hz": 1e9,
        "matrix_flop_per_s": {"float32": 2 * ROWS * COLS / CYCLE_S},
        "vector_flop_per_s": {},
        "array": (ROWS, COLS, 1.0),
        "memory": [("scratchpad", CACHE_BYTES, 1e30), ("dram", 1e15, DRAM_BYTE_PER_S)],
        "overheads_s": dict.fromkeys(("dispatch", "launch_gap", "replay_gap", "kernel_minimum"), 0.0),
        "achieved": {},
        "constants": {},
        "power_w": {},
        "links_byte_per_s": {},
    }
    return ic.Hardware(id="toy", name="toy", kind="systolic", family="toy", **(facts | changes))


def latency_s(graph: ic.Graph, hardware: ic.Hardware, execution: str = "compiled") -> float:
    (kernel,) = _core.evaluate_kernels(_core.plan(graph, {}, execution=execution), {}, hardware)
    return float(kernel.latency_s)


def product(m: int, n: int, k: int) -> ic.Graph:
    weight = T((k, n), "float32", role="parameter")
    return single_node("aten.mm", {"self": T((m, k)), "mat2": weight}, T((m, n)))


def test_one_row_waits_for_its_weights() -> None:
    # 32 x 32 tiles of 128 x 128: 1,024 loads of 128 cycles are 131 us, a quarter of that 33 us; 67 MB take 67 us.
    graph = product(1, 4096, 4096)
    free = {"memory": [("scratchpad", CACHE_BYTES, 1e30), ("dram", 1e15, 1e30)]}
    fill_s = (1024 * ROWS + ROWS + COLS) * CYCLE_S
    assert latency_s(graph, array(**free)) == pytest.approx(fill_s)
    quick = (1024 * ROWS / 4 + ROWS + COLS) * CYCLE_S
    assert latency_s(graph, array(**free, constants={"array.load": 0.25})) == pytest.approx(quick)
    bytes_s = 4 * (4096 * 4096 + 2 * 4096) / DRAM_BYTE_PER_S
    both_s = (quick**4 + bytes_s**4) ** 0.25
    assert latency_s(graph, array(constants={"array.load": 0.25})) == pytest.approx(both_s)
    assert bytes_s < both_s < 1.02 * bytes_s


def test_one_row_runs_on_the_vector_unit_if_that_is_faster() -> None:
    graph = product(1, 4096, 4096)
    vector = {
        "vector_flop_per_s": {"float32": 4e12},
        "memory": [("scratchpad", CACHE_BYTES, 1e30), ("dram", 1e15, 1e30)],
    }
    assert latency_s(graph, array(**vector)) == pytest.approx(2 * 4096 * 4096 / 4e12)  # 8 us, the array takes 131


def test_query_heads_that_share_keys_share_their_tiles() -> None:
    def attention(heads: int, keys: int) -> ic.Graph:
        arguments = {
            "query": T((1, 8, 1, 128)),
            "key": T((1, heads, keys, 128)),
            "value": T((1, heads, keys, 128)),
            "enable_gqa": True,
        }
        return single_node("aten.scaled_dot_product_attention", arguments, T((1, 8, 1, 128)))

    free = array(memory=[("scratchpad", CACHE_BYTES, 1e30), ("dram", 1e15, 1e30)])
    # 8 tiles of keys and 8 of values for each set of keys, each loaded in 128 cycles.
    for sets in (8, 2):
        expected_s = 2 * (sets * 8 * ROWS + ROWS + COLS) * CYCLE_S
        assert latency_s(attention(sets, 1024), free) == pytest.approx(expected_s)


def test_a_compiled_program_is_one_launch() -> None:
    gaps = {"dispatch": 7e-6, "launch_gap": 3e-6, "replay_gap": 1e-7, "kernel_minimum": 1e-6}
    hardware = array(overheads_s=gaps)
    add = single_node("aten.add", {"self": T((8,)), "other": T((8,))}, T((8,)))
    assert latency_s(add, hardware) == pytest.approx(1e-7)
    assert latency_s(add, hardware, "eager") == pytest.approx(7e-6)
    small_s = (ROWS + ROWS + COLS) * CYCLE_S
    assert latency_s(product(1, 8, 8), hardware) == pytest.approx(1e-7 + 1e-6 + small_s)


def test_activations_do_not_pass_the_host_link() -> None:
    weights = 4 * 512 * 1024  # bytes: more than the scratchpad
    graph = product(2048, 1024, 512)
    alone = array(constants={"link.host_weights": 1.0}, matrix_flop_per_s={"float32": 1e30})
    assert latency_s(graph, alone) == pytest.approx(weights / DRAM_BYTE_PER_S, rel=1e-6)
    with_dram = array(matrix_flop_per_s={"float32": 1e30})
    everything = weights + 4 * 2048 * (512 + 1024)
    assert latency_s(graph, with_dram) == pytest.approx(everything / DRAM_BYTE_PER_S, rel=1e-6)
    # Weights that fit beside the activations stay.
    small = product(8, 128, 128)
    assert latency_s(small, alone) == pytest.approx(0.0, abs=1e-15)


def test_a_class_of_kernels_has_its_own_rates() -> None:
    copy = single_node("aten.add", {"self": T((10**6,)), "other": T((10**6,))}, T((10**6,)))
    plain_s = latency_s(copy, array())
    assert plain_s == pytest.approx(12e6 / DRAM_BYTE_PER_S)
    slower = array(constants={"kernel.pointwise.dram": 0.5, "kernel.pointwise.minimum_s": 1e-6})
    assert latency_s(copy, slower) == pytest.approx(2 * plain_s + 1e-6)


def test_weights_are_laid_out_before_a_compiled_forward() -> None:
    weight = T((64, 64, 3, 3), role="parameter")
    graph = single_node("aten.conv2d", {"input": T((1, 64, 32, 32)), "weight": weight}, T((1, 64, 30, 30)))
    gaps = dict.fromkeys(("dispatch", "launch_gap", "replay_gap", "kernel_minimum"), 1e-6)
    kernels = _core.evaluate_kernels(_core.plan(graph, {}, execution="compiled"), {}, array(overheads_s=gaps))
    copies = [kernel.latency_s for kernel in kernels if kernel.kind == "copy"]
    assert len(copies) == 2, "of weights, and of activations"
    assert min(copies) == 0

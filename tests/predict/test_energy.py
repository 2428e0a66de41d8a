"""Energy of an inference: by hand on a toy machine, and physical limits on real ones."""

from __future__ import annotations

import math
import re

import pytest
from support.single_node import T, single_node
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost import _toml
from pyinfercost.hardware import files

SIDE = 64
FLOPS = 2.0 * SIDE**3
BYTES = 2.0 * 3 * SIDE**2
STATIC_W, MOST_W = 10.0, 100.0
LATENCY_S = 1.0 + FLOPS / 1e6  # a launch, and arithmetic that hides the memory behind it


def machine(**constants: float) -> ic.Hardware:
    """One core that computes 1e6 FLOP/s, a cache of 1e6 bytes, and joules as they are given."""
    return ic.Hardware(
        id="toy",
        name="toy",
        kind="gpu",
        family="toy",
        cores=1,
        clock_hz=1e9,
        matrix_flop_per_s={"float16": 1e6},
        vector_flop_per_s={"float32": 1e6},
        memory=[("l2", constants.pop("cache", 1e6), 1e30), ("dram", 1e15, 1e30)],
        overheads_s={"dispatch": 0.0, "launch_gap": 1.0, "replay_gap": 1.0, "kernel_minimum": 0.0},
        achieved={},
        constants={f"energy.{name}": value for name, value in constants.items()},
        power_w={},
        links_byte_per_s={},
    )


def product(side: int = SIDE) -> ic.Graph:
    square = T((side, side), "float16")
    return single_node("aten.mm", {"self": square, "mat2": square}, square)


@pytest.mark.parametrize(
    ("constants", "joules"),
    [
        ({}, 0.0),
        ({"matrix_fp16": 1e-6}, FLOPS * 1e-6),
        ({"vector_fp32": 1e-6}, 0.0),
        ({"cache_j_per_byte": 1e-4}, BYTES * 1e-4),
        ({"dram_j_per_byte": 1e-4}, 0.0),  # the cache holds it
        ({"dram_j_per_byte": 1e-4, "cache": BYTES}, BYTES * 1e-4 / 2),  # half of it, if it is as large
        ({"dram_j_per_byte": 1e-4, "cache": 1.0}, BYTES * 1e-4),
        ({"matrix_fp16": 1.0}, (MOST_W - STATIC_W) * LATENCY_S),  # no board draws more than its limit
    ],
)
def test_what_a_product_draws(constants: dict[str, float], joules: float) -> None:
    hardware = machine(static_w=STATIC_W, most_w=MOST_W, **constants)
    estimate = ic.estimate(product(), hardware=hardware, execution="cuda_graph")
    assert estimate.latency_s == pytest.approx(LATENCY_S, rel=1e-6)
    assert estimate.energy_j == pytest.approx(STATIC_W * LATENCY_S + joules, rel=1e-6)


def test_a_machine_whose_power_is_not_known_has_no_energy() -> None:
    estimate = ic.estimate(product(), hardware=machine())
    assert estimate.energy_j is None
    assert estimate.energy_per_item_j is None
    assert all(layer.energy_j is None for layer in estimate.layers)
    grid = ic.sweep(blocks(), hardware=["tpu-v5e", "t4"], batch=[1, 2])
    assert [math.isnan(joules) for joules in grid["energy_j"]] == [True, True, False, False]
    assert grid.to_dict()["points"][0]["energy_j"] is None
    assert set(grid.pareto("latency_s", "energy_j")["hardware"]) == {"t4"}
    assert grid.best("energy_j")["hardware"] == "t4"


MACHINES = ("h100-sxm-80gb", "a100-sxm-80gb", "l4", "t4", "rtx-4090", "b200-sxm-180gb", "mi300x", "epyc-9654", "tpu-v4")


@pytest.mark.parametrize("hardware", MACHINES)
def test_more_work_draws_more_and_a_batch_shares_what_is_drawn_anyway(hardware: str) -> None:
    grid = ic.sweep(transformer(), hardware=hardware, batch=[2**i for i in range(11)], sequence=64)
    joules, each = grid["energy_j"].tolist(), grid["energy_per_item_j"].tolist()
    assert joules == sorted(joules)
    assert each[0] > each[1] > each[2] > 2 * each[-1]
    static_w = ic.hardware.load(hardware).constants["energy.static_w"]
    assert static_w * grid["latency_s"][0] > 0.7 * joules[0], "a tiny batch draws what the machine draws anyway"


@pytest.mark.parametrize("hardware", MACHINES)
def test_layers_add_up_and_no_board_draws_more_than_its_limit(hardware: str) -> None:
    for batch in (1, 4096):
        estimate = ic.estimate(transformer(), hardware=hardware, batch=batch, sequence=64)
        assert estimate.energy_j is not None
        assert estimate.energy_low_j is not None
        assert estimate.energy_high_j is not None
        assert sum(layer.energy_j or 0.0 for layer in estimate.layers) == pytest.approx(estimate.energy_j)
        limit_w = ic.hardware.load(hardware).power_w["tdp"]
        assert 0 < estimate.energy_j <= limit_w * estimate.latency_s * (1 + 1e-9)
        assert estimate.energy_low_j < estimate.energy_j < estimate.energy_high_j
        assert estimate.energy_per_item_j == estimate.energy_j / batch


@pytest.mark.parametrize(
    ("hardware", "wide", "narrow"),
    [
        ("h100-sxm-80gb", "tf32", "bf16"),
        ("h100-sxm-80gb", "bf16", "fp8"),
        ("a100-sxm-80gb", "fp16", "int8"),
        ("b200-sxm-180gb", "bf16", "fp8"),
        ("xeon-8480+", "bf16", "int8"),
        ("t4", "fp16", "int8"),
    ],
)
def test_a_narrower_dtype_on_the_same_engine_draws_no_more(hardware: str, wide: str, narrow: str) -> None:
    constants = ic.hardware.load(hardware).constants
    assert constants[f"energy.matrix_{narrow}"] <= constants[f"energy.matrix_{wide}"]
    for side in (4096, 8192):  # a small int8 product pays for a kernel that quantizes
        joules = [ic.estimate(product(side), hardware=hardware, precision=dtype).energy_j for dtype in (narrow, wide)]
        assert joules == sorted(joules, key=lambda value: value or 0.0), side


def test_devices_draw_together() -> None:
    one, four = (ic.estimate(blocks(), hardware="t4", devices=n, batch=4 * n) for n in (1, 4))
    assert one.energy_j is not None
    assert four.energy_j == pytest.approx(4 * one.energy_j)


@pytest.mark.parametrize("family", files.families())
def test_joules_have_a_source_with_a_date(family: str) -> None:
    data = _toml.read_toml(files.CALIBRATIONS / f"{family}.toml")
    if "energy" in data:
        assert re.search(r"\b20[0-9]{2}\b", data["energy"]["source"])

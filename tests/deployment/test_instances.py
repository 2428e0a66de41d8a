"""Copies of a model side by side on one CPU: each has a part of the machine, and throughput is that of all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.deployment import Deployment, Price

XEON = "xeon-8480+"  # 56 cores, 105 MiB of shared cache, 307.2 GB/s


def test_a_copy_has_an_equal_part_of_the_machine() -> None:
    whole, part = ic.hardware.load(XEON), ic.hardware.load(XEON, instances=14)
    assert (whole.cores, part.cores) == (56, 4)
    assert part.name == f"{whole.name}, 4 of 56 cores"
    assert part.vector_flop_per_s["float32"] == whole.vector_flop_per_s["float32"] / 14
    memory = {level: (capacity, rate) for level, capacity, rate in part.memory}
    assert memory["llc"][0] == 105 * 2**20 / 14
    assert memory["l2"][0] == 4 * 2048 * 2**10  # its own
    assert memory["dram"][1] == 307.2e9 / 14
    assert part.constant("energy.static_w") == whole.constant("energy.static_w") / 14
    # 56 // 5 cores: the last core is idle.
    assert ic.hardware.load(XEON, instances=5).cores == 11
    assert ic.hardware.load(XEON, instances=5, threads=3).cores == 3


def test_throughput_is_of_all_copies_and_latency_of_one() -> None:
    graph = blocks()
    alone = ic.estimate(graph, hardware=XEON, price=2.0, batch=4)
    each = ic.estimate(graph, hardware=XEON, instances=14, price=2.0, batch=4)
    assert each.instances == 14
    assert each.throughput_per_s is not None
    assert each.throughput_per_s == pytest.approx(14 * 4 / each.latency_s, rel=1e-12)
    assert alone.throughput_per_s is not None
    assert each.throughput_per_s > alone.throughput_per_s  # small batches do not fill 56 cores
    # 2 USD an hour for all that 14 copies of a batch of 4 do in it.
    assert each.cost_usd == pytest.approx(2.0 / 3600 * each.latency_s / (14 * 4), rel=1e-12)
    row = ic.sweep(graph, hardware=XEON, instances=[1, 14], price=2.0, batch=4)
    for point, estimate in enumerate((alone, each)):
        for name in ("latency_s", "throughput_per_s", "energy_per_item_j", "cost_usd", "peak_memory_bytes"):
            assert row[name][point] == getattr(estimate, name, row[name][point]), name
    assert np.array_equal(row["instances"], [1, 14])


def test_each_copy_has_its_own_weights(tmp_path: Path) -> None:
    graph = blocks()
    peak = ic.sweep(graph, hardware=XEON, batch=512)["peak_memory_bytes"][0]
    path = tmp_path / "own.toml"
    text = (Path(ic.__file__).parent / "hardware" / "catalog" / f"{XEON}.toml").read_text()
    path.write_text(text.replace("[memory.dram]", f"[memory.dram]\ncapacity_gib = {2.5 * peak / 2**30}"))
    for instances in (1, 2, 3):
        estimate = ic.estimate(graph, hardware=path, instances=instances, batch=512)
        assert estimate.machine_memory_bytes == pytest.approx(2.5 * peak / instances, abs=1)
        assert estimate.fits_in_memory == (instances <= 2)


def test_electricity_of_copies_is_that_of_the_machine() -> None:
    graph = blocks()
    owned = Price(usd_per_h=1.0, text="owned", usd_per_kwh=0.2, pue=1.0)
    for instances in (1, 8):
        estimate = ic.estimate(graph, hardware=XEON, instances=instances, price=owned, utilization=0.5, batch=2)
        assert estimate.cost is not None
        assert estimate.energy_per_item_j is not None
        device_s = estimate.latency_s / (2 * instances)  # of an item
        idle_w = ic.hardware.load(XEON).power_w["idle"]
        joules = estimate.energy_per_item_j + device_s * idle_w  # half of the time
        assert estimate.cost.electricity_usd == pytest.approx(joules * 0.2 / 3.6e6, rel=1e-9)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hardware": "l4", "instances": 2}, "instances is 2, but 'l4' is of kind 'gpu'; expected a CPU"),
        (
            {"hardware": XEON, "instances": 57},
            r"instances of 'xeon-8480\+' is 57; expected a whole number from 1 to 56",
        ),
        ({"hardware": XEON, "instances": 0}, "instances is 0; expected a whole number"),
        ({"hardware": XEON, "instances": 28, "threads": 5}, r"threads of 'xeon-8480\+' is 5; expected .* from 1 to 4"),
        ({"instances": 2}, "instances is given without hardware"),
        (
            {"hardware": ic.hardware.load(XEON), "instances": 2},
            "is already loaded; expected the id or the path of a CPU",
        ),
    ],
)
def test_impossible_instances_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ic.Error, match=message):
        Deployment(**fields)  # type: ignore[arg-type]


def test_another_machine_runs_one_copy() -> None:
    on = Deployment(hardware=XEON, instances=4)
    assert on.replace(hardware="l4").instances == 1
    assert on.replace(precision="bf16").instances == 4
    assert Deployment.from_dict(on.to_dict()) == on != Deployment(hardware=XEON)

"""Devices share the batch at any number of batch values, and outputs say so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.cli_sweeps import heading, points, sweep, table
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.sources.sizes import SizeError

SPEC = "torchvision:squeezenet1_1"
FIGURES = ("latency_s", "energy_j", "throughput_per_s", "peak_memory_bytes", "transfer_s")


@pytest.mark.torch
def test_one_batch_value_is_shared_as_one_of_several() -> None:
    on = {"hardware": "l4", "execution": "cuda_graph"}  # no host takes the same for all batches
    several = ic.sweep(SPEC, **on, batch=[4, 8], devices=[1, 2, 4]).where("batch == 8")
    one = ic.sweep(SPEC, **on, batch=8, devices=[1, 2, 4])
    for name in ("devices", "batch", *FIGURES):
        assert one[name].tolist() == several[name].tolist(), name
    assert one["latency_s"][0] > one["latency_s"][1] > one["latency_s"][2]
    # Two devices with 4 images each take the time of one with 4.
    half = ic.sweep(SPEC, **on, batch=4)
    assert one["latency_s"][1] == half["latency_s"][0]
    assert one["energy_j"][1] == 2 * half["energy_j"][0]
    assert one["throughput_per_s"][1] == pytest.approx(2 * half["throughput_per_s"][0])


@pytest.mark.torch
def test_all_ways_to_give_devices_share() -> None:
    wanted = ic.sweep(SPEC, hardware="l4", batch=[8], devices=2)["latency_s"].tolist()
    on = ic.Deployment(hardware="l4", devices=2)
    assert ic.sweep(SPEC, on=on, batch=8)["latency_s"].tolist() == wanted
    assert ic.sweep(SPEC, on=[on], batch=8)["latency_s"].tolist() == wanted
    assert ic.sweep(SPEC, hardware="l4", points={"devices": [2]}, batch=8)["latency_s"].tolist() == wanted
    assert ic.sweep(SPEC, points=[{"on": on}], batch=8)["latency_s"].tolist() == wanted
    assert ic.profile(SPEC, on=on.for_throughput(), batch=8).estimate.latency_s == wanted[0]
    assert [point["latency_s"] for point in points(SPEC, "-H", "l4", "--batch", "8", "--devices", "2")] == wanted


@pytest.mark.torch
def test_the_batch_stays_open_only_if_it_is_shared() -> None:
    assert "batch" not in ic.profile(SPEC, hardware="l4", batch=8).graph.sizes
    assert "batch" in ic.profile(SPEC, hardware="l4", batch=8, devices=2).graph.sizes


def test_a_graph_of_one_batch_cannot_be_shared() -> None:
    graph = blocks(fixed_batch=8)
    with pytest.raises(SizeError, match="devices share the batch, and this graph has no size 'batch'"):
        ic.sweep(graph, hardware="l4", devices=[1, 2])
    assert len(ic.sweep(graph, hardware="l4", devices=1)) == 1


@pytest.mark.torch
def test_a_spec_needs_a_batch_to_share() -> None:
    with pytest.raises(SizeError, match="pass batch= with a spec"):
        ic.sweep(SPEC, hardware="l4", devices=[1, 2])
    with pytest.raises(SizeError, match="no size 'batch' to share"):
        ic.profile(SPEC, hardware="l4", devices=2)


def test_outputs_say_data_parallel(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    path.write_text(blocks().to_json(), encoding="utf-8")
    profile = ic.profile(blocks(), hardware="l4", devices=2, batch=9)
    assert heading(profile.to_text())["hardware"] == "2 x l4, data parallel: they share the batch"
    assert heading(profile.to_text())["memory"].startswith("fits: the largest share of the batch of ")
    assert "data parallel" not in ic.profile(blocks(), hardware="l4", batch=9).to_text()
    assert heading(profile.estimate.to_text())["hardware"] == "2 x l4, data parallel: they share the batch"
    assert profile.to_dict()["estimate"]["devices"] == 2
    assert json.loads(profile.to_json())["estimate"]["devices"] == 2
    text = sweep(str(path), "-H", "l4", "--batch", "9", "--devices", "1,2").stdout
    assert heading(text)["layout"] == "data parallel: devices share the batch"
    assert [row["devices"] for row in table(text)] == ["1", "2"]
    best = sweep(str(path), "-H", "l4", "--batch", "9", "--devices", "2", "--best", "latency_s").stdout
    assert heading(best)["layout"] == "data parallel: devices share the batch"
    assert "data parallel" not in sweep(str(path), "-H", "l4", "--batch", "9").stdout
    assert [point["devices"] for point in points(str(path), "-H", "l4", "--batch", "9", "--devices", "1,2")] == [1, 2]


def test_profiles_of_several_devices_are_compared() -> None:
    one, two = (ic.profile(blocks(), hardware="l4", devices=devices, batch=8) for devices in (1, 2))
    assert ic.compare(before=one, after=two).warnings == (
        "devices differs: 1 before, 2 after; this changes times, energy and memory, too",
    )
    assert "2 devices, data parallel" in ic.compare(before=one, after=two).to_text()

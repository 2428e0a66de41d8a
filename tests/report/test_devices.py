"""Several devices in results: what one and all of them hold, compute and send, in text, JSON, pages and timelines."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.cli_sweeps import heading
from support.language_configs import LLAMA, spec_of
from support.report_pages import document_of
from support.toy_graphs import transformer

import pyinfercost as ic
from pyinfercost.sources.captured import graph_over

H100 = "h100-sxm-80gb"
SIZES = {"batch": 8, "sequence": 128}


def profile(layout: str, **options: Any) -> ic.results.Profile:
    found = ic.profile(transformer(heads=4), hardware=H100, layout=layout, **options, **SIZES)
    assert isinstance(found, ic.results.Profile)
    return found


def estimate(layout: str, **options: Any) -> ic.results.Estimate:
    found = profile(layout, **options).estimate
    assert found is not None
    return found


def test_one_device_and_all_of_them() -> None:
    whole, parts = estimate("tensor=1"), estimate("tensor=4")
    one, all_of_it = parts.per_device, parts.in_all
    assert whole.per_device is not None
    assert one is not None
    assert all_of_it is not None
    assert asdict(all_of_it) == {name: None if value is None else 4 * value for name, value in asdict(one).items()}
    # Each device has a quarter of all layers, and the patches of the input whole: 3 x 8 values for each of 64 columns.
    patches = 2 * 64 * 3 * 8 * 8 * 128
    assert one.contraction_flops == patches + (whole.per_device.contraction_flops - patches) // 4
    assert all_of_it.energy_j == parts.energy_j
    assert one.bytes_sent == sum(exchange.bytes_sent for exchange in parts.exchanges) > 0
    assert whole.per_device.bytes_sent == 0
    assert one.kv_cache_bytes is None  # the toy has none
    assert one.usd_per_h is None
    # Two sums in each of two layers: 2 (n - 1) / n of batch x sequence x width in float32.
    assert [(each.op, each.devices, each.nodes, each.calls) for each in parts.exchanges] == [("all_reduce", 4, 1, 4)]
    assert one.bytes_sent == 4 * (2 * 3 * 8 * 128 * 64 * 4) // 4
    assert parts.exchanges[0].latency_s == pytest.approx(
        sum(layer.latency_s for layer in parts.layers if layer.op == "collective.all_reduce")
    )


def test_devices_of_a_pipeline_hold_the_model_once() -> None:
    parts = estimate("tensor=2,pipeline=2")
    assert parts.per_device is not None
    assert parts.in_all is not None
    first, last = parts.stages
    assert first.weight_bytes != last.weight_bytes
    assert parts.in_all.weight_bytes == 2 * (first.weight_bytes + last.weight_bytes)
    assert parts.in_all.weight_bytes < 4 * parts.per_device.weight_bytes
    assert parts.in_all.memory_bytes == 2 * (first.memory_bytes + last.memory_bytes)


def test_links_take_part_of_the_energy() -> None:
    one = estimate("tensor=4").per_device
    assert one is not None
    per_byte = ic.hardware.load(H100).constant("energy.link_j_per_byte")
    assert one.link_energy_j == pytest.approx(one.bytes_sent * per_byte)
    assert one.energy_j is not None
    assert 0 < one.link_energy_j < one.energy_j


def test_copies_exchange_nothing() -> None:
    found = estimate("data=2")
    assert found.exchanges == ()
    assert found.per_device is not None
    assert found.per_device.bytes_sent == 0
    single = ic.estimate(transformer(heads=4), hardware=H100, **SIZES)
    assert (single.per_device, single.in_all, single.exchanges, single.nodes) == (None, None, (), 1)


def test_a_layout_larger_than_a_machine() -> None:
    found = ic.estimate(transformer(heads=16), hardware=H100, layout="tensor=16", **SIZES)
    assert found.nodes == 2
    assert {exchange.nodes for exchange in found.exchanges} == {2}
    inside = ic.estimate(transformer(heads=16), hardware=H100, layout="tensor=8,data=2", **SIZES)
    assert inside.nodes == 2
    assert {exchange.nodes for exchange in inside.exchanges} == {1}


def test_text_has_both_columns_of_figures() -> None:
    lines = heading(profile("tensor=4", price="aws/p5.48xlarge").to_text())
    assert lines["a"].startswith("device")
    assert lines["exchanges"].startswith("4 x all_reduce of 4 devices")
    assert lines["paid"].startswith("55.04 USD/h for 1 instance of 8 devices, 4 of them")
    assert "exchanges" not in heading(profile("tensor=1").to_text())


def test_json_has_what_devices_do() -> None:
    document = json.loads(profile("tensor=4", price=2.5).to_json())["estimate"]
    assert document["nodes"] == 1
    assert document["in_all"]["bytes_sent"] == 4 * document["per_device"]["bytes_sent"]
    assert document["per_device"]["usd_per_h"] == 2.5
    assert document["cost"]["instances"] is None
    assert document["cost"]["usd_per_h"] == 10.0
    assert document["exchanges"][0]["op"] == "all_reduce"


def test_a_timeline_has_a_track_for_each_device_and_the_links() -> None:
    trace = profile("tensor=4").to_trace()
    names = {
        event["args"]["name"]: event["tid"]
        for event in trace["traceEvents"]
        if event["ph"] == "M" and event["name"] == "thread_name"
    }
    ranks = [f"rank {number} (estimated)" for number in range(4)]
    assert {"links (estimated)", *ranks} <= set(names)
    assert "rank 4 (estimated)" not in names
    ends = {
        name: [event["ts"] for event in trace["traceEvents"] if event["ph"] == "E" and event["tid"] == names[name]]
        for name in ranks
    }
    assert len({tuple(found) for found in ends.values()}) == 1
    assert max(ends[ranks[0]]) == pytest.approx(1e6 * estimate("tensor=4").latency_s)
    assert trace["otherData"]["ranks_shown"] == 4
    assert profile("data=2").to_trace()["otherData"]["ranks_shown"] == 0


def slices_of(trace: dict[str, Any], track: str) -> list[tuple[str, float, float]]:
    """Slices of a track, which are not nested, as (name, start, end) in microseconds."""
    [thread] = [
        event["tid"]
        for event in trace["traceEvents"]
        if event["ph"] == "M" and event["name"] == "thread_name" and event["args"]["name"] == track
    ]
    own = [event for event in trace["traceEvents"] if event["ph"] in "BE" and event["tid"] == thread]
    assert [event["ph"] for event in own] == ["B", "E"] * (len(own) // 2)
    return [(begin["name"], begin["ts"], end["ts"]) for begin, end in zip(own[::2], own[1::2], strict=True)]


def test_devices_of_a_pipeline_take_turns() -> None:
    found = profile("pipeline=2,micro_batches=4")
    assert found.estimate is not None
    first, last = (slices_of(found.to_trace(), f"rank {rank}, stage {rank} (estimated)") for rank in range(2))
    for track in (first, last):
        assert [name for name, _, _ in track[-3:]] == ["micro-batch 1", "micro-batch 2", "micro-batch 3"]
        assert not any(name.startswith("micro") for name, _, _ in track[:-3])
        assert all(before[2] <= after[1] + 1e-9 for before, after in pairwise(track))
    slowest_us = max(stage.latency_s for stage in found.estimate.stages) * 1e6
    starts = [start for name, start, _ in last if name.startswith("micro")]
    assert [after - before for before, after in pairwise(starts)] == pytest.approx([slowest_us] * 2)
    assert all(into[1] >= out[2] - 1e-9 for into, out in zip(last[-3:], first[-3:], strict=True))
    assert last[-1][2] == pytest.approx(found.estimate.latency_s * 1e6, rel=1e-6)


@pytest.mark.torch
def test_a_decode_step_finds_the_pipeline_full(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    graph = graph_over(spec_of(tmp_path, LLAMA, "decode"), {"batch": [4, 8], "context": [40, 80]}).graph
    found = ic.profile(graph, hardware=H100, engine="vllm", layout="pipeline=2", batch=4, context=40)
    assert isinstance(found, ic.results.Profile)
    assert found.estimate is not None
    until_us = found.estimate.latency_s * 1e6
    [*_, sent] = slices_of(found.to_trace(), "rank 0, stage 0 (estimated)")
    waited = slices_of(found.to_trace(), "rank 1, stage 1 (estimated)")
    assert sent[0] == "micro-batch 1"
    assert waited[0][0] == "micro-batch 1"  # of the step before
    assert max(end for _, _, end in waited) <= until_us * (1 + 1e-9)
    assert all(before[2] <= after[1] + 1e-6 for before, after in pairwise(waited))


def test_many_devices_have_few_tracks() -> None:
    found = ic.profile(transformer(heads=32), hardware=H100, layout="tensor=32", **SIZES)
    assert isinstance(found, ic.results.Profile)
    assert found.to_trace()["otherData"]["ranks_shown"] == 16


def test_a_page_draws_the_devices() -> None:
    page = profile("tensor=4").to_html()
    assert 'id="layout-panel"' in page
    assert "drawLayout" in page
    assert document_of(page)["estimate"]["exchanges"]

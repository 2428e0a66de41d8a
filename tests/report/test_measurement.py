"""A measurement as table, JSON, CSV and Markdown, and the hardware file of a calibration; without torch."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace

import pytest

from pyinfercost.measuring.clock import Budget, time_call, time_loop
from pyinfercost.measuring.machine import this_machine
from pyinfercost.measuring.measure import worst_layers
from pyinfercost.measuring.toml import as_toml
from pyinfercost.results.measurement import ForwardEnergy, MeasuredLayer, Measurement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


METERED = ForwardEnergy(
    joules=0.25, above_idle_j=0.1, idle_w=50.0, source="rapl:package-0+dram", covers="all of it", resolution=4e-4,
    runs=800, duration_s=2.5,
)  # fmt: skip


def layer(module: str, ops: tuple[str, ...], measured_s: float, predicted_s: float | None) -> MeasuredLayer:
    return MeasuredLayer(module=module, ops=ops, measured_s=measured_s, predicted_s=predicted_s)


def measurement(
    *, predicted: bool = True, layers: bool = True, energy: ForwardEnergy | None = None, joules: float | None = None
) -> Measurement:
    rows = (
        layer("stem", ("aten.conv2d.default",), 1e-3, 0.9e-3 if predicted else None),
        layer("head", ("aten.linear.default", "aten.relu.default"), 2e-3, 4e-3 if predicted else None),
    )
    return Measurement(
        model="toy", sizes={"batch": 8}, execution="eager", precision="native", device="cpu", threads=2,
        hardware="this" if predicted else None, runs=7, measured_s=3e-3, measured_low_s=2.9e-3, measured_high_s=3.2e-3,
        predicted_s=4.5e-3 if predicted else None, predicted_low_s=4e-3 if predicted else None,
        predicted_high_s=5e-3 if predicted else None, layers=rows if layers else (),
        energy=energy or ForwardEnergy(why_not="a counter not available: there is none"),
        predicted_j=joules, predicted_low_j=joules and joules / 2, predicted_high_j=joules and joules * 2,
    )  # fmt: skip


def test_the_worst_layer_comes_first() -> None:
    assert [layer.module for layer in worst_layers(measurement())] == ["head", "stem"]
    assert [layer.module for layer in worst_layers(measurement(predicted=False))] == ["head", "stem"]
    assert measurement().ratio == pytest.approx(1.5)


def test_the_table_says_both_and_which_layers() -> None:
    text = measurement().to_text()
    assert "3.000 ms" in text
    assert "4.500 ms" in text
    assert "1.50" in text
    assert text.index("head") < text.index("stem")
    assert "linear, relu" in text
    assert "eager execution only" in measurement(layers=False).to_text()
    assert "predicted" not in measurement(predicted=False).to_text()


def test_json_and_csv_say_the_same() -> None:
    document = json.loads(measurement().to_json())["measured"]
    lines = list(csv.DictReader(io.StringIO(measurement().to_csv())))
    assert [layer["module"] for layer in document["layers"]] == [line["module"] for line in lines[1:]]
    assert float(lines[0]["predicted_s"]) == document["predicted_s"]
    assert float(lines[1]["ratio"]) == pytest.approx(2.0)
    assert document["ratio"] == pytest.approx(1.5)


def test_every_joule_says_its_source() -> None:
    both = measurement(energy=METERED, joules=0.5)
    text = both.to_text(width=300)
    assert "250.0 mJ a forward, 100.0 mJ of them above an idle 50.00 W (rapl:package-0+dram" in text
    assert "a step is 0.04 %" in text
    assert "all of it" in text
    assert "500.0 mJ (250.0 mJ to 1.000 J; predicted: model)" in text
    assert "2.00" in text
    assert "rapl:package-0+dram" in both.to_markdown()
    document = json.loads(both.to_json())["measured"]
    assert document["measured_j"] == 0.25
    assert document["energy_source"] == "rapl:package-0+dram"
    assert (document["predicted_j"], document["predicted_j_source"]) == (0.5, "predicted: model")
    assert document["energy_ratio"] == 2
    assert document["energy"] == {
        "joules": 0.25, "above_idle_j": 0.1, "idle_w": 50.0, "source": "rapl:package-0+dram", "covers": "all of it",
        "resolution": 4e-4, "runs": 800, "duration_s": 2.5, "why_not": None,
    }  # fmt: skip
    total, first, _ = csv.DictReader(io.StringIO(both.to_csv()))
    assert float(total["measured_j"]) == 0.25
    assert total["energy_source"] == "rapl:package-0+dram"
    assert float(total["predicted_j"]) == 0.5
    assert total["predicted_j_source"] == "predicted: model"
    assert first["measured_j"] == first["energy_source"] == ""


def test_joules_that_nobody_told_are_none_and_say_why() -> None:
    unknown = measurement(joules=0.5)
    assert unknown.measured_j is None
    assert unknown.energy_source is None
    assert unknown.energy_ratio is None
    assert "not measured: a counter not available: there is none" in unknown.to_text(width=300)
    document = json.loads(unknown.to_json())["measured"]
    assert document["measured_j"] is None
    assert document["energy_source"] is None
    assert document["energy"]["why_not"] == "a counter not available: there is none"
    assert document["predicted_j_source"] == "predicted: model"
    assert "unknown: the machine's file has no power" in measurement(energy=METERED).to_text(width=300)
    assert json.loads(measurement(energy=METERED).to_json())["measured"]["predicted_j_source"] is None


def test_less_than_the_idle_draw_is_shown_with_its_sign() -> None:
    assert "-100.0 mJ of them" in measurement(energy=replace(METERED, above_idle_j=-0.1)).to_text(width=300)


def test_markdown_has_a_row_for_each_layer() -> None:
    table = [line for line in measurement().to_markdown().splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({line.count("|") for line in table}) == 1


def test_toml_is_read_back_as_it_was() -> None:
    data = {
        "version": 1,
        "name": 'a "quoted" name \\ with\nlines',
        "whole": 2.0,
        "tiny": 1.5e-7,
        "yes": True,
        "texts": ["one", "two"],
        "none": [],
        "table": {"key": 0.25, "inner": {"deep": 3}},
        "empty": {"inner": {"x": 1.5}},
    }
    assert tomllib.loads(as_toml(data)) == data


def test_calls_are_timed_as_often_as_asked() -> None:
    calls = []
    timing = time_call(lambda: calls.append(1), Budget(warm_up_s=0.0, measure_s=0.0, fewest=6))
    assert timing.runs == 6
    assert len(calls) == 7
    assert timing.low_s <= timing.median_s <= timing.high_s
    assert time_loop(lambda: None, Budget(0.0, 0.001)).median_s > 0


def test_the_system_says_what_it_runs_on() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.name
    levels = [cache.level for cache in machine.caches]
    assert levels == sorted(levels)
    assert all(cache.capacity_bytes > 0 and cache.cores >= 1 for cache in machine.caches)

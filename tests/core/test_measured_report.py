"""A measurement as table, JSON, CSV and Markdown, and the hardware file that a calibration writes; no torch."""

from __future__ import annotations

import csv
import io
import json
import sys

import pytest

from pyinfercost.measuring.clock import Budget, time_call, time_loop
from pyinfercost.measuring.machine import this_machine
from pyinfercost.measuring.result import MeasuredLayer, Measurement
from pyinfercost.measuring.toml import as_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def measurement(*, predicted: bool = True, layers: bool = True) -> Measurement:
    rows = (
        MeasuredLayer("stem", ("aten.conv2d.default",), 1e-3, 0.9e-3 if predicted else None),
        MeasuredLayer("head", ("aten.linear.default", "aten.relu.default"), 2e-3, 4e-3 if predicted else None),
    )
    return Measurement(
        model="toy", sizes={"batch": 8}, execution="eager", precision="native", device="cpu", threads=2,
        hardware="this" if predicted else None, runs=7, measured_s=3e-3, measured_low_s=2.9e-3, measured_high_s=3.2e-3,
        predicted_s=4.5e-3 if predicted else None, predicted_low_s=4e-3 if predicted else None,
        predicted_high_s=5e-3 if predicted else None, layers=rows if layers else (),
    )  # fmt: skip


def test_the_worst_layer_comes_first() -> None:
    assert [layer.module for layer in measurement().worst()] == ["head", "stem"]
    assert [layer.module for layer in measurement(predicted=False).worst()] == ["head", "stem"]
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
    document = json.loads(measurement().to_json())
    lines = list(csv.DictReader(io.StringIO(measurement().to_csv())))
    assert [layer["module"] for layer in document["layers"]] == [line["module"] for line in lines[1:]]
    assert float(lines[0]["predicted_s"]) == document["predicted_s"]
    assert float(lines[1]["ratio"]) == pytest.approx(2.0)
    assert document["ratio"] == pytest.approx(1.5)


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

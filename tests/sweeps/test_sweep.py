"""Sweeps: the grid, its order, and points equal to estimates."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from support.toy_graphs import blocks

import pyinfercost as ic

MACHINES = ["a100-sxm-80gb", "t4"]
BATCHES = [1, 8, 512]


@pytest.fixture(scope="module")
def graph() -> ic.Graph:
    return blocks()


@pytest.fixture(scope="module")
def grid(graph: ic.Graph) -> ic.results.Sweep:
    return ic.sweep(
        graph, hardware=MACHINES, precision=["fp32", "fp16"], execution=["eager", "compiled"], batch=BATCHES
    )


def test_the_grid_is_the_product_in_nested_order(grid: ic.results.Sweep) -> None:
    assert len(grid) == 2 * 2 * 2 * 3
    expected = [
        (m, p, e, b) for m in MACHINES for p in ("fp32", "fp16") for e in ("eager", "compiled") for b in BATCHES
    ]
    columns = ("hardware", "precision", "execution", "batch")
    assert list(zip(*(grid[name].tolist() for name in columns), strict=True)) == expected
    assert grid.columns[:5] == (*columns, "latency_s")
    assert list(grid) == list(grid.columns)


def test_each_point_is_what_an_estimate_says(graph: ic.Graph, grid: ic.results.Sweep) -> None:
    for row in grid.to_rows():
        way = {name: row[name] for name in ("hardware", "precision", "execution", "batch")}
        estimate = ic.estimate(graph, **way)
        for name in ("latency_s", "latency_low_s", "latency_high_s", "throughput_per_s", "fits_in_memory"):
            assert row[name] == getattr(estimate, name), (name, way)
        counts = ic.count(graph, precision=row["precision"], batch=row["batch"])
        assert row["peak_memory_bytes"] == counts.total.peak_memory_bytes
        assert sum(row[f"{bound}_s"] for bound in estimate.bound_shares) == pytest.approx(row["latency_s"])


def test_columns_have_types_and_cannot_be_changed(grid: ic.results.Sweep) -> None:
    assert grid["batch"].dtype == np.int64
    assert grid["latency_s"].dtype == np.float64
    assert grid["fits_in_memory"].dtype == np.bool_
    with pytest.raises(ValueError, match="read-only"):
        grid["latency_s"][0] = 0


def test_an_unknown_column_lists_the_columns(grid: ic.results.Sweep) -> None:
    with pytest.raises(KeyError, match="no column 'latency'; the columns are latency_s, latency_low_s"):
        grid["latency"]


@pytest.mark.parametrize("batch", [range(1, 5), (1, 2, 3, 4), np.arange(1, 5), iter([1, 2, 3, 4])])
def test_an_axis_is_any_iterable(graph: ic.Graph, batch: object) -> None:
    assert ic.sweep(graph, hardware="t4", batch=batch)["batch"].tolist() == [1, 2, 3, 4]


def test_single_values_and_defaults_are_axes_of_one(graph: ic.Graph) -> None:
    assert ic.sweep(graph, hardware="t4")["batch"].tolist() == [1]
    assert ic.sweep(graph, hardware=ic.hardware.load("t4"), batch=np.int32(7))["batch"].tolist() == [7]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"batch": []}, "'batch' has no values"),
        ({"hardware": []}, "hardware has no values"),
        ({"precision": ()}, "precision has no values"),
        ({"batch": [1, 4097]}, "got 4097"),
        ({"batch": [1, 2.5]}, "must be a whole number, got 2.5"),
        ({"batch": "12"}, "must be a whole number or several"),
        ({"sequence": [1]}, "unknown size 'sequence'"),
        ({"precision": ["fp16", "fp17"]}, "fp17"),
        ({"execution": "lazy"}, "lazy"),
    ],
)
def test_a_wrong_axis_is_refused(graph: ic.Graph, axes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ic.sweep(graph, **{"hardware": "t4", **axes})


def test_csv_and_json_hold_the_same_points(grid: ic.results.Sweep) -> None:
    rows = list(csv.DictReader(io.StringIO(grid.to_csv())))
    points = json.loads(grid.to_json())["points"]
    assert points == grid.to_rows()
    assert [{name: str(value) for name, value in point.items()} for point in points] == rows


def test_without_pandas_the_error_names_the_extra(grid: ic.results.Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pyinfercost\[dataframes\]"):
        grid.to_pandas()


def test_to_pandas_has_the_columns(grid: ic.results.Sweep) -> None:
    pytest.importorskip("pandas")
    frame = grid.to_pandas()
    assert list(frame.columns) == list(grid.columns)
    assert frame["latency_s"].tolist() == grid["latency_s"].tolist()


def test_repr_says_how_many_points(grid: ic.results.Sweep) -> None:
    assert repr(grid).startswith("<Sweep toy: 24 points")


def test_a_file_is_swept_and_other_things_are_refused(tmp_path: Path) -> None:
    graph = blocks()
    file = tmp_path / "toy.json"
    file.write_text(graph.to_json(), encoding="utf-8")
    for given in (file, str(file)):
        swept = ic.sweep(given, hardware="t4", batch=[1, 8])
        assert swept["latency_s"].tolist() == ic.sweep(graph, hardware="t4", batch=[1, 8])["latency_s"].tolist()
    assert ic.sweep(file, hardware="t4", batch=8)["batch"].tolist() == [8]
    with pytest.raises(TypeError, match="model is of type list; expected a Graph, a file or a model spec"):
        ic.sweep([1], hardware="t4")

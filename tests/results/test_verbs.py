"""Methods of all results: documents, tables, pages and data frames."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.report import forms, render
from pyinfercost.results.measurement import MeasuredLayer, Measurement
from pyinfercost.results.result import Result
from pyinfercost.results.sensitivity import AllocatedLayer, FormatSensitivity, MixedFigures, WholeFormat
from pyinfercost.results.sparsity import ActivationRow, ActivationSparsity, LayerSpeedup, SparsitySpeedup
from pyinfercost.results.tradeoff import Tradeoff, TradeoffRow

KINDS = (
    "profile",
    "counted",
    "estimate",
    "sweep",
    "stored",
    "comparison",
    "measurement",
    "sparsity",
    "activations",
    "speedup",
    "tradeoff",
    "collective",
    "sensitivity",
    "allocation",
)


def formats_of_layers() -> dict[str, Result]:
    """A sensitivity and an allocation of two layers, to one of which the format does not apply."""
    kept = MixedFigures(
        accuracy=0.9,
        lost=0.0,
        latency_s=1e-3,
        latency_low_s=9e-4,
        latency_high_s=1.1e-3,
        energy_j=None,
        cost_usd=None,
        parameter_bytes=4096,
        peak_memory_bytes=8192,
    )
    narrow = replace(kept, accuracy=0.89, lost=0.01, latency_s=8e-4, parameter_bytes=1024)
    of_fc = FormatSensitivity(
        layer="fc", format="int8_wo", applied="torchao", accuracy=0.89, lost=0.01, saved_s=2e-4, saved_bytes=3072
    )
    out = FormatSensitivity(layer="conv", format="int8_wo", applicable=False, error="int8_wo applies to no layer")
    changed = AllocatedLayer(layer="fc", format="int8_wo", applied="torchao", lost=0.01, saved_s=2e-4, saved_bytes=3072)
    layers = (changed, AllocatedLayer(layer="conv"))
    whole = (WholeFormat(format="int8_wo", layers=1, added_lost=0.01, added_latency_s=8e-4, figures=narrow),)
    added = {"lost": 0.01, "latency_s": 8e-4, "energy_j": None, "cost_usd": None, "parameter_bytes": 1024.0}
    where: Any = {"model": "Toy", "hardware": "l4", "precision": "fp16", "execution": "eager", "kernels": "engine"}
    where |= {"maximize": True, "original": kept, "whole": whole, "mixer": None}
    return {
        "sensitivity": ic.results.Sensitivity(**where, engine="torch", rows=(of_fc, out)),
        "allocation": ic.results.Allocation(
            **where, method="exact", limits={"lost": 0.02}, minimized="latency_s", layers=layers, added=added,
            together=narrow, holds=True, rounds=1, optimal=True, quantize={"fc": "int8_wo"}, prune={},
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    graph = blocks()
    profile = ic.profile(graph, hardware="l4", price=1.0, batch=8)
    assert profile.estimate is not None
    weights = np.array([[0.0, 1.0, 0.0, 2.0]] * 4, dtype=np.float32)
    layer = LayerSpeedup(
        module="fc",
        weight="fc.weight",
        form="dense",
        zero_share=0.5,
        dense_flops=200,
        effective_flops=100.0,
        dense_bytes=64,
        compressed_bytes=36,
        latency_s=2e-3,
        realizable_s=1e-3,
        why="2:4",
    )
    unchanged = TradeoffRow(name="original", accuracy=0.9, lost=0.0, latency_s=1e-3)
    rows = (unchanged, TradeoffRow(name="broken", error="it fails"))
    found: dict[str, Result] = {
        "profile": profile,
        "counted": ic.profile(graph),
        "estimate": profile.estimate,
        "sweep": ic.sweep(graph, hardware=["l4", "t4"], batch=[1, 8]),
        "comparison": ic.compare(before=profile, after=ic.profile(profile, batch=16)),
        "measurement": Measurement(
            model="toy", sizes={"batch": 8}, execution="eager", precision="native", device="cpu", threads=1,
            hardware=None, runs=3, measured_s=2.0, measured_low_s=1.0, measured_high_s=3.0,
            predicted_s=None, predicted_low_s=None, predicted_high_s=None,
            layers=(MeasuredLayer(module="fc", ops=("aten.linear",), measured_s=1.5, predicted_s=None),),
        ),
        "sparsity": ic.sparsity(weights),
        "activations": ActivationSparsity(
            model="Toy", rows=(ActivationRow(module="act", op="relu", calls=2, elements=100, zeros=25),)
        ),
        "speedup": SparsitySpeedup(hardware="a100-sxm-80gb", latency_s=4e-3, realizable_s=3e-3, layers=(layer,)),
        "tradeoff": Tradeoff(
            model="Toy", hardware="l4", precision="fp16", execution="eager", maximize=True, settings={}, rows=rows,
        ),
        "collective": ic.devices.collective("all_reduce", [1024, 2**20], hardware="h100-sxm-80gb", devices=8),
        **formats_of_layers(),
    }  # fmt: skip
    if pytest.importorskip("pyarrow"):
        folder = tmp_path_factory.mktemp("sweeps") / "grid"
        found["stored"] = ic.sweep(graph, hardware=["l4", "t4"], batch=[1, 8], out=folder)
    return found


class Tags(HTMLParser):
    """Which tags a page has, and whether all are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag not in ("meta", "link", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("kind", KINDS)
def test_documents_are_json(results: dict[str, Result], kind: str) -> None:
    result = results[kind]
    document = result.to_dict()
    assert document["schema_version"] == 1
    assert json.loads(result.to_json()) == json.loads(json.dumps(document, allow_nan=False))
    assert len(result.to_json(indent=None).splitlines()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_rows_csv_and_frames_have_the_columns(results: dict[str, Result], kind: str, tmp_path: Path) -> None:
    result = results[kind]
    rows = result.to_rows()
    assert rows
    assert all(tuple(row) == result.columns for row in rows)
    plain = (str, int, float, bool, type(None))
    assert all(type(value) in plain for row in rows for value in row.values())
    text = result.to_csv()
    read = list(csv.DictReader(io.StringIO(text)))
    assert read == [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
    assert result.to_csv(tmp_path / "rows.csv") is None
    assert (tmp_path / "rows.csv").read_text(encoding="utf-8") == text
    table = result.to_arrow()
    assert tuple(table.column_names) == result.columns
    assert table.to_pylist() == rows
    assert result.to_polars().shape == (len(rows), len(result.columns))
    frame = result.to_pandas()
    assert tuple(frame.columns) == result.columns
    for name in result.columns:
        assert frame[name].isna().tolist() == [row[name] is None for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_tables_are_text_markdown_and_html(results: dict[str, Result], kind: str) -> None:
    result = results[kind]
    text = result.to_text(width=80)
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80
    assert str(result) == result.to_text()
    markdown = result.to_markdown()
    assert "| " in markdown
    assert "\n- " in f"\n{markdown}"
    for page in (result.to_html(), result._repr_html_()):
        tags = Tags()
        tags.feed(page)
        assert tags.open == []
        assert "src=" not in page
        assert 'href="http' not in page
    assert "table" in tags.seen  # of what a notebook shows
    assert "script" not in tags.seen
    assert result.to_html().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("kind", KINDS)
def test_a_form_that_a_result_has_not_is_refused(results: dict[str, Result], kind: str) -> None:
    result = results[kind]
    assert {"dict", "json", "csv", "text", "markdown", "html", "snippet", "pandas"} <= {*forms(result), "dict"}
    with pytest.raises(ValueError, match=r"has no form 'pdf'; expected one of .*markdown"):
        render(result, "pdf")


def test_what_is_no_result_is_refused() -> None:
    with pytest.raises(TypeError, match="got a dict, which is not a result; expected one of Profile"):
        render({}, "text")


def test_what_is_not_known_is_none_and_null() -> None:
    """The graph has one node that moves nothing, so that it takes no time on a systolic array and no rate is known."""
    builder = ic.GraphBuilder("view")
    batch = builder.size("batch", default=2)
    x = builder.tensor("float32", (batch, 4), role="input")
    y = builder.tensor("float32", (batch, 4))
    builder.node("aten.view.default", {"self": x, "size": [-1]}, [y])
    graph = builder.build([x], [y])
    machine = "tpu-v5e"
    estimate = ic.estimate(graph, hardware=machine)
    assert estimate.latency_s == 0
    assert estimate.throughput_per_s is None
    assert estimate.to_dict()["estimate"]["throughput_per_s"] is None
    grid = ic.sweep(graph, hardware=machine, batch=[1, 2])
    assert np.isnan(grid["throughput_per_s"]).all()
    assert [row["throughput_per_s"] for row in grid.to_rows()] == [None, None]
    assert grid.row(0)["throughput_per_s"] is None
    assert [point["throughput_per_s"] for point in grid.to_dict()["points"]] == [None, None]
    assert {row["throughput_per_s"] for row in csv.DictReader(io.StringIO(grid.to_csv()))} == {""}
    assert grid.to_arrow()["throughput_per_s"].null_count == 2
    assert re.search(r"^throughput +not known$", str(ic.profile(graph, hardware=machine)), re.MULTILINE)


def test_counts_of_the_core_have_forms_too() -> None:
    graph = blocks()
    counts = ic.count(graph)  # the batch stays open
    assert "contraction FLOPs" in render(counts, "text")
    document = render(counts, "dict")
    assert document["totals"]["contraction_flops"] == str(counts.total.contraction_flops)
    assert json.loads(render(counts, "json")) == document
    assert [row["module"] for row in render(counts, "rows")] == [layer.module for layer in counts.layers]
    assert "".join(render(counts, "csv")).splitlines()[0] == ",".join(render(counts, "columns"))
    assert "- parameters: " in render(counts, "markdown")
    assert "<table>" in render(counts, "snippet")

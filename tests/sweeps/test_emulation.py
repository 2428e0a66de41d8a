"""Points whose precision the machine has no engine for are marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.cli_sweeps import heading, sweep
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost import _core

MACHINES = ["t4", "a100-sxm-80gb", "h100-sxm-80gb", "epyc-7763"]
PRECISIONS = ["fp32", "fp16", "bf16", "fp8", "int8"]


@pytest.fixture(scope="module")
def grid() -> ic.results.Sweep:
    return ic.sweep(blocks(), hardware=MACHINES, precision=PRECISIONS, execution=["eager", "compiled"], batch=[1, 256])


def test_it_is_what_the_kernels_of_an_estimate_say(grid: ic.results.Sweep) -> None:
    for row in grid.to_rows():
        way = {name: row[name] for name in ("precision", "execution")}
        machine = ic.hardware.load(row["hardware"])
        kernels = _core.evaluate_kernels(_core.plan(blocks(), {}, **way), {"batch": row["batch"]}, machine)
        dtypes = {kernel.unit_dtype for kernel in kernels if kernel.note}
        assert {ic.hardware.dtypes.CORE_DTYPES[row["emulated_by"]]} == dtypes if row["emulated_by"] else not dtypes


def test_machines_differ_in_what_they_lack(grid: ic.results.Sweep) -> None:
    eager = grid.where("execution == 'eager' and batch == 1")
    found = dict(zip(zip(eager["hardware"], eager["precision"], strict=True), eager["emulated_by"], strict=True))
    # The matrix unit of Turing has no bfloat16, that of Ampere no fp8, and that of Hopper both.
    assert found["t4", "fp8"] != ""
    assert found["a100-sxm-80gb", "fp8"] == "bf16"
    assert {found["h100-sxm-80gb", precision] for precision in PRECISIONS} == {""}
    assert {found[machine, "fp32"] for machine in MACHINES} == {""}


def test_best_and_fronts_keep_the_mark(grid: ic.results.Sweep) -> None:
    at = "hardware == 'a100-sxm-80gb' and precision == 'fp8'"
    best = grid.best("latency_s", where=at)
    assert best["emulated_by"] == "bf16"
    assert set(grid.where(at).pareto("latency_s", "peak_memory_bytes")["emulated_by"]) == {"bf16"}
    assert "emulated_by" not in grid.identity()
    own = grid.where("emulated_by == ''")
    assert len(own) == int((np.asarray(grid["emulated_by"]) == "").sum())


def test_outputs_show_the_mark_where_there_is_one(grid: ic.results.Sweep, tmp_path: Path) -> None:
    text = grid.where("hardware == 'a100-sxm-80gb'").to_text()
    assert "emulated" in text
    assert text.count("by bf16") == 4  # fp8, in two executions and two batches
    assert "emulated" not in grid.where("hardware == 'h100-sxm-80gb'").to_text()
    assert {row["emulated_by"] for row in grid.to_rows()} >= {"", "bf16"}
    path = tmp_path / "toy.json"
    path.write_text(blocks().to_json(), encoding="utf-8")
    told = sweep(str(path), "-H", "a100-sxm-80gb", "--precision", "fp8", "--best", "latency_s").stdout
    assert heading(told)["emulated"] == "no engine for this precision: computed as bf16"


def test_frames_have_it_as_a_category(grid: ic.results.Sweep) -> None:
    pandas = pytest.importorskip("pandas")
    column = grid.to_pandas()["emulated_by"]
    assert isinstance(column.dtype, pandas.CategoricalDtype)
    assert column.tolist() == grid["emulated_by"].tolist()

"""Sweeps as data frames of other libraries, and as files."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.sweeps import result

TEXTS = ("hardware", "precision", "execution", "evidence", "emulated_by")


@pytest.fixture(scope="module")
def grid() -> ic.results.Sweep:
    return ic.sweep(
        blocks(),
        hardware=["t4", "a100-sxm-80gb", "t4"],
        precision=["fp16", "fp32"],
        scale={"bandwidth": [1, 2.5]},
        devices=[1, 2],
        price=1,
        batch=range(1, 51),
    )


def kinds(grid: ic.results.Sweep) -> dict[str, ic.results.Sweep]:
    """A whole grid, some rows of one, none, and plain columns."""
    return {
        "grid": grid,
        "rows": grid.take(np.asarray([700, 3, 3, 9])),
        "none": grid.where("latency_s < 0"),
        "plain": ic.results.Sweep("toy", ("batch",), {name: grid[name] for name in grid.columns}),
    }


@pytest.mark.parametrize("kind", ["grid", "rows", "none", "plain"])
def test_pandas_has_categories(grid: ic.results.Sweep, kind: str) -> None:
    pytest.importorskip("pandas")
    sweep = kinds(grid)[kind]
    frame = sweep.to_pandas()
    assert list(frame.columns) == list(sweep.columns)
    for name in sweep.columns:
        assert frame[name].tolist() == sweep[name].tolist()
        assert (str(frame[name].dtype) == "category") == (name in TEXTS)
    if kind == "grid":
        assert list(frame["hardware"].cat.categories) == [
            "t4",
            "a100-sxm-80gb",
        ]  # one that is given twice is there once


@pytest.mark.parametrize("kind", ["grid", "rows", "none", "plain"])
def test_polars_and_arrow_have_dictionaries(grid: ic.results.Sweep, kind: str) -> None:
    polars = pytest.importorskip("polars")
    arrow = pytest.importorskip("pyarrow")
    sweep = kinds(grid)[kind]
    table, frame = sweep.to_arrow(), sweep.to_polars()
    assert table.column_names == frame.columns == list(sweep.columns)
    for name in sweep.columns:
        assert table[name].to_pylist() == frame[name].to_list() == sweep[name].tolist()
        assert arrow.types.is_dictionary(table[name].type) == (name in TEXTS)
        assert (frame[name].dtype == polars.Categorical) == (name in TEXTS)


@pytest.mark.parametrize("kind", ["grid", "rows", "none", "plain"])
@pytest.mark.parametrize("rows_per_group", [64, 2**17])
def test_parquet_gives_back_what_went_in(
    grid: ic.results.Sweep, kind: str, rows_per_group: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(result, "ROWS_PER_GROUP", rows_per_group)
    sweep = kinds(grid)[kind]
    sweep.to_parquet(str(tmp_path / "grid.parquet"))
    table = parquet.read_table(tmp_path / "grid.parquet")
    assert table.schema == sweep.to_arrow().schema
    for name in sweep.columns:
        assert table[name].to_pylist() == sweep[name].tolist()
    assert parquet.read_metadata(tmp_path / "grid.parquet").num_row_groups == max(-(-len(sweep) // rows_per_group), 1)


def test_parquet_of_a_grid_is_small(grid: ic.results.Sweep, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    sweep = ic.sweep(blocks(), hardware="t4", batch=range(1, 4097), scale={"bandwidth": np.linspace(1, 2, 50)})
    sweep.to_parquet(tmp_path / "grid.parquet")
    plain = sum(sweep[name].nbytes for name in sweep.columns if name not in TEXTS)
    assert (tmp_path / "grid.parquet").stat().st_size < plain / 3.5


def test_csv_goes_to_a_file(grid: ic.results.Sweep, tmp_path: Path) -> None:
    assert grid.to_csv(tmp_path / "grid.csv") is None
    with (tmp_path / "grid.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{name: str(value) for name, value in row.items()} for row in grid.to_rows()]
    assert (tmp_path / "grid.csv").read_text() == grid.to_csv()


@pytest.mark.parametrize(
    ("missing", "use", "needs"),
    [
        ("pandas", lambda sweep: sweep.to_pandas(), "to_pandas needs pandas"),
        ("polars", lambda sweep: sweep.to_polars(), "to_polars needs polars"),
        ("pyarrow", lambda sweep: sweep.to_arrow(), "to_arrow needs pyarrow"),
        ("pyarrow.parquet", lambda sweep: sweep.to_parquet("x.parquet"), "to_parquet needs pyarrow"),
    ],
)
def test_an_error_names_the_extra(
    grid: ic.results.Sweep, missing: str, use: Any, needs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"{needs}.*pip install 'pyinfercost\[dataframes\]'") as caught:
        use(grid)
    assert caught.value.name == missing.partition(".")[0]

"""Sweeps in folders: parts, resumption, foreign files, and selection without reading everything."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.stored_sweeps import AXES, BATCH, PARTS, POINTS, check_equal, content, run_of
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.sweeps import storage
from pyinfercost.sweeps.selection import NothingFitsError
from pyinfercost.sweeps.storage import run_to_folder

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def graph() -> ic.Graph:
    return blocks()


@pytest.fixture(scope="module")
def expected(graph: ic.Graph) -> ic.results.Sweep:
    return ic.sweep(graph, batch=BATCH, **AXES)


@pytest.fixture
def stored(tmp_path: Path) -> ic.StoredSweep:
    return run_to_folder(run_of(), tmp_path / "grid")


# ---- what is written ----


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_folder_holds_the_sweep_whatever_the_number_of_workers(
    stored: ic.StoredSweep, expected: ic.results.Sweep, tmp_path: Path, workers: int
) -> None:
    other = run_to_folder(run_of(workers=workers), tmp_path / "other")
    assert content(other.path) == content(stored.path)
    check_equal(other.where(None), expected)


def test_executors_write_the_same(stored: ic.StoredSweep, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as executor:
        assert content(run_to_folder(run_of(executor=executor), tmp_path / "other").path) == content(stored.path)


def test_the_folder_is_opened_later(stored: ic.StoredSweep, expected: ic.results.Sweep) -> None:
    again = ic.StoredSweep(str(stored.path))
    assert again.complete
    assert len(again) == POINTS
    assert again.columns == expected.columns
    assert (again.model, again.sizes) == ("toy", ("batch",))
    assert repr(again) == f"<StoredSweep toy in {stored.path}>"
    parts = list(again)
    assert [len(part) for part in parts] == [POINTS // PARTS] * PARTS
    assert np.concatenate([part["batch"] for part in parts]).tolist() == expected["batch"].tolist()


def test_part_sizes_do_not_follow_the_workers(graph: ic.Graph, tmp_path: Path) -> None:
    stored = ic.sweep(graph, batch=BATCH, out=tmp_path / "grid", workers=2, **AXES)
    manifest = json.loads((tmp_path / "grid" / "_sweep.json").read_text())
    assert (manifest["chunk_points"], manifest["parts"], len(stored.parts)) == (2**20, 1, 1)


def test_other_libraries_read_it(stored: ic.StoredSweep, expected: ic.results.Sweep) -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    from pyarrow import parquet

    assert stored.dataset().count_rows() == POINTS
    frame = pandas.read_parquet(stored.path)
    assert frame["latency_s"].tolist() == expected["latency_s"].tolist()
    assert frame["hardware"].astype(str).tolist() == expected["hardware"].tolist()
    lazy = polars.scan_parquet(stored.path / "*.parquet")
    assert lazy.select(polars.col("batch", "cost_usd", "fits_in_memory")).collect().to_dict(as_series=False) == {
        name: expected[name].tolist() for name in ("batch", "cost_usd", "fits_in_memory")
    }
    assert parquet.read_table(stored.path, columns=["peak_memory_bytes"]).num_rows == POINTS
    # A reader can skip what a filter on any column leaves out.
    group = parquet.read_metadata(stored.parts[0]).row_group(0)
    assert all(group.column(place).is_stats_set for place in range(group.num_columns))


# ---- choosing ----


def test_choosing_gives_what_it_gives_in_memory(stored: ic.StoredSweep, expected: ic.results.Sweep) -> None:
    where = "latency_s < 3e-5 and batch % 3 == 0"
    check_equal(stored.where(where), expected.where(where))
    for objective in ("cost_usd", "throughput_per_s", "latency_s"):
        assert stored.best(objective) == expected.best(objective)
        assert stored.best(objective, where="batch > 900") == expected.best(objective, where="batch > 900")
    assert stored.best("batch", maximize=True) == expected.best("batch", maximize=True)
    check_equal(stored.best("cost_usd", per="hardware"), expected.best("cost_usd", per="hardware"))
    for names in (("latency_s", "throughput_per_s"), ("cost_usd", "peak_memory_bytes", "latency_s")):
        check_equal(stored.pareto(*names), expected.pareto(*names))
    check_equal(stored.pareto("latency_s", maximize="batch"), expected.pareto("latency_s", maximize="batch"))


def test_a_filter_that_leaves_nothing(stored: ic.StoredSweep, expected: ic.results.Sweep, tmp_path: Path) -> None:
    check_equal(stored.where("latency_s < 0"), expected.where("latency_s < 0"))
    with pytest.raises(NothingFitsError, match="none of 4,000 points satisfies latency_s < 0"):
        stored.best("cost_usd", where="latency_s < 0")
    empty = run_to_folder(run_of("latency_s < 0"), tmp_path / "empty")
    assert empty.complete
    assert len(empty) == 0
    check_equal(empty.where(None), expected.where("latency_s < 0"))
    assert len(empty.pareto("latency_s")) == 0
    with pytest.raises(NothingFitsError, match="there are no points"):
        empty.best("latency_s")
    with pytest.raises(NothingFitsError, match="there are no points"):
        empty.best("latency_s", where="batch > 5")


def test_a_filter_is_applied_before_writing(expected: ic.results.Sweep, tmp_path: Path) -> None:
    where = "latency_s < 3e-5 and batch % 3 == 0"
    check_equal(run_to_folder(run_of(where), tmp_path / "grid").where(None), expected.where(where))


def test_columns_that_are_not_needed_are_not_read(stored: ic.StoredSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, str]] = []
    column = storage.PartColumns._column

    def recorded(self: Any, name: str) -> Any:
        read.append((self.path.name, name))
        return column(self, name)

    monkeypatch.setattr(storage.PartColumns, "_column", recorded)
    stored.best("latency_s", where="batch == 7 and hardware == 't4'")
    of_parts = {part: {name for file, name in read if file == part} for part, _ in read}
    assert len(of_parts) == PARTS
    assert sorted(len(names) for names in of_parts.values())[:-1] == [3] * (PARTS - 1)
    read.clear()
    stored.where("batch < 5")  # at the beginning of four parts
    assert sum(name == "compute_s" for _, name in read) == 4


def test_unknown_names_are_refused(stored: ic.StoredSweep) -> None:
    with pytest.raises(ValueError, match="latencies"):
        stored.best("latencies")
    with pytest.raises(ValueError, match="latencies"):
        stored.where("latencies < 3")
    with pytest.raises(KeyError, match="latencies"):
        next(iter(stored))["latencies"]

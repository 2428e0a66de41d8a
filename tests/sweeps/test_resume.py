"""Sweeps in folders that were interrupted, damaged or belong to another sweep."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.stored_sweeps import AXES, BATCH, POINTS, check_equal, content, run_of
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.sweeps import storage
from pyinfercost.sweeps.files import write_whole
from pyinfercost.sweeps.manifest import open_folder
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


# ---- going on ----


def stopping_at(points: int, error: type[BaseException] = KeyboardInterrupt) -> Callable[[int, int], None]:
    def stop(done: int, total: int) -> None:
        if done >= points:
            raise error("stop")

    return stop


@pytest.mark.parametrize("workers", [1, 3])
def test_an_interrupt_leaves_what_a_later_call_completes(
    expected: ic.results.Sweep, tmp_path: Path, workers: int
) -> None:
    with pytest.raises(ic.SweepInterrupted, match="of 4,000 points") as caught:
        run_to_folder(run_of(progress=stopping_at(2000), workers=workers), tmp_path / "grid")
    partial = caught.value.partial
    assert not partial.complete
    assert len(partial) == 2000
    assert "5 of 10 parts" in repr(partial)
    assert partial.best("latency_s")["batch"] >= 1
    assert not [name for name in content(tmp_path / "grid") if name.endswith(".tmp")]
    before = {part.name: part.stat().st_mtime_ns for part in partial.parts}

    seen: list[int] = []
    run = run_of(progress=lambda done, total: seen.append(done))
    check_equal(run_to_folder(run, tmp_path / "grid").where(None), expected)
    assert seen == list(range(2000, POINTS + 1, 400))
    assert {name: (tmp_path / "grid" / name).stat().st_mtime_ns for name in before} == before


def test_nothing_is_computed_anew(stored: ic.StoredSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyinfercost.sweeps.execute.compute", None)
    seen: list[tuple[int, int]] = []
    assert run_to_folder(run_of(progress=lambda *now: seen.append(now)), stored.path).complete
    assert seen == [(POINTS, POINTS)]


def test_an_error_keeps_what_is_there(
    tmp_path: Path, expected: ic.results.Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = storage.write_whole

    def full(target: Path, data: Any, **options: Any) -> None:
        if target.name == "part-00000004.parquet":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(target, data, **options)

    monkeypatch.setattr(storage, "write_whole", full)
    with pytest.raises(OSError, match="No space left") as caught:
        run_to_folder(run_of(workers=1), tmp_path / "grid")
    partial = caught.value.partial  # type: ignore[attr-defined]
    check_equal(partial.where(None), expected.take(np.arange(1600)))


def test_an_interrupt_before_the_first_part(tmp_path: Path) -> None:
    def never(*_: Any) -> None:
        raise KeyboardInterrupt

    run = run_of()
    run.results = never  # type: ignore[method-assign]
    open_folder(run, tmp_path)
    empty = ic.StoredSweep(tmp_path)
    assert len(empty) == 0
    assert list(empty) == []
    for use in (
        empty.dataset,
        lambda: empty.where(None),
        lambda: empty.best("latency_s"),
        lambda: empty.pareto("latency_s"),
    ):
        with pytest.raises(ValueError, match="has no finished part"):
            use()


@pytest.mark.parametrize("damage", [b"", b"PAR1 and then the machine stopped"])
def test_a_part_cut_short_is_written_anew(stored: ic.StoredSweep, expected: ic.results.Sweep, damage: bytes) -> None:
    stored.parts[3].write_bytes(damage)
    assert not ic.StoredSweep(stored.path).complete
    check_equal(run_to_folder(run_of(), stored.path).where(None), expected)


def test_half_written_files_are_not_read_and_go(stored: ic.StoredSweep) -> None:
    before = content(stored.path)
    left, fresh = (stored.path / f".part-00000003.parquet.{number}.tmp" for number in (1, 2))
    for file in (left, fresh):
        file.write_bytes(b"PAR1")
    os.utime(left, (time.time() - 3600,) * 2)
    assert stored.dataset().count_rows() == POINTS
    assert run_to_folder(run_of(), stored.path).complete
    assert not left.exists()
    assert fresh.exists()  # another run may be writing it
    fresh.unlink()
    assert content(stored.path) == before


def test_a_folder_with_nothing_but_half_a_manifest_is_taken(tmp_path: Path) -> None:
    (tmp_path / "._sweep.json.1.tmp").write_text("{")
    assert run_to_folder(run_of(), tmp_path).complete


def test_two_runs_into_one_folder_do_no_harm(stored: ic.StoredSweep, tmp_path: Path) -> None:
    results: list[Any] = []

    def go() -> None:
        try:
            results.append(run_to_folder(run_of(), tmp_path / "both").complete)
        except BaseException as error:
            results.append(error)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4
    assert content(tmp_path / "both") == content(stored.path)


def test_a_temporary_file_that_another_run_removed_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace
    removed: list[Path] = []

    def robbed(self: Path, target: Path) -> Path:
        if not removed:
            removed.append(self)
            self.unlink()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", robbed)
    write_whole(tmp_path / "part", [b"data"])
    assert content(tmp_path) == {"part": b"data"}
    assert len(removed) == 1


# ---- what is refused ----


def test_another_sweep_is_refused(stored: ic.StoredSweep, graph: ic.Graph, tmp_path: Path) -> None:
    before = content(stored.path)
    for axes in ({"batch": range(1, 999)}, {"where": "batch < 5"}, {"hardware": "t4"}, {"price": 3}):
        with pytest.raises(FileExistsError, match="has another sweep"):
            ic.sweep(graph, out=stored.path, **{"batch": BATCH, **AXES, **axes})
    assert content(stored.path) == before


def test_what_is_no_folder_of_a_sweep_is_refused(graph: ic.Graph, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty and has no sweep"):
        ic.sweep(graph, hardware="t4", out=tmp_path)
    with pytest.raises(FileExistsError, match="is a file"):
        ic.sweep(graph, hardware="t4", out=tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError, match="has no sweep"):
        ic.StoredSweep(tmp_path)
    (tmp_path / "_sweep.json").write_text("{")
    with pytest.raises(ValueError, match="no manifest of a sweep"):
        ic.StoredSweep(tmp_path)
    (tmp_path / "_sweep.json").write_text('{"schema_version": 99}')
    with pytest.raises(ValueError, match="schema_version 99; expected 2"):
        ic.StoredSweep(tmp_path)


def test_without_pyarrow_the_error_names_the_extra(
    graph: ic.Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"out=FOLDER needs pyarrow.*pyinfercost\[dataframes\]"):
        ic.sweep(graph, hardware="t4", out=tmp_path / "grid")
    assert not (tmp_path / "grid").exists()


# ---- Ctrl-C for real ----

SCRIPT = """
import sys
import pyinfercost as ic
graph = ic.Graph.from_json(open(sys.argv[1]).read())
started = []
def progress(done, total):
    if not started:
        started.append(done)
        print("started", flush=True)
try:
    ic.sweep(graph, hardware="t4", batch=range(1, 4097), scale={"bandwidth": [1 + i / 1e6 for i in range(20000)]},
             progress=progress, **eval(sys.argv[2]))
except KeyboardInterrupt as stopped:
    partial = stopped.partial
    print(type(stopped).__name__, type(partial).__name__, 0 < len(partial) < 4096 * 20000, partial.complete)
    if sys.argv[2] != "{}":
        print(all(len(part) for part in partial))
    else:
        print(partial.where("batch == 4")["latency_s"].min() > 0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.parametrize("kind", ["memory", "folder"])
@pytest.mark.slow
def test_a_real_interrupt_leaves_a_usable_result(graph: ic.Graph, tmp_path: Path, kind: str) -> None:
    (tmp_path / "graph.json").write_text(graph.to_json())
    options = "{}" if kind == "memory" else repr({"out": str(tmp_path / "grid")})
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, tmp_path / "graph.json", options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    of = "Sweep" if kind == "memory" else "StoredSweep"
    assert out == f"SweepInterrupted {of} True False\nTrue\n", err
    assert not list(tmp_path.glob("grid/.*"))

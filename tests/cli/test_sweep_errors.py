"""`pyinfercost sweep`: folders, errors with their exit codes, and Ctrl-C."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cli_sweeps import (
    BATCHES,
    L4,
    PRICE,
    TWO,
    heading,
    never,
    points,
    sweep,
    table,
)
from support.toy_graphs import blocks

import pyinfercost as ic

# --- folders -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("parts")
def test_a_folder_keeps_the_points_that_satisfy_the_condition(toy: str, grid: ic.results.Sweep, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    arguments = (toy, *TWO, *BATCHES, *PRICE, "--where", "batch > 60", "--store", str(folder))
    kept = grid.where("batch > 60")
    assert points(*arguments) == kept.to_rows()
    assert ic.StoredSweep(folder).where(None).to_rows() == kept.to_rows()
    assert len(ic.StoredSweep(folder).parts) == 6
    assert sweep(*arguments, "--format", "csv").stdout == kept.to_csv()
    assert points(*arguments, "--top", "5") == kept.to_rows()[:5]
    assert points(*arguments, "--pareto", "latency_s,cost_usd") == kept.pareto("latency_s", "cost_usd").to_rows()
    assert points(*arguments, "--best", "cost_usd") == [kept.best("cost_usd")]
    assert (
        points(*arguments, "--best", "cost_usd", "--per", "hardware") == kept.best("cost_usd", per="hardware").to_rows()
    )


@pytest.mark.usefixtures("parts")
def test_the_table_of_a_folder_is_that_of_memory_and_names_the_folder(toy: str, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    arguments = (toy, *TWO, *BATCHES, "--precision", "fp16", "--top", "4")
    text = sweep(*arguments, "--store", str(folder)).stdout
    lines = text.splitlines()
    kept = next(number for number, line in enumerate(lines) if line.startswith("kept in"))
    assert lines.pop(kept).split() == ["kept", "in", str(folder)]
    assert any(line.split() == ["load", "continuous", "on", "l4,", "a100-sxm-80gb"] for line in lines)
    assert [line.split() for line in lines] == [line.split() for line in sweep(*arguments).stdout.splitlines()]
    assert {row["hardware"] for row in table(text)} == {"l4"}, "a column, since points that are not shown differ"


@pytest.mark.usefixtures("parts")
def test_a_folder_without_points(toy: str, tmp_path: Path) -> None:
    arguments = (toy, *L4, *BATCHES, "--where", "batch > 9999", "--store", str(tmp_path / "sweep"))
    for form, lines in (("csv", 1), ("json", 6)):
        result = sweep(*arguments, "--format", form)
        assert result.exit_code == 0
        assert result.stderr == "none of 256 points satisfies batch > 9999\n"
        assert len(result.stdout.splitlines()) == lines
    assert sweep(*arguments).exit_code == 0
    assert sweep(*arguments, "--best", "latency_s").exit_code == 1


def test_a_folder_of_something_else_fails_before_the_capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("pyinfercost.sources.captured.graph_over", never)
    (tmp_path / "thesis.txt").write_text("words", encoding="utf-8")
    for folder, message in ((tmp_path, "has no sweep"), (tmp_path / "thesis.txt", "is a file")):
        result = sweep("torchvision:resnet50", *L4, "--store", str(folder))
        assert result.exit_code == 1
        assert message in result.stderr


# --- exit codes ----------------------------------------------------------------------------------------------------


WRONG = [
    ((*L4, "--where", "latncy_s < 1"), "unknown column 'latncy_s'; the columns are latency_s"),
    ((*L4, "--where", "latency_s <"), "--where: condition 'latency_s <'"),
    ((*L4, "--where", "hardware == 4"), "'hardware' is text"),
    ((*L4, "--where", "sequence > 4"), "unknown column 'sequence'"),
    ((*L4, "--where", "cost_usd < 1"), "cost_usd needs --price"),
    ((*L4, "--pareto", "latence,batch"), "unknown column 'latence'; the columns are latency_s"),
    ((*L4, "--pareto", "latency_s,hardware"), "'hardware' is a column of text"),
    ((*L4, "--pareto", "latency_s,latency_s,"), "one name is empty"),
    ((*L4, "--pareto", "latency_s,batch"), "give --maximize batch or --minimize batch"),
    ((*L4, "--best", "cost_usd"), "cost_usd needs --price"),
    ((*L4, "--best", "speed"), "unknown column 'speed'"),
    ((*L4, "--best", "batch"), "give --maximize batch or --minimize batch"),
    ((*L4, "--best", "latency_s", "--per", "hardwares"), "--per: unknown column 'hardwares'; the columns are"),
    ((*L4, "--best", "latency_s", "--pareto", "latency_s"), "--best and --pareto cannot be combined"),
    ((*L4, "--best", "latency_s", "--knee"), "--best and --knee cannot be combined"),
    ((*L4, "--pareto", "latency_s", "--knee"), "--pareto and --knee cannot be combined"),
    ((*L4, "--best", "latency_s", "--maximize", "batch"), "one objective"),
    ((*L4, "--maximize", "batch", "--minimize", "batch"), "named twice"),
    ((*L4, "--knee", "--maximize", "batch"), "--knee does not take --maximize"),
    ((*L4, "--per", "hardware"), "--per needs --best"),
    ((*L4, "--batch-tradeoff", "--batch", "4,8"), "--batch-tradeoff needs at least 3 values of batch"),
    ((*L4, "--knee", "--batch", "4,8"), "--knee needs at least 3 values of batch"),
    ((*L4, "--format", "parquet"), "--format parquet needs --output"),
    ((*L4, "--top", "0"), "--top"),
    ((*L4, "--workers", "0"), "--workers"),
    ((*L4, "--devices", "0"), "--devices must be at least 1, got 0"),
    ((*L4, "--devices", "two"), "--devices must be a whole number, such as 8, 1k or 128Ki; got 'two'"),
    ((*L4, "--price", "free"), "no instance 'free'"),
    ((*L4, "--region", "mars"), "the grid of 'mars' is not known"),
    ((*L4, "--price", "-1"), "expected 0 or a number from 1e-09"),
    ((*L4, "--price", "g4dn.xlarge"), "has t4, not l4"),
    ((*L4, "--price", "1", "--utilization", "0"), "utilization"),
    ((*L4, "--scale", "bandwidth=1:4"), "needs a step"),
    ((*L4, "--batch", "4:1"), "ascending"),
    (("-H", "l5"), "the nearest ids are l4"),
    (("-H", "l4,"), "unknown hardware ''"),
    (("-H", "all", "--threads", "4"), "expected a CPU"),
    ((), "--hardware"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), WRONG)
@pytest.mark.parametrize("model", ["a file", "torchvision:resnet50"])
def test_wrong_usage_exits_with_2_before_a_capture(
    toy: str, model: str, options: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if model != "a file":
        monkeypatch.setattr("pyinfercost.sources.captured.graph_over", never)
    batch = () if "--batch" in options else ("--batch", "1:8")
    result = sweep(toy if model == "a file" else model, *batch, *options)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--batch", "0,1"), "'batch' must be from 1 to 4096 in this graph, got 0"),
        (("--batch", "1:5000"), "got 5000"),
        (("--set", "sequence=4"), "unknown size 'sequence'"),
        (("--where", "rois.nms > 1"), "unknown column 'rois.nms'"),
    ],
)
def test_what_only_the_graph_knows_is_wrong_usage_too(toy: str, options: tuple[str, ...], message: str) -> None:
    result = sweep(toy, *L4, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_devices_need_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = tmp_path / "fixed.json"
    fixed.write_text(blocks(fixed_batch=8).to_json(), encoding="utf-8")
    result = sweep(str(fixed), *L4, "--devices", "1,2")
    assert result.exit_code == 2
    assert "devices share the batch" in result.stderr
    assert sweep(str(fixed), *L4, "--devices", "1").exit_code == 0
    monkeypatch.setattr("pyinfercost.sources.captured.graph_over", never)
    words = sweep("torchvision:resnet50", *L4, "--devices", "1,2")
    assert words.exit_code == 2
    assert "--batch 1,8,64" in words.stderr


def test_a_size_that_depends_on_data_is_known_after_the_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyinfercost.sources.captured.graph_over", never)
    result = sweep("torchvision:resnet50", *L4, "--where", "rois.nms > 1")
    assert result.exit_code == 1
    assert "the model is captured" in result.stderr


def test_wrong_places_together_with_a_folder(toy: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    folder = ("--store", str(tmp_path / "new"))
    for options, message in (
        (("--knee",), "--knee needs whole curves"),
        (("--batch-tradeoff",), "--batch-tradeoff needs whole curves"),
        (("-o", str(tmp_path / "x.parquet")), "already writes Parquet"),
    ):
        result = sweep(toy, *L4, *BATCHES, *folder, *options)
        assert result.exit_code == 2
        assert message in result.stderr
    assert not (tmp_path / "new").exists()


def test_a_file_in_no_folder_fails_before_the_capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyinfercost.sources.captured.graph_over", never)
    result = sweep("torchvision:resnet50", *L4, "-o", str(tmp_path / "no" / "x.csv"))
    assert result.exit_code == 1
    assert "does not exist" in result.stderr


def test_without_pyarrow_the_extra_is_named(toy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for library in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, library, None)
    for options in (("--store", str(tmp_path / "new")), ("-o", str(tmp_path / "x.parquet"))):
        result = sweep(toy, *L4, *options)
        assert result.exit_code == 1
        assert "pip install 'pyinfercost[dataframes]'" in result.stderr


def test_the_best_of_nothing_fails_and_says_how_near_it_came(toy: str, grid: ic.results.Sweep) -> None:
    result = sweep(toy, *TWO, *BATCHES, "--best", "latency_s", "--where", "latency_s < 1e-9 and batch > 3")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "none of 512 points satisfies latency_s < 1e-9 and batch > 3" in result.stderr
    assert f"latency_s < 1e-9: 0 of 512 points; the least is {grid['latency_s'].min():.6g}" in result.stderr
    assert sweep(toy, *L4, "--best", "latency_s", "--per", "hardware", "--where", "batch > 3").exit_code == 1


def test_no_points_are_an_answer_without_best(toy: str) -> None:
    arguments = (toy, *TWO, *BATCHES, "--where", "latency_s < 1e-9")
    for options in ((), ("--pareto", "latency_s"), ("--knee",)):
        result = sweep(*arguments, *options)
        assert result.exit_code == 0, result.output
        assert "the least is" in result.stderr
        assert "latency_s < 1e-9 (0 points)" in result.stdout
        assert "---" not in result.stdout
    assert points(*arguments) == []


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--devices", "1:1000000", "--batch", "1:4096"), 1, "4,096,000,000 points need 328 GB of memory, and"),
        (("--devices", "1:40000000000,5", "--batch", "1"), 2, "devices is 40000000000; expected a whole number from 1"),
        (("--devices", "1:1000000", "--batch", "1:4096"), 1, "pass --store FOLDER to write them to disk, or --where"),
        (("--batch", "1:400000000,5"), 2, "size 'batch' must be from 1 to 4096 in this graph, got 400000000"),
        (("--batch", "9" * 30), 2, "give a number of at most 9223372036854775807"),
        (("--batch", f"1:{'9' * 30},5"), 2, "give a number of at most 9223372036854775807"),
        (("--batch", "9" * 5000), 2, f"must be a whole number, such as 8, 1k or 128Ki; got '{'9' * 60}"),
        (("--devices", "0:40000000000"), 2, "--devices must be at least 1, got 0"),
    ],
)
@pytest.mark.sample(4)
def test_a_long_axis_is_refused_without_being_filled_in(
    toy: str, options: tuple[str, ...], code: int, message: str
) -> None:
    result = sweep(toy, *L4, *options)
    assert result.exit_code == code
    assert message in result.stderr
    assert len(result.stderr) < 1000


def test_a_grid_larger_than_memory_names_the_options(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MemoryError("9 points take 9 GB: give out=FOLDER to write them to disk, or where= to keep fewer")

    monkeypatch.setattr("pyinfercost.sweeps.sweep.sweep_over", refuse)
    result = sweep(toy, *L4)
    assert result.exit_code == 1
    assert "give --store FOLDER to write them to disk, or --where to keep fewer" in result.stderr


# --- Ctrl-C --------------------------------------------------------------------------------------------------------


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch, grid: ic.results.Sweep) -> Any:
    """A function that makes sweeps stop after some points."""

    def after(count: int) -> None:
        def interrupted(*_: object, **options: Any) -> None:
            partial = grid.take(np.arange(count)).where(options["where"])
            raise ic.SweepInterrupted(
                ic.results.Sweep("toy", ("batch",), partial.data, complete=False), count, len(grid)
            )

        monkeypatch.setattr("pyinfercost.sweeps.sweep.sweep_over", interrupted)

    return after


def test_after_ctrl_c_what_was_computed_is_shown(toy: str, stop: Any, tmp_path: Path) -> None:
    stop(10)
    arguments = (toy, *TWO, *BATCHES, *PRICE)
    shown = sweep(*arguments)
    assert shown.exit_code == 130
    assert shown.stderr == "Sweep stopped after 10 of 512 points\n"
    assert heading(shown.stdout)["points"] == "stopped after 10 of 512 points"
    assert [row["batch"] for row in table(shown.stdout)] == [str(batch) for batch in range(1, 11)]
    path = tmp_path / "x.json"
    assert sweep(*arguments, "-o", str(path), "--best", "batch", "--maximize", "batch").exit_code == 130
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["complete"] is False
    assert [point["batch"] for point in document["points"]] == [10]
    nothing = sweep(*arguments, "--best", "latency_s", "--where", "batch > 10")
    assert (nothing.exit_code, nothing.stdout) == (130, "")
    assert "none of 10 points satisfies batch > 10" in nothing.stderr


def test_after_ctrl_c_without_a_point_there_is_only_the_message(toy: str, stop: Any) -> None:
    stop(0)
    for options in ((), ("--best", "latency_s"), ("--where", "batch > 1")):
        result = sweep(toy, *TWO, *BATCHES, *options)
        assert (result.exit_code, result.stdout) == (130, "")
        assert "no point was computed" in result.stderr


def test_ctrl_c_before_the_sweep(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyinfercost.sources.captured.graph_over", interrupted)
    result = sweep(toy, *L4)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "Stopped\n")


@pytest.mark.usefixtures("parts")
def test_ctrl_c_in_a_folder_says_that_it_goes_on(
    toy: str, grid: ic.results.Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyinfercost.sweeps import storage

    write_whole, written = storage.write_whole, []

    def once(target: Path, pieces: Any) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(target)
        write_whole(target, pieces)

    arguments = (toy, *TWO, *BATCHES, *PRICE, "--store", str(tmp_path / "kept"))
    with monkeypatch.context() as patched:
        patched.setattr(storage, "write_whole", once)
        result = sweep(*arguments)
    assert result.exit_code == 130
    assert result.stderr.startswith("Sweep stopped after 100 of 512 points; run the same command again to resume from")
    assert "40 of 100 points" in result.stdout
    assert points(*arguments) == grid.to_rows()


def test_no_progress_is_passed_on(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyinfercost.sweeps import sweep as module

    seen = []
    whole = module.sweep_over

    def noting(*arguments: Any, **options: Any) -> Any:
        seen.append((options["progress"], options["workers"]))
        return whole(*arguments, **options)

    monkeypatch.setattr(module, "sweep_over", noting)
    assert sweep(toy, *L4).exit_code == 0
    assert sweep(toy, *L4, "--no-progress", "--workers", "2").exit_code == 0
    assert seen == [(None, None), (False, 2)]

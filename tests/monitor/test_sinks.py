"""Sinks without a library: written output is read back."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from pyinfercost.errors import FileAccessError, MissingFileError
from pyinfercost.monitor import Callback, Csv, Jsonl, Stdout, open_sink

FIGURES = {
    "cost/l4/latency_s": 0.0012345,
    "cost/l4/energy_j": 0.08,
    "cost/l4/cost_usd": 1.25e-05,
    "cost/l4/carbon_g": 2.0,
    "training/mfu": 0.4123,
    "training/items_per_s": 1200.0,
    "sparsity/zero_share": 0.5,
}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_line_has_units() -> None:
    stream = io.StringIO()
    sink = Stdout(stream)
    sink.write(120, FIGURES)
    sink.close()
    assert not stream.closed
    assert stream.getvalue() == (
        "step 120 | cost/l4: latency 1.234 ms, energy 80.00 mJ, cost 12.50 USD per million, carbon 2.000 g | "
        "training: mfu 41.2 %, items 1.200 k/s | sparsity: zero_share 50 %\n"
    )


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("flops", 3_200_000, "flops 3.200 MFLOP"),
        ("cost/achieved_flops_per_s", 1.5e12, "cost: achieved 1.500 TFLOP/s"),
        ("cost/traffic_bytes_per_s", 2e9, "cost: traffic 2.000 GB/s"),
        ("cost/saved_s", -0.002, "cost: saved -2.000 ms"),
        ("cost/latency_s", nan, "cost: latency nan s"),
        ("cost/latency_s", inf, "cost: latency inf s"),
        ("count", 3, "count 3"),
        ("loss", 0.25, "loss 0.2500"),
    ],
)
def test_what_a_figure_looks_like(name: str, value: float, shown: str) -> None:
    stream = io.StringIO()
    Stdout(stream).write(1, {name: value})
    assert stream.getvalue() == f"step 1 | {shown}\n"


def test_some_figures_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Stdout(only="cost/*/latency_s").write(1, FIGURES)
    Stdout(only=["training/mfu", "sparsity/*"]).write(2, FIGURES)
    Stdout(only=["nothing"]).write(3, FIGURES)
    assert capsys.readouterr().out == (
        "step 1 | cost/l4: latency 1.234 ms\nstep 2 | training: mfu 41.2 % | sparsity: zero_share 50 %\n"
    )


def test_csv_grows_columns_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    sink = Csv(path)
    assert not path.exists()  # in a distributed run sinks are made in every process
    sink.write(1, {"a": 1.5, "b, quoted": nan})
    sink.write(2, {"a": 2})
    sink.write(3, {"c": 0.1, "a": 3})
    sink.close()
    expected = [
        {"step": "1", "a": "1.5", "b, quoted": "", "c": ""},
        {"step": "2", "a": "2", "b, quoted": "", "c": ""},
        {"step": "3", "a": "3", "b, quoted": "", "c": "0.1"},
    ]
    assert rows(path) == expected
    Csv(path).write(4, {"c": 1e-17})
    assert rows(path) == [*expected, {"step": "4", "a": "", "b, quoted": "", "c": "1e-17"}]
    assert [entry.name for entry in path.parent.iterdir()] == ["costs.csv"]


def test_csv_drops_a_row_that_was_being_written(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    path.write_text("step,a\n1,0.5\n2,0.", encoding="utf-8")
    Csv(path).write(2, {"a": 0.25})
    assert path.read_text(encoding="utf-8") == "step,a\n1,0.5\n2,0.25\n"
    path.write_text("step,a", encoding="utf-8")  # not even the header
    Csv(path).write(1, {"a": 0.25})
    assert path.read_text(encoding="utf-8") == "step,a\n1,0.25\n"


def test_csv_leaves_the_old_file_where_the_new_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "costs.csv"
    sink = Csv(path)
    sink.write(1, {"a": 1})

    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        sink.write(2, {"b": 1})
    monkeypatch.undo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["costs.csv"]
    sink.write(3, {"b": 2})
    assert rows(path) == [{"step": "1", "a": "1", "b": ""}, {"step": "3", "a": "", "b": "2"}]


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
@pytest.mark.parametrize("room", [3, 10])
def test_csv_goes_on_after_a_full_disk(room: int, tmp_path: Path) -> None:
    import resource

    path = tmp_path / "costs.csv"
    sink = Csv(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))  # ends inside the header, or inside the row
        with pytest.raises(FileAccessError, match="File too large"):
            sink.write(1, {"a": 0.5})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    sink.write(2, {"a": 0.25, "b": 1})
    assert path.read_text(encoding="utf-8").endswith("\n2,0.25,1\n")
    assert rows(path) == [{"step": "2", "a": "0.25", "b": "1"}]


def test_csv_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    path.write_text("name,price\nbread,3\n", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"not a file of an earlier run: its first column is \['name'\], expected 'step'"
    ):
        Csv(path)
    assert path.read_text(encoding="utf-8") == "name,price\nbread,3\n"


def test_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "costs.jsonl"
    sink = Jsonl(path)
    assert not path.exists()
    sink.write(1, {"a": 1, "b": nan, "c": -inf})
    sink.close()
    with path.open("a", encoding="utf-8") as file:
        file.write('{"step": 2, "a')  # a run that was stopped
    Jsonl(path).write(2, {"a": 0.1})
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 1, "a": 1, "b": None, "c": None}, {"step": 2, "a": 0.1}]


def test_words_and_values(tmp_path: Path) -> None:
    seen: list[Any] = []
    sink = open_sink(lambda step, metrics: seen.append((step, metrics)))
    sink.write(1, {"a": 2})
    sink.close()
    assert isinstance(sink, Callback)
    assert seen == [(1, {"a": 2})]
    assert open_sink(sink) is sink
    assert isinstance(open_sink("stdout"), Stdout)
    assert isinstance(open_sink(io.StringIO()), Stdout)
    assert isinstance(open_sink(sys.stderr), Stdout)
    assert isinstance(open_sink(str(tmp_path / "x.csv")), Csv)
    assert isinstance(open_sink(tmp_path / "x.jsonl"), Jsonl)


@pytest.mark.parametrize(
    "word", ["tensorbord:x", "tensorboard", "tensorboard:", "wandb:", "stdout:1", "x.txt", "", "mlflow:a"]
)
def test_wrong_words_are_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is not a sink; expected a Sink, a function") as caught:
        open_sink(word)
    assert repr(word) in str(caught.value)
    assert "'tensorboard:DIR'" in str(caught.value)


@pytest.mark.parametrize("value", [3, None, Csv, object()])
def test_wrong_values_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="expected a Sink"):
        open_sink(value)


@pytest.mark.parametrize(
    ("word", "package", "extra"),
    [
        ("tensorboard:runs", "tensorboard", "tensorboard"),
        ("wandb", "wandb", "wandb"),
        ("mlflow", "mlflow", "mlflow"),
        ("prometheus", "prometheus_client", "prometheus"),
    ],
)
def test_a_missing_library_names_its_extra(
    word: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"needs {package}.*pip install 'pyinfercost\[{extra}\]'") as caught:
        open_sink(word)
    assert caught.value.name == package


def test_sinks_are_light_to_import() -> None:
    heavy = ("torch", "numpy", "tensorboard", "wandb", "mlflow", "prometheus_client")
    code = f"import pyinfercost.monitor.sinks, sys; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(__file__).parent
    )
    assert result.stdout.strip() == "[]"


# ---- paths and names of others ----


@pytest.mark.parametrize("sink", [Csv, Jsonl])
@pytest.mark.parametrize("name", ["a\0b", "a" * 300, "\ud800"])
def test_a_path_that_no_file_system_takes_is_refused_at_once(sink: type[Csv] | type[Jsonl], name: str) -> None:
    with pytest.raises(FileAccessError, match="cannot write") as error:
        sink(name)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a" * 200_000 + b",b\n", b'"' + b"x" * 200_000])
def test_csv_of_no_text_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a file of an earlier run"):
        Csv(path)
    assert path.read_bytes() == content


def test_names_are_neither_formulas_nor_escapes_of_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    metrics = {"=1+1": 0.5, "cost/\x1b[2J/latency_s": 1e-3}
    for step in (1, 2):
        Csv(path).write(step, metrics)  # the second reads the header of the first
    assert path.read_text(encoding="utf-8") == "step,'=1+1,cost/\\x1b[2J/latency_s\n1,0.5,0.001\n2,0.5,0.001\n"
    stream = io.StringIO()
    Stdout(stream).write(1, metrics)
    assert stream.getvalue().rstrip("\n").isprintable()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    for sink in (Csv(tmp_path / "folder.csv"), Jsonl(tmp_path / "folder.jsonl")):
        for path in (tmp_path / "folder.csv", tmp_path / "folder.jsonl"):
            path.mkdir(exist_ok=True)
        with pytest.raises(FileAccessError, match=r"cannot write .*folder\.(csv|jsonl)"):
            sink.write(1, {"a": 1})


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_folder_that_does_not_exist_is_refused_before_training(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    for folder in ("nowhere", "file"):
        with pytest.raises(MissingFileError, match=f"cannot write .*{name}: folder .*{folder} does not exist"):
            open_sink(tmp_path / folder / name)
    assert not (tmp_path / "nowhere").exists()

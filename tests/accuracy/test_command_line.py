"""Output of `python -m benchmarks.accuracy`, and its handling of invalid folders."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Judge = Callable[..., int]
Captured = pytest.CaptureFixture[str]

KEYS = {
    "table", "kind", "device", "software", "precision", "execution", "part", "evidence", "rows", "mape", "median",
    "p90", "bias", "spread", "spearman", "in_band", "roofline_mape", "roofline_median", "roofline_bias",
}  # fmt: skip


def rows_of(capsys: Captured) -> list[dict[str, Any]]:
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["rows", "kinds", "targets", "kept", "skipped", "omitted"]
    found: list[dict[str, Any]] = document["rows"]
    return found


def test_json_of_every_table(judge: Judge, measured: Path, capsys: Captured) -> None:
    assert judge("--format", "json") == 0
    rows = rows_of(capsys)
    assert all(set(row) == KEYS for row in rows)
    tables = {path.stem for path in measured.glob("*.csv")}
    # Rows with a reading of power are judged by it as well, under names of their own.
    assert {row["table"].partition(":")[0] for row in rows} == tables
    assert {"gemm_power: power", "gemm_power: energy"} <= {row["table"] for row in rows}
    for table in tables:
        lines = (measured / f"{table}.csv").read_text(encoding="utf-8").splitlines()
        (total,) = (row for row in rows if row["table"] == table and row["device"] == "all")
        parts = [row["rows"] for row in rows if row["table"] == table and row["device"] != "all"]
        assert {total[name] for name in ("kind", "software", "precision", "execution", "part", "evidence")} == {"all"}
        assert total["rows"] == sum(parts) == len(lines) - 1, f"every row of {table} has a prediction"
    for row in rows:
        assert row["rows"] >= 1
        assert 0 <= row["in_band"] <= 1
        for name in ("mape", "median", "p90", "bias", "roofline_mape", "roofline_median"):
            assert math.isfinite(row[name])
            assert row[name] >= 0


def test_groups_are_told_apart(judge: Judge, capsys: Captured) -> None:
    assert judge("--table", "gemm", "--table", "attention", "--format", "json") == 0
    found = {(r["table"], r["device"], r["precision"], r["execution"], r["part"]): r["rows"] for r in rows_of(capsys)}
    assert found == {
        ("gemm", "a100-sxm-80gb", "bfloat16", "cuda_graph", ""): 2,
        ("gemm", "a100-sxm-80gb", "int4_wo", "cuda_graph", ""): 1,
        ("gemm", "a100-sxm-80gb", "int8_wo", "cuda_graph", ""): 1,
        ("gemm", "a100-sxm-80gb", "sq", "cuda_graph", ""): 1,
        ("gemm", "mi300x", "fp8", "cuda_graph", ""): 1,
        ("gemm", "mi300x", "fp8_static", "cuda_graph", ""): 1,
        ("gemm", "all", "all", "all", "all"): 7,
        ("attention", "l4", "bfloat16", "cuda_graph", "context"): 1,
        ("attention", "l4", "bfloat16, kv fp8", "cuda_graph", "generation"): 1,
        ("attention", "all", "all", "all", "all"): 2,
    }


@pytest.mark.parametrize(("form", "mark"), [("table", "MAPE"), ("md", "|---|"), ("page", "# Accuracy")])
def test_forms_for_people(judge: Judge, capsys: Captured, form: str, mark: str) -> None:
    assert judge("--table", "gemm", "--format", form) == 0
    out = capsys.readouterr().out
    assert mark in out
    assert "a100-sxm-80gb" in out


def test_rows_of_one_table_are_written_with_their_predictions(
    judge: Judge, measured: Path, tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "rows.csv"
    assert judge("--table", "gemm", "--rows", str(path), "--format", "json") == 0
    (total,) = (row for row in rows_of(capsys) if row["device"] == "all")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    given = (measured / "gemm.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert list(rows[0]) == [*given, "judged", "measured", "predicted", "low", "high", "roofline"]
    assert all(float(row["measured"]) == pytest.approx(float(row["latency_us"]) * 1e-6) for row in rows)
    errors = [abs(float(row["predicted"]) / float(row["measured"]) - 1) for row in rows if row["predicted"] != "nan"]
    assert sum(errors) / len(errors) == pytest.approx(total["mape"], rel=1e-6)


def test_rows_of_several_tables_are_refused(judge: Judge, tmp_path: Path, capsys: Captured) -> None:
    assert judge("--rows", str(tmp_path / "rows.csv")) == 2
    assert "--rows needs one --table, whose columns it writes; got 0 tables" in capsys.readouterr().err


def test_kinds_and_evidence_are_those_of_the_catalog(judge: Judge, capsys: Captured) -> None:
    assert judge("--table", "gemm", "--table", "fp32_bmm", "--format", "json") == 0
    found = {row["device"]: (row["kind"], row["evidence"]) for row in rows_of(capsys)}
    assert found == {
        "a100-sxm-80gb": ("NVIDIA gpu", "family fitted"),
        "mi300x": ("AMD gpu", "sibling family fitted"),
        "xeon-8380": ("Intel cpu", "family fitted"),
        "all": ("all", "all"),
    }


def test_the_page_has_targets_its_command_and_what_is_omitted(judge: Judge, measured: Path, capsys: Captured) -> None:
    (measured / "serving.csv").write_text("device\n", encoding="utf-8")
    assert judge("--format", "page", "--sample", "3") == 0
    page = capsys.readouterr().out
    assert "python -m benchmarks.accuracy --measured DIR --sample 3 --format page > docs/accuracy.md" in page
    (line,) = (line for line in page.splitlines() if line.startswith("| GEMM bf16, NVIDIA | 2 |"))
    assert "| 9.0 |" in line
    assert "| serving | skipped: " in page
    for path in measured.glob("*.csv"):
        assert f"| {path.stem} |" in page


def test_figures_of_devices_that_were_left_out_are_shown_beside(judge: Judge, tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "left_out.json"
    path.write_text(json.dumps({"targets": [{"name": "GEMM bf16, NVIDIA", "mape": 0.4567}]}), encoding="utf-8")
    assert judge("--table", "gemm", "--format", "page", "--left-out", str(path)) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("| GEMM bf16, NVIDIA |"))
    assert "| 45.7 | 15.0 |" in line
    path.write_text("[]", encoding="utf-8")
    assert judge("--table", "gemm", "--format", "page", "--left-out", str(path)) == 2
    assert "expected the output of --format json" in capsys.readouterr().err


def test_rows_of_devices_that_the_catalog_lacks_are_counted(judge: Judge, measured: Path, capsys: Captured) -> None:
    path = measured / "gemm.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("mi300x", "mi300y"), encoding="utf-8")
    more = measured / "uncatalogued"
    more.mkdir()
    row = "{},engine 1,bfloat16,64,4096,4096,30\n"
    text = "device,software,dtype,m,n,k,latency_us\n" + row.format("l4") + row.format("l5")
    (more / "gemm.csv").write_text(text, encoding="utf-8")
    assert judge("--table", "gemm", "--format", "json") == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert {row["device"] for row in document["rows"]} == {"a100-sxm-80gb", "l4", "all"}
    (omitted,) = document["omitted"]
    assert (omitted["rows"], omitted["subjects"]) == (3, ["mi300y", "l5"])
    assert "gemm: 3 rows not predicted, the catalog has no such device: mi300y, l5" in captured.err


def test_what_is_not_there_is_said_and_the_rest_goes_on(judge: Judge, measured: Path, capsys: Captured) -> None:
    for name in ("fp32_bmm", "moe"):
        (measured / f"{name}.csv").unlink()
    (measured / "serving.csv").write_text("device\n", encoding="utf-8")
    (measured / "weather.csv").write_text("device\n", encoding="utf-8")
    assert judge("--format", "json") == 0
    captured = capsys.readouterr()
    assert {row["table"] for row in json.loads(captured.out)["rows"]} >= {"gemm", "attention", "fp32_linear"}
    for name in ("fp32_bmm", "moe", "models_vision", "serving", "weather"):
        assert f"{name}: skipped" in captured.err


@pytest.mark.parametrize(
    ("table", "line", "word"),
    [
        ("gemm", "a100-sxm-80gb,engine 1,int3_wo,64,64,64,10\n", "int3_wo"),
        ("fp32_elementwise", "t4,erfinv,64,64,10\n", "erfinv"),
        ("moe", "h100-sxm-80gb,engine 1,bfloat16,64,64,64,2,8,1,1,whimsical,10\n", "whimsical"),
        ("attention", "l4,engine 1,sideways,1,1,1,1,1,64,bfloat16,bfloat16,10\n", "sideways"),
        ("llm_layers", "a100-sxm-80gb,m,64,2,4096,11008,32,32,32768,True,attn_flip,20\n", "attn_flip"),
    ],
)
def test_a_row_that_cannot_be_predicted_is_counted(
    judge: Judge, measured: Path, capsys: Captured, table: str, line: str, word: str
) -> None:
    path = measured / f"{table}.csv"
    before = len(path.read_text(encoding="utf-8").splitlines()) - 1
    path.write_text(path.read_text(encoding="utf-8") + line, encoding="utf-8")
    assert judge("--table", table, "--format", "json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["rows"][-1]["rows"] == before
    (said,) = (text for text in captured.err.splitlines() if "1 rows not predicted" in text)
    assert word in said


def test_a_table_that_cannot_be_read(judge: Judge, measured: Path, capsys: Captured) -> None:
    (measured / "gemm.csv").write_text("device,dtype,m,n,latency_us\na100-sxm-80gb,bfloat16,1,1,3\n", encoding="utf-8")
    assert judge("--table", "gemm") == 2
    assert "no column 'k'" in capsys.readouterr().err


def test_a_sample_is_the_same_every_time(judge: Judge, measured: Path, capsys: Captured) -> None:
    path = measured / "fp32_softmax.csv"
    lines = [f"t4,softmax,{rows},1024,{rows // 20}\n" for rows in range(16384, 16384 + 40)]
    path.write_text("device,op,rows,columns,latency_us\n" + "".join(lines), encoding="utf-8")
    outputs = []
    for _ in range(2):
        assert judge("--table", "fp32_softmax", "--sample", "7", "--format", "json") == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0])["rows"][0]["rows"] == 7


def test_ctrl_c_shows_what_was_finished(judge: Judge, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.accuracy import tables

    def stopped(*_: object) -> list[Any]:
        raise KeyboardInterrupt

    monkeypatch.setitem(tables.KINDS, "attention", tables.Kind(stopped))
    assert judge("--format", "json") == 130
    captured = capsys.readouterr()
    assert {row["table"].partition(":")[0] for row in json.loads(captured.out)["rows"]} == {"gemm", "gemm_power"}
    assert "stopped" in captured.err


def test_another_folder_of_constants(judge: Judge, tmp_path: Path, capsys: Captured) -> None:
    import pyinfercost.hardware.files as shipped

    folder = tmp_path / "constants"
    shutil.copytree(shipped.CALIBRATIONS, folder)
    for path in shipped.CALIBRATIONS.glob("*.toml"):
        text = path.read_text(encoding="utf-8")
        (folder / path.name).write_text(text.replace("\ndram = 0.", "\ndram = 0.0"), encoding="utf-8")
    biases = []
    for arguments in ((), ("--calibration", str(folder))):
        assert judge("--table", "fp32_softmax", "--format", "json", *arguments) == 0
        biases.append(rows_of(capsys)[0]["bias"])
    assert biases[1] > 5 * biases[0], "a tenth of the bandwidth"

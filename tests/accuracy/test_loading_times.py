"""Loading times of weights: the bytes of the models, the rates of the servers, and the published table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.paths import SHARED

from pyinfercost.inputs.facts import facts

TABLE = SHARED / "traces" / "serverlessllm_coldstart" / "loading_times.csv"
HEADER = "hardware,mode,file,model,format,replica,loading_time_s\n"
published = pytest.mark.skipif(not TABLE.is_file(), reason=f"{TABLE} is not there: no loading times to judge")

Run = Callable[..., int]


def test_the_parameters_are_those_of_the_models() -> None:
    from benchmarks.accuracy.tables.loading_times import PARAMETERS

    assert PARAMETERS == {  # as their authors count them
        "facebook/opt-6.7b": 6_658_473_984,
        "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
        "Qwen/Qwen3-32B": 32_762_123_264,
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B": 32_763_876_352,
    }


def test_a_row_is_bytes_over_the_rates_of_its_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.accuracy.__main__ import main

    folder = tmp_path / "traces" / "serverlessllm_coldstart"
    folder.mkdir(parents=True)
    (tmp_path / "measured").mkdir()
    (folder / "loading_times.csv").write_text(
        HEADER
        + "a5000_2024,random,f,facebook/opt-6.7b_3,phantom,3,1\n"
        + "a5000_2024,random,f,facebook/opt-6.7b_3,safetensors,3,4\n"
        + "h100_2025,cached,f,Qwen/Qwen3-32B_0,sllm,0,1\n"
        + "h100_2025,cached,f,Qwen/Qwen3-32B_0,safetensors,0,10\n"
        + "h100_2025,cached,f,someone/else_0,safetensors,0,10\n"
    )
    ways = ["--measured", str(tmp_path / "measured"), "--cache", str(tmp_path), "--table", "loading_times"]
    assert main([*ways, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = {(row["device"], row["software"]): 1 + row["mape"] for row in document["rows"] if row["device"] != "all"}
    opt, qwen = 2 * 6_658_473_984, 2 * 32_762_123_264
    assert found == {
        ("rtx-a5000", "sllm"): pytest.approx(opt / (0.81 * 14e9)),
        ("rtx-a5000", "safetensors"): pytest.approx((opt / 6.4e9 + opt / 5.9e9) / 4),
        ("h100-sxm-80gb", "sllm"): pytest.approx(qwen / (0.83 * 63e9)),
        ("h100-sxm-80gb", "safetensors"): pytest.approx(qwen / 5.9e9 / 10),
    }
    assert document["omitted"][0]["reason"] == "model, mode or loader unknown"


def judged(monkeypatch: pytest.MonkeyPatch, read_gb_per_s: float, read_share: float) -> dict[str, Any]:
    """Errors of each row of the published table, by device, with these rates of the loaders."""
    from benchmarks.accuracy.captures import Capturing
    from benchmarks.accuracy.judge import judge, read_tables
    from benchmarks.accuracy.machines import load_machines
    from benchmarks.accuracy.measured import Problems

    loaders = facts()["loaders"]
    monkeypatch.setitem(loaders["safetensors"], "read_gb_per_s", read_gb_per_s)
    monkeypatch.setitem(loaders["sllm"], "read_share", read_share)
    problems = Problems()
    tables = read_tables(SHARED / "measured", ["loading_times"], problems)
    machines = load_machines(tables, lambda _: None, problems)
    ((_, rows),) = judge(tables, machines, Capturing(Path(), 1, lambda *_: None))
    errors = np.abs(rows.predicted.latency_s / rows.measured_s - 1)
    devices = np.array([group.device for group in rows.groups])
    return {device: errors[devices == device] for device in ("rtx-a5000", "h100-sxm-80gb")}


@published
def test_published_loading_times_are_met_with_the_rates_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    known = facts()["loaders"]
    found = judged(monkeypatch, known["safetensors"]["read_gb_per_s"], known["sllm"]["read_share"])
    errors = np.concatenate([*found.values()])
    assert len(errors) == 260
    assert np.median(errors) <= 0.15
    assert all(np.median(each) <= 0.2 for each in found.values())


@published
def test_published_loading_times_are_met_with_the_rates_of_the_other_server(monkeypatch: pytest.MonkeyPatch) -> None:
    # Reads of mapped files and shares of the array: 8.3 GB/s and 0.73 with H100, 4.95 and 0.90 with A5000.
    left_out = [judged(monkeypatch, 8.3, 0.73)["rtx-a5000"], judged(monkeypatch, 4.95, 0.90)["h100-sxm-80gb"]]
    assert np.median(np.concatenate(left_out)) <= 0.25

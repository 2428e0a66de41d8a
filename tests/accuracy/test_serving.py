"""`serving.csv`: the time per output token of servers on several devices, and the rows that are not predicted."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.accuracy.captures import Capturing
from benchmarks.accuracy.judge import judge, read_tables
from benchmarks.accuracy.machines import load_machines
from benchmarks.accuracy.measured import Problems

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

ROW: dict[str, Any] = {
    "device": "h100-sxm-80gb", "server": "vllm", "version": "0.12.0", "model": "meta-llama/Llama-3.1-8B-Instruct",
    "precision": "bf16", "input_tokens": 1024, "output_tokens": 128, "concurrency": 4, "tensor_parallel": 2,
    "pipeline_parallel": 1, "attention_data_parallel": 1, "moe_tensor_parallel": 1, "expert_parallel": 1,
    "tpot_ms": 5.0,
}  # fmt: skip


def folder(path: Path, rows: list[dict[str, Any]]) -> Path:
    with (path / "serving.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(ROW))
        writer.writeheader()
        writer.writerows({**ROW, **row} for row in rows)
    return path


def test_rows_of_several_devices_are_predicted(tmp_path: Path) -> None:
    problems = Problems()
    rows: list[dict[str, Any]] = [
        {},
        {"tensor_parallel": 4},
        {"tensor_parallel": 8},
        {"concurrency": 1},
        {"tensor_parallel": 1},  # one device
        {"concurrency": 64},  # queues
        {"model": "somebody/unknown"},
        {"tensor_parallel": 64},  # of 32 heads
    ]
    tables = read_tables(folder(tmp_path, rows), ["serving"], problems)
    machines = load_machines(tables, lambda _: None, problems)
    (judged,) = judge(tables, machines, Capturing(tmp_path / "graphs", 1))
    assert [group.part for group in judged.groups] == ["tensor 2", "tensor 2", "tensor 4", "tensor 8"]
    two, alone, four, eight = judged.predicted.latency_s.tolist()
    assert two > four > eight > 0
    assert two > alone  # prefills of the other clients come between the steps
    assert (judged.predicted.low_s < judged.predicted.latency_s).all()
    assert (judged.roofline_s < judged.predicted.latency_s).all()
    assert np.isclose(judged.measured_s, 5e-3).all()
    omitted = {(each["reason"].partition(":")[0], each["rows"]) for each in problems.to_dict()["omitted"]}
    assert omitted == {
        ("one device, whose server is not a forward", 1),
        ("more than 8 clients", 1),
        ("its model has no config, or no graph", 1),
        ("the layout is refused", 1),
    }

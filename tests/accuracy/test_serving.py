"""`serving.csv` and `open_loop_requests.csv`: servers under load, and the rows that are not predicted."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.accuracy.captures import Capturing
from benchmarks.accuracy.judge import judge, read_tables
from benchmarks.accuracy.machines import load_machines
from benchmarks.accuracy.measured import Problems
from benchmarks.accuracy.tables.serving import E2E, QUEUED, TTFT, UNTOLD, script_settings

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

ROW: dict[str, Any] = {
    "device": "h100-sxm-80gb", "server": "vllm", "version": "0.12.0", "model": "meta-llama/Llama-3.1-8B-Instruct",
    "precision": "bf16", "input_tokens": 1024, "output_tokens": 128, "concurrency": 4, "tensor_parallel": 2,
    "pipeline_parallel": 1, "attention_data_parallel": 1, "moe_tensor_parallel": 1, "expert_parallel": 1,
    "ttft_ms": 40.0, "tpot_ms": 5.0, "queue_limited": "false", "origin": "gap_analysis", "known_script": "false",
    "script": "",
}  # fmt: skip
SCRIPT = """
kv-cache-dtype: fp8
async-scheduling: true
max-num-batched-tokens: 4096
cuda-graph-sizes: 64
vllm serve $MODEL --max-num-seqs=$CONC
"""


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


def folder(path: Path, rows: list[dict[str, Any]]) -> Path:
    with (path / "serving.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(ROW))
        writer.writeheader()
        writer.writerows({**ROW, **row} for row in rows)
    scripts = {"70b@1": {"text": SCRIPT}}
    (path / "serving.scripts.json").write_text(json.dumps(scripts), encoding="utf-8")
    return path


def test_rows_of_decode_steps_alone_and_of_untold_limits_are_apart(tmp_path: Path, graphs: Path) -> None:
    waiting = {"queue_limited": "true", "ttft_ms": 20_000.0, "concurrency": 64}
    rows: list[dict[str, Any]] = [
        {"origin": "dynamo", "concurrency": 4},
        {**waiting, "tpot_ms": 5.0},  # tokens for 3 % of the time
        {**waiting, "tpot_ms": 400.0},
    ]
    problems = Problems()
    tables = read_tables(folder(tmp_path, rows), ["serving"], problems)
    machines = load_machines(tables, lambda _: None, problems)
    ((_, judged),) = judge(tables, machines, Capturing(graphs, 1))
    found = [(row, group.table, group.part) for row, group in zip(judged.rows.tolist(), judged.groups, strict=True)]
    assert [(row, part) for row, table, part in found if table == "serving"] == [(0, "decode steps alone, 2 devices")]
    assert {row for row, table, _ in found if table.startswith(f"serving{UNTOLD}")} == {1}
    assert {row for row, table, _ in found if table.startswith(f"serving{QUEUED}")} == {2}
    # The model reads its weights and four caches of 1,088 tokens on two devices.
    bytes_read = 16.06e9 + 4 * 1088 * 2**17
    least_s = bytes_read / 2 / 3.35e12
    assert least_s < judged.predicted.latency_s[0] < 3 * least_s


@pytest.mark.slow
def test_servers_are_simulated_with_their_clients(tmp_path: Path, graphs: Path) -> None:
    rows: list[dict[str, Any]] = [
        {},
        {"tensor_parallel": 1},
        {"concurrency": 1},
        {"concurrency": 64},
        {"version": "0.18.0"},  # schedules ahead
        {"server": "sglang", "queue_limited": "true"},
        {"origin": "inferencex", "known_script": "true", "script": "70b@1"},
        {"model": "somebody/unknown"},
        {"tensor_parallel": 64},  # of 32 heads
    ]
    problems = Problems()
    tables = read_tables(folder(tmp_path, rows), ["serving"], problems)
    machines = load_machines(tables, lambda _: None, problems)
    (judged,) = judge(tables, machines, Capturing(graphs, 1))
    tpot_s = [
        value for group, value in zip(judged.groups, judged.predicted.latency_s.tolist(), strict=True)
        if group.table in ("serving", f"serving{QUEUED}")
    ]  # fmt: skip
    plain, one_device, alone, many, ahead, _, scripted = tpot_s
    assert one_device > plain > ahead > 0
    assert many > plain > alone
    assert scripted < plain  # prompts that are shorter, no host between steps
    names = {group.table for group in judged.groups}
    assert names == {f"serving{limited}{quantity}" for limited in ("", QUEUED) for quantity in ("", TTFT, E2E)}
    assert {group.part for group in judged.groups if "known" in group.part} == {"script known, 2 devices"}
    assert (judged.predicted.low_s < judged.predicted.latency_s).all()
    assert (judged.roofline_s < judged.predicted.latency_s).all()
    measured = {group.table: value for group, value in zip(judged.groups, judged.measured_s.tolist(), strict=True)}
    assert np.isclose(measured[f"serving{QUEUED}"], 5e-3)
    assert np.isclose(measured[f"serving{QUEUED}{E2E}"], 0.04 + 127 * 5e-3)
    omitted = {(each["reason"].partition(":")[0], each["rows"]) for each in problems.to_dict()["omitted"]}
    assert omitted == {("its model has no config, or no graph", 1), ("refused", 1)}


def test_scripts_say_how_a_server_was_started() -> None:
    scheduler, steps, cache = script_settings(SCRIPT, 32)
    assert scheduler == {"max_num_seqs": 32, "max_num_batched_tokens": 4096}
    assert steps == {"async_scheduling": True, "graph_batches": (1, 2, 4, 8, 16, 24, 32, 40, 48, 56)}
    assert cache == "fp8"
    assert script_settings("vllm serve --max-num-seqs 256", 8) == ({"max_num_seqs": 256}, {}, "")
    other = "sglang --max-running-requests=${CONC} --chunked-prefill-size 4096 --kv-cache-dtype fp8_e4m3"
    assert script_settings(other, 8) == ({"max_num_seqs": 8, "chunked_prefill_size": 4096}, {}, "fp8")
    assert script_settings("vllm serve --no-async-scheduling", 8) == ({}, {"async_scheduling": False}, "")
    assert script_settings("max_batch_size: 64\nmax_num_tokens: 2048", 8)[0] == {
        "max_num_seqs": 64,
        "max_num_batched_tokens": 2048,
    }


REQUEST = ("device", "gpus", "model", "request", "input_tokens", "output_tokens", "arrival_s", "queued_s",
           "scheduled_s", "first_token_s", "last_token_s")  # fmt: skip


@pytest.mark.slow
def test_runs_are_replayed_request_by_request(tmp_path: Path, graphs: Path) -> None:
    with (tmp_path / "open_loop_requests.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(REQUEST)
        for number in range(6):
            at = 0.2 * number
            row = ("rtx-4090", 1, "Llama-3.1-8B", number, 500, 60, at, at, at, at + 0.1, at + 2.0)
            writer.writerow(row)
    settings = {
        "rtx-4090 x1 Llama-3.1-8B": {
            "server": "vllm 0.19.0",
            "engine_arguments": {"tensor_parallel_size": 1, "max_num_seqs": 2, "dtype": "bfloat16"},
            "kv_cache": {"num_gpu_blocks": 2588},
        }
    }
    (tmp_path / "open_loop_requests.settings.json").write_text(json.dumps(settings), encoding="utf-8")
    problems = Problems()
    tables = read_tables(tmp_path, ["open_loop_requests"], problems)
    machines = load_machines(tables, lambda _: None, problems)
    (judged,) = judge(tables, machines, Capturing(graphs, 1))
    assert not problems.found
    whole = [row for row, group in enumerate(judged.groups) if group.table == "open_loop_requests"]
    assert np.isclose(judged.measured_s[whole], 2.0).all()
    predicted_s = judged.predicted.latency_s[whole]
    assert (np.diff(predicted_s) > -0.05).all()  # two run at once: later ones wait longer
    assert predicted_s[-1] > predicted_s[0] + 0.5
    mean = [row for row, group in enumerate(judged.groups) if group.table == "open_loop_requests: mean whole request"]
    assert np.isclose(judged.predicted.latency_s[mean], predicted_s.mean())

"""Recorded runs of vLLM on a CPU against the simulator, calibrated by one run of each model.

`shared/live` has the stamps of all requests, and the settings of the server. The data are not part of the repository.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from support.paths import SHARED

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.serving.runs import Run, facts_of, simulated
from pyinfercost.serving.scheduler import simulated_scheduler
from pyinfercost.serving.serve import phases_of

LIVE = SHARED / "live"
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(not LIVE.is_dir(), reason=f"{LIVE} is not there: no recorded runs to compare with"),
]
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

RUNS = ("tiny_rate4", "tiny_rate16", "tiny_rate16_kv24", "small_rate0.8", "small_rate3", "small_rate3_rep")
CALIBRATED_BY = {
    "tiny": "tiny_rate16_kv24",
    "small": "small_rate3",
}  # of "tiny" the host is most of the time, and noisy
BLOCK = 128
PREEMPTIONS = 13  # at most, of the run with 24 blocks (README of the data)


class Measured(NamedTuple):
    columns: dict[str, np.ndarray]
    settings: dict[str, Any]
    model: str


@cache
def measured(run: str) -> Measured:
    facts = json.loads((LIVE / "vllm_cpu_runs.json").read_text(encoding="utf-8"))
    with (LIVE / "vllm_cpu_runs.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["run"] == run]
    names = ("arrival_s", "first_token_s", "last_token_s", "input_tokens", "output_tokens")
    columns = {name: np.array([float(row[name]) for row in rows]) for name in names}
    order = np.argsort(columns["arrival_s"], kind="stable")
    model = facts["runs"][run]["model"]
    tokens = facts["server"]["kv_tokens"]["tiny_kv24" if run.endswith("kv24") else model]
    settings = {name: facts["server"][name] for name in ("max_num_seqs", "max_num_batched_tokens", "max_model_len")}
    settings |= {"num_gpu_blocks": tokens // BLOCK, "enable_prefix_caching": False}
    return Measured({name: values[order] for name, values in columns.items()}, settings, model)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ic.serving.StepCosts]:
    facts = json.loads((LIVE / "vllm_cpu_runs.json").read_text(encoding="utf-8"))
    found = {}
    for model, run in CALIBRATED_BY.items():
        folder: Path = tmp_path_factory.mktemp(model)
        (folder / "config.json").write_text(json.dumps(facts["models"][model]), encoding="utf-8")
        phases = phases_of(f"hf:{folder}")
        on = ic.Deployment(hardware="xeon-8480+", threads=2, engine="vllm", precision="bf16")
        costs = ic.serving.step_costs(
            phases.decode, phases.prefill, on=on, context=512, most_sequences=32, most_tokens=1024, most_context=2048
        )
        assert costs.block_tokens == BLOCK
        data = measured(run)
        found[model] = ic.calibrate_serving(costs, data.columns, **data.settings).costs
    return found


def simulate(costs: ic.serving.StepCosts, data: Measured) -> tuple[Run, _core.Simulation]:
    replay = ic.serving.RecordedRequests.of(
        *(data.columns[name] for name in ("arrival_s", "input_tokens", "output_tokens"))
    )
    workload = ic.Workload(trace=replay)
    scheduler = simulated_scheduler(costs, data.settings)
    run = Run(costs, scheduler, workload, facts_of(workload), 1, "least_loaded", data.settings["num_gpu_blocks"])
    return run, simulated(run)


def ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.sample(1)
def test_recorded_runs_are_met_after_one_of_them(name: str, calibrated: dict[str, ic.serving.StepCosts]) -> None:
    data = measured(name)
    run, found = simulate(calibrated[data.model], data)
    figures = run.figures(found)
    assert figures["finished"] == len(data.columns["arrival_s"])
    columns = data.columns
    assert found.servers["generated_tokens"].sum() == columns["output_tokens"].sum()
    measured_e2e = columns["last_token_s"] - columns["arrival_s"]
    assert figures["latencies"]["e2e_s"]["mean"] == pytest.approx(measured_e2e.mean(), rel=0.25)
    measured_tpot = (columns["last_token_s"] - columns["first_token_s"]) / (columns["output_tokens"] - 1)
    assert figures["latencies"]["tpot_s"]["mean"] == pytest.approx(measured_tpot.mean(), rel=0.25)
    order = np.corrcoef(ranks(found.finish_s), ranks(columns["last_token_s"]))[0, 1]
    assert order > 0.95
    if name.endswith("kv24"):
        assert PREEMPTIONS / 1.5 <= found.preemptions.sum() <= PREEMPTIONS * 1.5
    else:
        assert found.preemptions.sum() == 0

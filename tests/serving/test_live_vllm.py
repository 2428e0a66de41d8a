"""A real vLLM on this machine's CPU against the simulator, after one run has calibrated it.

Two equal runs of such a server differ by 10 % in whole requests, because its client shares the cores.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from support.language_configs import spec_of
from support.vllm_server import CONFIG, PYTHON, SETTINGS, Answered, blocks, preemptions, replay, serving

import pyinfercost as ic
from pyinfercost.serving.serve import phases_of

LOG = logging.getLogger(__name__)

pytestmark = [
    pytest.mark.torch,
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which(PYTHON),
        reason="needs PYINFERCOST_VLLM_PYTHON, a Python with vLLM for CPUs (tests/support/vllm_server.py)",
    ),
]

RATE = 1.5
WITHIN = 0.25


def columns(requests: Sequence[Answered]) -> dict[str, Any]:
    return {
        "arrival_s": [each.arrival_s for each in requests],
        "prompt_tokens": [each.prompt for each in requests],
        "output_tokens": [each.output for each in requests],
        "first_token_s": [each.first_token_s for each in requests],
        "last_token_s": [each.last_token_s for each in requests],
    }


def workload(requests: Sequence[Answered]) -> ic.Workload:
    load = columns(requests)
    return ic.Workload(
        trace=ic.serving.RecordedRequests.of(load["arrival_s"], load["prompt_tokens"], load["output_tokens"])
    )


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> ic.serving.StepCosts:
    folder = tmp_path_factory.mktemp("machine")
    machine = folder / "this.toml"
    cores = os.cpu_count() or 1
    machine.write_text(ic.calibrate(threads=cores, budget_s=20.0, compiled=False).to_toml(), encoding="utf-8")
    phases = phases_of(spec_of(folder, CONFIG))
    on = ic.Deployment(hardware=machine, engine="vllm", precision="bf16")
    return ic.serving.step_costs(
        phases.decode, phases.prefill, on=on, context=400, most_sequences=32, most_tokens=2048, most_context=2048
    )


def test_a_run_is_predicted_after_another_one(costs: ic.serving.StepCosts, tmp_path: Path) -> None:
    with serving(tmp_path) as port:
        settings = {**SETTINGS, "num_gpu_blocks": blocks(port), "enable_prefix_caching": False}
        replay(port, rate_per_s=4.0, requests=8, seed=0)  # the first requests allocate and compile
        known = replay(port, rate_per_s=RATE, requests=40, seed=1)
        judged = replay(port, rate_per_s=RATE, requests=60, seed=2)
        lost = preemptions(port)
    for each in (*known, *judged):
        assert each.tokens == each.output
    calibrated = ic.calibrate_serving(costs, columns(known), **settings)
    served = ic.serve(calibrated.costs, workload=workload(judged), **settings)
    assert (served.finished, served.preemptions) == (60, lost) == (60, 0)
    whole = np.mean([each.last_token_s - each.arrival_s for each in judged])
    each_token = np.mean([(each.last_token_s - each.first_token_s) / (each.output - 1) for each in judged])
    LOG.info(calibrated.to_text())
    LOG.info(f"whole request {served['e2e_s'].mean / whole:.3f}, per token {served['tpot_s'].mean / each_token:.3f}")
    assert served["e2e_s"].mean == pytest.approx(whole, rel=WITHIN)
    assert served["tpot_s"].mean == pytest.approx(each_token, rel=WITHIN)
    assert order_of(calibrated.costs, judged, settings) > 0.95


def test_a_small_cache_preempts_as_often(costs: ic.serving.StepCosts, tmp_path: Path) -> None:
    with serving(tmp_path, "--num-gpu-blocks-override", "24") as port:
        assert blocks(port) == 24
        settings = {**SETTINGS, "num_gpu_blocks": 24, "enable_prefix_caching": False}
        replay(port, rate_per_s=4.0, requests=4, seed=0)
        before = preemptions(port)
        judged = replay(port, rate_per_s=4.0, requests=60, seed=3)
        lost = preemptions(port) - before
    assert all(each.tokens == each.output for each in judged)
    calibrated = ic.calibrate_serving(costs, columns(judged), **settings)
    served = ic.serve(calibrated.costs, workload=workload(judged), **settings)
    LOG.info(f"preemptions: {lost} of the server, {served.preemptions} simulated")
    assert lost > 0
    assert lost / 1.5 <= served.preemptions <= 1.5 * lost


def order_of(costs: ic.serving.StepCosts, judged: Sequence[Answered], settings: dict[str, Any]) -> float:
    """Return the rank correlation of the times at which requests end."""
    from pyinfercost.serving.runs import Run, facts_of, simulated
    from pyinfercost.serving.scheduler import simulated_scheduler

    load = workload(judged)
    run = Run(
        costs, simulated_scheduler(costs, settings), load, facts_of(load), 1, "least_loaded", settings["num_gpu_blocks"]
    )
    ends = simulated(run).finish_s
    return float(spearmanr(ends, [each.last_token_s for each in judged]).statistic)

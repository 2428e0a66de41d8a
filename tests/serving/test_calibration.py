"""Corrections of step costs by measurements: recovered from simulated ones, written, read and refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from support.language_configs import LLAMA, spec_of

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.errors import InputError
from pyinfercost.serving.runs import Run, facts_of, simulated
from pyinfercost.serving.scheduler import simulated_scheduler
from pyinfercost.serving.serve import phases_of
from pyinfercost.serving.step_cost_factors import CalibrationError

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

LOAD = ic.Workload(clients=8, prompt=200, output=40, requests=80)
TRUE = ic.serving.StepCostFactors(decode=1.3, prefill=1.2, host=1.6)  # of a small model, whose host is most of a step


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return spec_of(tmp_path_factory.mktemp("config"), LLAMA | {"max_position_embeddings": 512})


@pytest.fixture(scope="module")
def costs(spec: str) -> ic.serving.StepCosts:
    phases = phases_of(spec)
    on = ic.Deployment(hardware="h100-sxm-80gb", engine="vllm")
    return ic.serving.step_costs(phases.decode, phases.prefill, on=on, context=512, most_sequences=64, most_tokens=1024)


def means(costs: ic.serving.StepCosts, load: ic.Workload) -> dict[str, float]:
    served = ic.serve(costs, workload=load)
    return {name: served[name].mean for name in ("ttft_s", "tpot_s", "e2e_s")}


def test_a_point_moves_the_costs_that_explain_it(costs: ic.serving.StepCosts) -> None:
    true = TRUE.of(costs)
    found = ic.calibrate_serving(costs, means(true, LOAD), workload=LOAD)
    for name, value in found.measured.items():
        assert found.after[name] == pytest.approx(value, rel=0.03)
        assert abs(found.before[name] / value - 1) > 0.05
    assert found.correction.host > 1.3
    other = ic.Workload(clients=24, prompt=100, output=60, requests=240)
    assert means(found.costs, other)["tpot_s"] == pytest.approx(means(true, other)["tpot_s"], rel=0.08)
    assert "host      1." in found.to_text()
    assert "tpot_s    measured" in found.to_text()


def test_a_right_prediction_moves_nothing(costs: ic.serving.StepCosts) -> None:
    found = ic.calibrate_serving(costs, {"tpot_s": means(costs, LOAD)["tpot_s"]}, workload=LOAD)
    assert found.correction == ic.serving.StepCostFactors()


def test_requests_of_a_run_have_their_own_load(costs: ic.serving.StepCosts, tmp_path: Path) -> None:
    true = TRUE.of(costs)
    arrival = np.cumsum(np.random.default_rng(1).exponential(0.01, 60))
    replay = ic.serving.RecordedRequests.of(arrival, np.full(60, 200), np.full(60, 40))
    load = ic.Workload(trace=replay)
    run = Run(true, simulated_scheduler(true, {}), load, facts_of(load), 1, "least_loaded", true.pool_blocks or 2)
    made = simulated(run)
    path = tmp_path / "run.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("request", "arrival_s", "input_tokens", "output_tokens", "first_token_s", "last_token_s"))
        for number in range(60):
            stamps = made.queued_s[number], 200, 40, made.first_token_s[number], made.finish_s[number]
            writer.writerow((number, *stamps))
    found = ic.calibrate_serving(costs, path)
    assert found.after["e2e_s"] == pytest.approx(found.measured["e2e_s"], rel=0.03)
    assert found.after["tpot_s"] == pytest.approx(found.measured["tpot_s"], rel=0.03)


def metrics(path: Path, requests: int, tpot_s: float) -> Path:
    lines = [
        "# TYPE vllm:request_time_per_output_token_seconds histogram",
        f'vllm:request_time_per_output_token_seconds_count{{engine="0",model_name="m"}} {requests}.0',
        f'vllm:request_time_per_output_token_seconds_sum{{engine="0",model_name="m"}} {requests * tpot_s}',
        "vllm:num_preemptions_total 3.0",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_pages_of_metrics_are_measurements(costs: ic.serving.StepCosts, tmp_path: Path) -> None:
    before, after = (
        metrics(tmp_path / "before.txt", 10, 0.5),
        metrics(tmp_path / "after.txt", 90, 8 * 0.009 / 9 + 0.5 / 9),
    )
    both = ic.calibrate_serving(costs, (before, after), workload=LOAD)
    assert both.measured == {"tpot_s": pytest.approx(0.009)}
    alone = ic.calibrate_serving(costs, before, workload=LOAD)
    assert alone.measured == {"tpot_s": pytest.approx(0.5)}
    with pytest.raises(CalibrationError, match="has no requests"):
        ic.calibrate_serving(costs, (before, before), workload=LOAD)


def test_a_correction_reaches_serve_and_the_closed_form(costs: ic.serving.StepCosts) -> None:
    slow = ic.serving.StepCostFactors(decode=2.0, prefill=2.0, host=2.0, client_s=0.01)
    plain, corrected = ic.serve(costs, workload=LOAD), ic.serve(costs, workload=LOAD, correction=slow)
    assert corrected["tpot_s"].mean == pytest.approx(2 * plain["tpot_s"].mean, rel=0.05)
    assert corrected["ttft_s"].mean > plain["ttft_s"].mean + 0.009
    load = ic.serving.OfferedLoad.of(LOAD)
    one, two = (ic.serving.closed_form([each], load) for each in (costs, slow.of(costs)))
    assert two["tpot_s"][0, 0] == pytest.approx(2 * one["tpot_s"][0, 0], rel=1e-6)
    assert two["ttft_s"][0, 0] == pytest.approx(2 * one["ttft_s"][0, 0] + 0.01, rel=1e-6)


def test_the_command_fits_writes_and_reads(spec: str, tmp_path: Path) -> None:
    file = tmp_path / "correction.json"
    common = ("serve", spec, "-H", "h100-sxm-80gb", "--engine", "vllm", "--concurrency", "8", "--prompt", "200",
              "--output-tokens", "40", "--requests", "80", "--format", "json", "--correction", str(file))  # fmt: skip
    first = CliRunner().invoke(main, (*common, "--calibrate-from", "tpot=9ms"))
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["serve"]["tpot_s"]["mean"] == pytest.approx(9e-3, rel=0.05)
    assert "measured 9 ms" in first.stderr
    second = CliRunner().invoke(main, common)
    assert json.loads(second.stdout)["serve"]["tpot_s"] == json.loads(first.stdout)["serve"]["tpot_s"]
    wrong = CliRunner().invoke(main, (*common, "--calibrate-from", "speed=9"))
    assert wrong.exit_code == 2
    assert "ttft=120ms,tpot=13ms" in wrong.output


@pytest.mark.parametrize(
    ("measured", "load", "words"),
    [
        ({}, LOAD, "expected some of ttft_s"),
        ({"tpot_s": -1.0}, LOAD, "tpot_s is -1"),
        ({"speed": 3.0}, LOAD, "measured has speed"),
        ({"tpot_s": 0.01}, None, "workload is not given"),
        ("nowhere.json", LOAD, "nowhere.json cannot be read: there is no such file"),
    ],
)
def test_wrong_measurements_are_refused(
    measured: dict[str, float] | str, load: ic.Workload | None, words: str, costs: ic.serving.StepCosts
) -> None:
    with pytest.raises(InputError, match=words):
        ic.calibrate_serving(costs, measured, workload=load)


def test_corrections_have_limits() -> None:
    with pytest.raises(CalibrationError, match="decode is 0"):
        ic.serving.StepCostFactors(decode=0)
    with pytest.raises(CalibrationError, match="expected an object with decode"):
        ic.serving.StepCostFactors.from_dict({"speed": 1})
    assert ic.serving.StepCostFactors.from_dict(TRUE.to_dict()) == TRUE

"""The way back as a whole: what monitors of a served model record becomes a replay, and next month's plan."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from support.engine_server import VllmProcess, serving_pages
from support.language_configs import WIDE_LLAMA, spec_of
from support.live_clock import Clock
from support.monitored import MONDAY_S
from support.monitored_week import write_week

import pyinfercost as ic
from pyinfercost import Monitor
from pyinfercost.cli import main
from pyinfercost.cli.monitor_export_command import export
from pyinfercost.monitor.log import MonitorLog
from pyinfercost.monitor.log_reader import read_log
from pyinfercost.monitor.log_report import report_log
from pyinfercost.monitor.planned import read_plan
from pyinfercost.monitor.recorded import export_workload
from pyinfercost.monitor.sidecar import Sidecar
from pyinfercost.serving.runs import Run, facts_of, simulated
from pyinfercost.serving.scheduler import simulated_scheduler
from pyinfercost.serving.serve import phases_of

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

ON = ic.Deployment(hardware="l4", engine="vllm", price=1.0)
TRUE = ic.serving.StepCostFactors(decode=1.35, prefill=1.2, host=1.5)
HOUR_S, DAY_S = 3600.0, 86_400.0


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return spec_of(tmp_path_factory.mktemp("config"), WIDE_LLAMA)


@pytest.fixture(scope="module")
def costs(spec: str) -> ic.serving.StepCosts:
    phases = phases_of(spec)
    return ic.serving.step_costs(phases.decode, phases.prefill, on=ON, context=2048)


def served_hour(costs: ic.serving.StepCosts) -> dict[str, np.ndarray]:
    """Stamps of an hour of requests on a server that is slower than predicted."""
    rng = np.random.default_rng(5)
    rate = 25.0 * (0.4 + 0.6 * np.sin(np.linspace(0.0, np.pi, 60)) ** 2)
    arrival = np.concatenate(
        [60.0 * minute + rng.uniform(0, 60, rng.poisson(each)) for minute, each in enumerate(rate)]
    )
    arrival.sort()
    prompt, output = rng.integers(32, 900, arrival.size), rng.integers(8, 250, arrival.size)
    replay = ic.serving.RecordedRequests.of(arrival, prompt, output)
    load = ic.Workload(trace=replay)
    true = TRUE.of(costs)
    run = Run(true, simulated_scheduler(true, {}), load, facts_of(load), 1, "least_loaded", true.pool_blocks or 2)
    made = simulated(run)
    return {
        "arrival_s": made.queued_s, "first_s": made.first_token_s, "end_s": made.finish_s,
        "prompt": prompt, "output": output,
    }  # fmt: skip


def monitored(hour: dict[str, np.ndarray], path: Path, spec: str) -> None:
    """Let a monitor in the process of the server see the requests, on a simulated clock."""
    clock = Clock()
    monitor = Monitor(None, name="small", on=ON, log=path, energy=None, clock=clock, interval_s=3600.0)
    begin_ns = clock.now_ns
    requests = [monitor.request(prompt_tokens=int(prompt)) for prompt in hour["prompt"]]
    events = sorted(
        (float(at), what, number)
        for what, name in enumerate(("arrival_s", "first_s", "end_s"))
        for number, at in enumerate(hour[name])
    )
    for at, what, number in events:
        clock.now_ns = begin_ns + round(at * 1e9)
        if what == 0:
            requests[number].begin()
        elif what == 1:
            requests[number].first_token()
        else:
            requests[number].output_tokens = int(hour["output"][number])
            requests[number].end()
    clock.now_ns = begin_ns + round(HOUR_S * 1e9)
    monitor.close()


@pytest.mark.slow
def test_a_monitored_hour_is_reproduced(costs: ic.serving.StepCosts, spec: str, tmp_path: Path) -> None:
    """The server is slower than predicted; the log says so, and the replay has its percentiles."""
    hour = served_hour(costs)
    monitored(hour, tmp_path / "log.jsonl", spec)
    told = CliRunner().invoke(export, [str(tmp_path / "log.jsonl"), "--output", str(tmp_path / "out.parquet")])
    assert told.exit_code == 0, told.output
    assert f"{hour['prompt'].size:,} requests in 1 h" in told.stderr
    assert "--calibrate-from" in told.stderr
    out = str(tmp_path / "out.parquet")
    command = ("serve", spec, "-H", "l4", "--engine", "vllm", "--trace", out, "--format", "json")
    shown = CliRunner().invoke(main, [*command, "--calibrate-from", out])
    assert shown.exit_code == 0, shown.output
    replayed = json.loads(shown.stdout)["serve"]
    plain = json.loads(CliRunner().invoke(main, command).stdout)["serve"]
    output = hour["output"]
    measured = {
        "ttft_s": hour["first_s"] - hour["arrival_s"],
        "tpot_s": ((hour["end_s"] - hour["first_s"]) / (output - 1))[output > 1],
        "e2e_s": hour["end_s"] - hour["arrival_s"],
    }
    for name, values in measured.items():
        for percent in (50, 90, 99):
            true = np.percentile(values, percent)
            assert replayed[name][f"p{percent}"] == pytest.approx(true, rel=0.05)
            assert plain[name][f"p{percent}"] < 0.9 * true, "uncorrected, the server would be faster"


def test_a_sidecar_becomes_a_workload(spec: str, tmp_path: Path) -> None:
    """A sidecar has counters alone: their requests are drawn, and both commands accept them."""
    seconds = [0.0]
    process = VllmProcess(MONDAY_S)
    rng = np.random.default_rng(2)
    with serving_pages() as server, MonitorLog(tmp_path / "log.jsonl", start_s=MONDAY_S, spec=spec) as log:
        server.page = process.page()
        sidecar = Sidecar(
            server.url, engine="vllm", on=ON, clock=lambda: seconds[0], wall=lambda: MONDAY_S + seconds[0]
        )
        sidecar.read()
        log.append(sidecar.snapshot())
        for minute in range(1, 121):
            for _ in range(3 if minute <= 60 else 9):
                process.answer(int(rng.integers(20, 900)), int(rng.integers(10, 90)))
            if minute == 60:  # the page of a new process begins at 0
                process = VllmProcess(MONDAY_S + 3600.0)
            server.page = process.page()
            seconds[0] = 60.0 * minute
            sidecar.read()
            log.append(sidecar.snapshot())
        sidecar.close()
    found = export_workload(tmp_path / "log.jsonl", tmp_path / "out.parquet")
    assert found.drawn
    assert 59 * 3 + 60 * 9 <= found.requests <= 60 * 12, "of the minute of the restart nothing is known"
    halves = np.histogram(ic.Workload.read(found.path).all().arrival_s, bins=[0.0, 3600.0, 7200.0])[0]
    assert halves[1] == 60 * 9
    served = ic.serve(phases_of(spec), on=ON, workload=ic.Workload.read(found.path))
    assert served.finished == found.requests
    planned = CliRunner().invoke(
        main,
        ["fleet", spec, "-H", "l4", "--engine", "vllm", "--price", "1.0", "--traffic", str(found.path), "--plan",
         "--slo", "ttft_p95<3", "-a", "static", "--format", "json"],
    )  # fmt: skip
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.stdout)["plan"]["best"]["requests"] == found.requests


@pytest.mark.slow
def test_a_week_becomes_the_plan_of_next_month(spec: str, tmp_path: Path) -> None:
    """The plan of the recorded week has its hours, and the month after it is compared with them."""
    week = write_week(tmp_path / "week.jsonl", interval_s=900.0, spec=spec, factor=4.0)
    found = export_workload(tmp_path / "week.jsonl", tmp_path / "week.parquet")
    assert found.requests == week.requests.sum()
    assert found.spec == spec
    shown = CliRunner().invoke(
        main,
        ["fleet", spec, "-H", "l4", "--engine", "vllm", "--price", "1.0", "--traffic", str(found.path), "--plan",
         "--slo", "ttft_p95<2", "-a", "static,scheduled,hpa", "--format", "json", "-o", str(tmp_path / "plan.json")],
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    plan = read_plan(tmp_path / "plan.json")
    assert plan.begins_s == MONDAY_S
    assert (plan.slo, plan.calendar) == ("ttft_p95<2", "week")
    days = json.loads((tmp_path / "plan.json").read_text())["plan"]["best"]["duration_s"] / DAY_S
    assert 5.9 < days <= 6.1, "the last day is kept for its verification"
    # The next month has the same traffic: the first days of a week of it are within the noise of a Poisson process.
    write_week(tmp_path / "next.jsonl", interval_s=900.0, factor=4.0, seed=9, days=5)
    report = report_log(tmp_path / "next.jsonl", plan=tmp_path / "plan.json")
    assert report.plan is not None
    assert abs(report.whole.against_plan["requests_per_s"] or 1.0) < 0.35
    assert len(read_log(tmp_path / "next.jsonl").runs) == 2

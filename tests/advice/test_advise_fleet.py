"""Advice on fleets: figures are those of the commands, limits hold, the plan is near the best of all combinations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.advised import setups_of
from support.advised_traffic import advised, capture_once, printed
from support.language_configs import WIDE_LLAMA, spec_of
from support.toy_graphs import transformer

import pyinfercost as ic
from pyinfercost.advice import traffic_advice as advising
from pyinfercost.advice.fleet_outcomes import FleetEvaluator
from pyinfercost.results.advice import RISKS
from pyinfercost.serving.serve import Phases, phases_of

DAY_S = 86_400.0
BATCHED = {"traffic": "diurnal:mean=1,peak=4,cv=2", "slo": "e2e_p99<1", "price": "on-demand"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A graph file of a model without tokens."""
    path = tmp_path_factory.mktemp("advised") / "transformer.json"
    path.write_text(transformer(width=256, heads=8).to_json())
    return str(path)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    with pytest.MonkeyPatch.context() as patch:
        capture_once(patch)
        yield spec_of(tmp_path_factory.mktemp("config"), WIDE_LLAMA)


@pytest.fixture(scope="module")
def phases(spec: str) -> Phases:
    return phases_of(spec)


def served(model: Any, **given: Any) -> ic.results.Advice:
    arguments: dict[str, Any] = {
        "hardware": "l4", "engine": "vllm", "precision": "bf16", "price": "on-demand", "prompt": 600, "output": 40,
        "traffic": "gamma:120,cv=3", "duration_s": 600.0, "slo": "e2e_p90<1.5",
    }  # fmt: skip
    return ic.advise(model, **{**arguments, **given})


@pytest.mark.parametrize(
    "asked",
    [
        {"hardware": "l4", "among": ["autoscaler", "scale_to_zero", "schedule", "half_precision", "batching_delay"]},
        {
            "hardware": "xeon-8480+", "threads": 4, "price": "c7i.xlarge", "execution": "compiled",
            "among": ["serverless", "batch_size", "scaling_target", "cold_start", "rented_machine", "epyc-9654"],
            "autoscaler": "kpa",
        },
        {
            "hardware": "l4", "commitment": "discount=0.4,term_years=1", "autoscaler": "hpa", "max_batch_size": 16,
            "among": ["commitment", "purchase_terms", "t4", "a10g"], "traffic": "diurnal:mean=40,peak=3",
            "duration_s": 7200.0,
        },
        {"hardware": "l4", "objective": "carbon_g", "price": "g6.4xlarge", "among": ["autoscaler", "region"]},
    ],
    ids=["autoscalers", "functions", "commitments", "carbon"],
)  # fmt: skip
@pytest.mark.sample(1)
def test_every_setup_of_batches_is_what_its_command_predicts(file: str, asked: dict[str, Any]) -> None:
    advice = ic.advise(file, **{**BATCHED, **asked, "risk": "small"})
    setups = {setup.command: setup for setup in setups_of(advice)}
    assert len(setups) > 1
    for command, setup in setups.items():
        assert printed(command) == advised(setup.figures, command), command


@pytest.mark.torch
@pytest.mark.slow
def test_every_setup_of_an_engine_is_what_its_command_predicts(spec: str) -> None:
    among = ["served_precision", "served_cache", "served_formats", "autoscaler", "purchase_terms", "a10g"]
    advice = served(spec, risk="small", among=among)
    setups = {setup.command: setup for setup in setups_of(advice)}
    assert len(setups) > 3
    for command, setup in setups.items():
        assert printed(command) == advised(setup.figures, command), command


@pytest.mark.torch
@pytest.mark.slow
def test_limits_of_requests_hold_in_rows_and_plans(phases: Phases) -> None:
    advice = served(phases, among=["autoscaler", "scaling_target", "scale_to_zero", "served_precision"], risk="small")
    assert advice.rows
    for setup in setups_of(advice):
        assert setup.figures["slo_met"] is True, setup.text
        assert setup.figures["e2e_p90_s"] < 1.5


@pytest.mark.torch
def test_the_plan_is_a_fresh_simulation_of_the_combined_fleet(phases: Phases) -> None:
    advice = served(phases, among=["autoscaler", "served_precision"], risk="small")
    assert advice.best is not None
    settings = dict(advice.best.setup.settings)
    on = ic.Deployment(hardware="l4", engine="vllm", price="on-demand", precision=settings.get("precision", "bf16"))
    (fresh,) = ic.fleet(
        phases, on=on, autoscaler=settings["autoscaler"], traffic="gamma:120,cv=3", duration_s=600.0,
        slo="e2e_p90<1.5", prompt=600, output=40,
    )  # fmt: skip
    assert advice.best.setup.figures["usd_per_month"] == fresh.usd_per_month
    before = advice.baseline.figures["usd_per_month"]
    assert fresh.usd_per_month is not None
    assert advice.best.saving_share == 1 - fresh.usd_per_month / before


def test_rows_of_a_fleet_say_why_others_do_not_help(file: str) -> None:
    advice = ic.advise(
        file, **{**BATCHED, "hardware": "l4", "duration_s": 3600.0, "autoscaler": "static:1"},
        among=["schedule", "serverless", "commitment", "scaling_target", "region"],
    )  # fmt: skip
    why = {each.tactic: each.why for each in advice.unhelpful}
    assert "the traffic is" in why["schedule"]
    assert "no price of hours paid ahead is known" in why["commitment"]


def test_a_day_with_too_many_requests_is_thinned_and_says_so(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advising, "MOST_REQUESTS", {True: 500, False: 500})
    advice = ic.advise(
        file, hardware="l4", price=1.0, traffic="poisson:2", duration_s=1000.0, slo="e2e_p99<1", among=["autoscaler"]
    )
    assert any("simulated with 0.2 of the requests" in note for note in advice.notes)
    assert "--scale 0.2" in advice.baseline.command
    assert printed(advice.baseline.command) == advised(advice.baseline.figures, advice.baseline.command)


def test_of_a_long_trace_the_busiest_days_are_simulated(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days with 24, 48, 240, 216 and 24 requests, of which 500 may be simulated: the third and the fourth."""
    monkeypatch.setattr(advising, "MOST_REQUESTS", {True: 500, False: 500})
    path = tmp_path / "days.csv"
    per_h = [1, 2, 10, 9, 1]
    rows = [f"{(24 * day + hour) * 3600},{per_h[day]}" for day in range(5) for hour in range(24)]
    path.write_text("\n".join(["start_s,requests", *rows]) + "\n")
    advice = ic.advise(file, hardware="l4", price=1.0, traffic=str(path), slo="e2e_p99<1", among=["autoscaler"])
    assert any("the busiest 2 days were simulated" in note for note in advice.notes)
    assert any("456 requests in 4" in note for note in advice.notes)
    assert "--start-s 172800 --end-s 345600" in advice.baseline.command
    assert "--duration-s" not in advice.baseline.command
    assert printed(advice.baseline.command) == advised(advice.baseline.figures, advice.baseline.command)


def test_a_trace_is_simulated_as_long_as_it_is(file: str, tmp_path: Path) -> None:
    path = tmp_path / "days.csv"
    path.write_text("\n".join(["start_s,requests", *(f"{hour * 3600},20" for hour in range(50))]) + "\n")
    advice = ic.advise(file, hardware="l4", price=1.0, traffic=str(path), slo="e2e_p99<1", among=["autoscaler"])
    assert any("1,000 requests in 50 h" in note for note in advice.notes)
    assert printed(advice.baseline.command) == advised(advice.baseline.figures, advice.baseline.command)


def test_a_fleet_without_limits_warns(file: str) -> None:
    advice = ic.advise(file, hardware="l4", price=1.0, traffic="poisson:2", duration_s=600.0, among=["autoscaler"])
    assert any("no limits of latencies were given" in note for note in advice.notes)


def test_a_model_that_does_not_fit_is_no_row(tmp_path: Path) -> None:
    """A machine with less memory than a batch needs is refused with both sizes."""
    path = tmp_path / "wide.json"
    path.write_text(transformer(width=8192, heads=8, layers=14).to_json())
    advice = ic.advise(
        str(path), hardware="h100-sxm-80gb", price=2.0, traffic="poisson:1", duration_s=300.0, slo="e2e_p99<5",
        among=["rented_machine", "l4", "a100-sxm-80gb"],
    )  # fmt: skip
    rows = [row.option for row in advice.rows]
    assert "l4" not in rows


def test_spot_machines_are_in_plans_where_their_interruptions_are_stated(file: str) -> None:
    asked = {**BATCHED, "hardware": "l4", "duration_s": 1800.0, "among": ["purchase_terms", "t4", "rented_machine"]}
    assumed = ic.advise(file, **asked)
    row = assumed.row("purchase_terms")
    assert row is not None
    assert not row.in_plan
    assert assumed.best is None or "spot" not in assumed.best.setup.text
    stated = ic.advise(file, **asked, interruptions="interruptions_per_h=0.05")
    assert stated.best is not None
    assert "spot" in stated.best.setup.text
    assert stated.best.setup.settings["price"].endswith("spot")
    command = stated.best.setup.command
    assert printed(command) == advised(stated.best.setup.figures, command)


def test_a_fleet_that_misses_its_limits_says_which(file: str) -> None:
    advice = ic.advise(file, **{**BATCHED, "hardware": "l4", "duration_s": 600.0, "slo": "e2e_p99<1e-5"},
                       among=["autoscaler", "batching_delay"])  # fmt: skip
    assert not advice.within_limits
    assert "which misses its limits (e2e_p99 is " in advice.sentence
    assert any("requests have to hold e2e_p99<1e-05, and do not now: e2e_p99 is" in note for note in advice.notes)
    assert advice.best is None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"traffic": "diurnl:mean=3"}, "expected a file, FORMAT:FILE, or one of poisson, gamma"),
        ({"among": ["autoscaler", "batch"]}, "among has 'batch'; expected ids of machines, and tactics of half_prec"),
        ({"prompt": 100, "output": 10}, "engine is 'torch', which reads no prompts; pass engine='vllm'"),
        ({"objective": "carbon_g", "price": 1.0}, "carbon_g of the present deployment is not known; pass region="),
        ({"engine": "vllm"}, "expected"),
        ({"autoscaler": "knative"}, "autoscaler is 'knative'; expected one of static"),
        ({"commitment": "half", "among": ["commitment"]}, "commitment has 'half'"),
        ({"slo": "late<3"}, "slo has the unknown metric 'late'"),
        ({"limits": {"usd": 3}}, "limits have 'usd'; expected some of"),
        ({"duration_s": -1.0}, "duration_s is -1"),
        ({"scale": 0}, "scale is 0|factor is 0"),
        ({"risk": "high"}, "risk is 'high'"),
        ({"workload": ic.Workload(rate_per_s=1, prompt=1, output=1)}, "workload and traffic are both given"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_told_what_is_expected(file: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ic.errors.InputError, match=message):
        ic.advise(file, **{**BATCHED, "hardware": "l4", "duration_s": 600.0, **asked})


@pytest.mark.slow
@pytest.mark.parametrize("hardware", ["v100-sxm-16gb", "t4", "l40s", "h100-pcie-80gb", "mi300x", "xeon-8480+"])
@pytest.mark.parametrize("risk", ["none", "small", "retrain"])
def test_nothing_is_suggested_that_cannot_run_or_breaks_a_limit(file: str, hardware: str, risk: str) -> None:
    """Over the catalog: products have units, plans are within the risk, limits hold, at all steps."""
    asked = {**BATCHED, "hardware": hardware, "traffic": "gamma:200,cv=3", "duration_s": 900.0, "slo": "e2e_p99<0.2"}
    if hardware == "xeon-8480+":
        asked["price"] = "c7i.xlarge"
        asked["threads"] = 4
    advice = ic.advise(file, **asked, risk=risk)
    for setup in setups_of(advice):
        machine = ic.hardware.load(setup.settings.get("hardware", hardware))
        precision = setup.settings.get("precision", "native")
        dtype = {"fp8": "float8_e4m3fn", "bf16": "bfloat16", "fp16": "float16", "int8": "int8"}.get(precision)
        assert dtype is None or dtype in machine.matrix_flop_per_s or machine.kind == "cpu", setup.text
        if advice.within_limits:
            assert setup.figures["slo_met"] is True, setup.text
        assert printed(setup.command) == advised(setup.figures, setup.command)
    for plan in (advice.best, advice.here):
        if plan is not None:
            assert RISKS.index(plan.risk) <= RISKS.index(risk)


def test_engines_that_form_no_steps_serve_requests_without_tokens(file: str) -> None:
    """TensorRT and ONNX Runtime are engines, and batch what comes; their commands are those of rows."""
    for engine in ("tensorrt", "onnxruntime"):
        on = ic.Deployment(hardware="l4", engine=engine, precision="fp16", price=1.0)
        (found,) = ic.fleet(file, on=on, traffic="poisson:5", duration_s=300.0, autoscaler="static:1")
        assert found.finished == found.requests > 1000


@pytest.mark.slow
def test_a_slow_search_simulates_fewer_fleets_and_its_plan_is_as_good(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    question: dict[str, Any] = {
        **BATCHED, "hardware": "xeon-8480+", "threads": 1, "price": 0.1, "duration_s": 1800.0, "autoscaler": "static",
        "traffic": "diurnal:mean=300,peak=4,cv=2",
        "among": ["autoscaler", "scaling_target", "batch_size", "batching_delay", "half_precision", "l4", "a10g"],
    }  # fmt: skip
    whole = ic.advise(file, **question)
    monkeypatch.setattr(FleetEvaluator, "is_slow", True)
    fast = ic.advise(file, **question)
    assert fast.setups < whole.setups
    assert whole.best is not None
    assert fast.best is not None
    assert 1 - fast.best.saving_share <= 1.03 * (1 - whole.best.saving_share)

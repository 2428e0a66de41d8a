"""Advice on fleets: figures are those of the commands, limits hold, the plan is near the best of all combinations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from support.advised import setups_of
from support.advised_traffic import advised, capture_once, printed
from support.language_configs import WIDE_LLAMA, spec_of
from support.toy_graphs import transformer

import pyinfercost as ic
from pyinfercost.advice import traffic_advising as advising
from pyinfercost.advice.combining import Choice, joined
from pyinfercost.serving.serve import Phases, phases_of

DAY_S = 86_400.0
BATCHED = {"traffic": "diurnal:mean=2,peak=4,cv=2", "slo": "e2e_p99<1", "price": "on-demand"}


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


def served(model: Any, **given: Any) -> ic.Advice:
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
        },
        {"hardware": "l4", "objective": "carbon_g", "price": "g6.4xlarge", "among": ["autoscaler", "region"]},
    ],
    ids=["autoscalers", "functions", "commitments", "carbon"],
)  # fmt: skip
def test_every_setup_of_batches_is_what_its_command_predicts(file: str, asked: dict[str, Any]) -> None:
    advice = ic.advise(file, **{**BATCHED, **asked, "risk": "small"})
    setups = {setup.command: setup for setup in setups_of(advice)}
    assert len(setups) > 1
    for command, setup in setups.items():
        assert printed(command) == advised(setup.figures, command), command


@pytest.mark.torch
def test_every_setup_of_an_engine_is_what_its_command_predicts(spec: str) -> None:
    among = ["served_precision", "served_cache", "served_formats", "autoscaler", "purchase_terms", "a10g"]
    advice = served(spec, risk="small", among=among)
    setups = {setup.command: setup for setup in setups_of(advice)}
    assert len(setups) > 3
    for command, setup in setups.items():
        assert printed(command) == advised(setup.figures, command), command


@pytest.mark.torch
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


@pytest.mark.parametrize(
    "asked",
    [
        {"among": ["autoscaler", "half_precision", "batching_delay"]},
        {"among": ["scaling_target", "purchase_terms", "commitment"], "commitment": "discount=0.3,term_years=1"},
    ],
    ids=["autoscalers", "terms"],
)
def test_the_plan_is_near_the_best_of_all_combinations(file: str, asked: dict[str, Any]) -> None:
    given = {**BATCHED, "hardware": "l4", "duration_s": 7200.0, "traffic": "gamma:60,cv=3", **asked}
    seen: list[Any] = []

    def spy(case: Any, tactics: Any, *others: Any) -> Any:
        seen.append((case, tactics))
        return answered(case, tactics, *others)

    answered = advising.answer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(advising, "answer", spy)
        advice = ic.advise(file, **given)
    ((case, tactics),) = seen
    offered = [
        [None, *(Choice(tactic, each) for each in tactic.options(case.baseline, case).found if each.in_plan)]
        for tactic in tactics
    ]
    setups = []
    for several in product(*offered):
        change = joined([choice for choice in several if choice is not None])
        if change is not None:
            setups.append(case.baseline.changed(change))
    outcomes = case.evaluator.outcomes(setups)
    best = min(each.value(case.objective) for each in outcomes if case.is_within_limits(each))
    found = advice.baseline if advice.best is None else advice.best.setup
    assert found.figures["usd_per_month"] <= 1.03 * best


def test_rows_of_a_fleet_say_why_others_do_not_help(file: str) -> None:
    advice = ic.advise(
        file, **{**BATCHED, "hardware": "l4", "duration_s": 3600.0, "autoscaler": "static:1"},
        among=["schedule", "serverless", "commitment", "scaling_target", "region"],
    )  # fmt: skip
    why = {each.tactic: each.why for each in advice.unhelpful}
    assert "the traffic is" in why["schedule"]
    assert "no price of hours paid ahead is known" in why["commitment"]


def test_traffic_that_is_too_long_is_thinned_and_says_so(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advising, "MOST_REQUESTS", 500)
    advice = ic.advise(
        file, hardware="l4", price=1.0, traffic="poisson:2", duration_s=1000.0, slo="e2e_p99<1", among=["autoscaler"]
    )
    assert any("simulated with 0.2 of the requests" in note for note in advice.notes)
    assert "--scale 0.2" in advice.baseline.command
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

"""Advice on servers: figures are those of the commands, replicas are the fewest, limits hold, nothing impossible."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from support.advised import setups_of
from support.advised_traffic import advised, capture_once, printed
from support.language_configs import WIDE_LLAMA, spec_of

import pyinfercost as ic
from pyinfercost.advice.tactics import under_traffic
from pyinfercost.advice.traffic_advice import TrafficAdviceError
from pyinfercost.results.advice import RISKS
from pyinfercost.serving.serve import Phases, phases_of

pytestmark = pytest.mark.torch

SLO = "ttft_p99<0.1,tpot_p50<0.008"
FEW = ["served_precision", "served_formats", "served_cache", "chunk_size", "speculation", "replicas", "l40s", "a10g"]


@pytest.fixture(scope="module", autouse=True)
def _captured() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        capture_once(patch)
        yield


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    return spec_of(tmp_path_factory.mktemp("config"), WIDE_LLAMA)


@pytest.fixture(scope="module")
def phases(spec: str) -> Phases:
    return phases_of(spec)


def workload(rate_per_s: float = 300, **given: Any) -> ic.Workload:
    return ic.Workload(rate_per_s=rate_per_s, **{"prompt": 1200, "output": 40, "requests": 800, **given})


def advise(model: Any, **given: Any) -> ic.results.Advice:
    arguments = {"hardware": "l4", "engine": "vllm", "precision": "bf16", "workload": workload(), "slo": SLO}
    return ic.advise(model, **{**arguments, "among": FEW, **given})


@pytest.mark.parametrize(
    "asked",
    [
        {
            "engine": "sglang",
            "price": "aws/g6.48xlarge",
            "enable_prefix_caching": False,
            "workload": workload(prefixes=ic.Prefixes(tokens=256, groups=3, share=0.7), arrivals="gamma:cv=2"),
            "among": ["prefix_caching", "served_engine", "purchase_terms"],
        },
        {"objective": "energy_per_item_j", "max_num_seqs": 32, "replicas": 4, "slo": None},
        {"risk": "small", "acceptance": 0.8},
        {"layout": "tensor=2", "price": 1.5, "engine": "trtllm", "among": [*FEW, "served_layout"]},
    ],
    ids=["prefixes", "energy", "formats", "layout"],
)
@pytest.mark.sample(1)
def test_every_setup_is_what_its_command_predicts(spec: str, asked: dict[str, Any]) -> None:
    advice = advise(spec, **{"workload": workload(requests=300), **asked})
    setups = {setup.command: setup for setup in setups_of(advice)}
    assert len(setups) > 1
    for command, setup in setups.items():
        assert printed(command) == advised(setup.figures, command), command


@pytest.mark.slow
def test_the_plan_is_a_fresh_simulation_of_the_combined_server(phases: Phases) -> None:
    advice = advise(phases, risk="small", among=["served_precision", "served_cache", "chunk_size"])
    plan = advice.best
    assert plan is not None
    assert plan.setup.settings["precision"] == "fp8"
    on = ic.Deployment(hardware="l4", engine="vllm", price="on-demand", precision="fp8")
    terms = {name: value for name, value in plan.setup.settings.items() if name.startswith("max_num")}
    model = phases.varied(kv_cache=str(plan.setup.settings.get("kv_cache", "")))
    count = plan.setup.figures["replicas"]
    fresh = ic.serve(model, on=on, workload=workload(), slo=SLO, replicas=count, **terms)
    assert plan.setup.figures["usd_per_million_tokens"] == fresh.usd_per_million_tokens
    before = advice.baseline.figures["usd_per_h"]
    assert fresh.usd_per_h is not None
    assert plan.saving_share == pytest.approx(1 - fresh.usd_per_h / before, rel=1e-12)
    shares = [0.0, *(step.saving_share for step in plan.steps)]
    assert [step.adds_share for step in plan.steps] == pytest.approx([new - old for old, new in pairwise(shares)])


@pytest.mark.slow
def test_one_replica_less_does_not_hold(phases: Phases) -> None:
    advice = advise(phases, risk="small")
    assert advice.best is not None
    on = ic.Deployment(hardware="l4", engine="vllm", precision="bf16", price="on-demand")
    count = advice.baseline.figures["replicas"]
    assert count > 2
    assert advice.baseline.figures["slo_met"]
    less = ic.serve(phases, on=on, workload=workload(), slo=SLO, replicas=count - 1)
    assert not less.slo_met or (less.capacity_per_s or 0) < 300


@pytest.mark.slow
def test_limits_of_requests_hold_in_rows_and_plans(phases: Phases) -> None:
    for slo in (SLO, "e2e_p99<0.6"):
        advice = advise(phases, slo=slo, risk="small", acceptance=0.7)
        for setup in setups_of(advice):
            assert setup.figures["slo_met"] is True, setup.text
            assert not setup.figures["unfinished"]


def test_spare_replicas_stay_until_they_are_the_tactic(phases: Phases) -> None:
    """A server with twice the replicas that it needs: a faster one has twice those that it needs, too."""
    needed = advise(phases, among=["served_precision"], risk="small")
    count = needed.baseline.figures["replicas"]
    spare = advise(phases, among=["served_precision", "replicas"], risk="small", replicas=2 * count)
    row, before = spare.row("served_precision"), needed.row("served_precision")
    assert row is not None
    assert before is not None
    assert row.setup.figures["replicas"] == 2 * before.setup.figures["replicas"]
    assert row.saving_share == pytest.approx(before.saving_share, abs=0.02)
    fewer = spare.row("replicas")
    assert fewer is not None
    assert fewer.setup.figures["replicas"] == count
    assert fewer.saving_share == pytest.approx(0.5, abs=0.02)
    assert spare.best is not None
    assert spare.best.setup.figures["replicas"] == before.setup.figures["replicas"]
    assert spare.best.saving_share == pytest.approx(1 - (1 - before.saving_share) / 2, abs=0.02)


@pytest.mark.slow
def test_what_cannot_run_is_refused_with_the_reason(phases: Phases) -> None:
    on = {"hardware": "a100-sxm-80gb", "price": 2.0, "workload": workload(100, requests=200)}
    advice = advise(phases, **on, risk="small", among=["served_precision", "served_formats", "t4", "tpu-v5e", "l40s"])
    shown = [advice.baseline, *(row.setup for row in advice.rows)]
    assert not any("fp8" in setup.text or "t4" in setup.text or "tpu" in setup.text for setup in shown)
    (precision,) = [each for each in advice.unhelpful if each.tactic == "served_precision"]
    assert "a100-sxm-80gb has no matrix unit for fp8" in precision.why


def test_a_server_that_is_small_enough_has_no_better_one(phases: Phases) -> None:
    """At one request in two seconds one replica is enough, whatever is done to it."""
    given = {"workload": workload(0.5, requests=50), "price": 0.1, "risk": "small"}
    advice = advise(phases, **given, among=["served_precision", "served_cache", "chunk_size", "replicas"])
    assert advice.best is None
    assert advice.rows == ()
    assert "nothing that was tried saves more than" in advice.sentence
    (precision,) = [each for each in advice.unhelpful if each.tactic == "served_precision"]
    assert "0.5 requests/s take 1 replica either way" in precision.why


def test_a_limit_that_no_number_of_replicas_holds_is_an_error(phases: Phases) -> None:
    with pytest.raises(TrafficAdviceError, match=r"no number of replicas serves .* ttft_p99 is"):
        advise(phases, slo="ttft_p99<0.001ms")


@pytest.mark.slow
def test_an_assumed_acceptance_is_in_no_plan(phases: Phases) -> None:
    advice = advise(phases, among=["speculation"], risk="retrain")
    row = advice.row("speculation")
    assert row is not None
    assert not row.in_plan
    assert "0.7 of the drafts are assumed to be accepted" in row.note
    assert advice.best is None
    known = advise(phases, among=["speculation"], acceptance=0.7)
    assert known.best is not None
    assert known.row("speculation").note == ""  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize("hardware", ["t4", "l4", "a10g", "a100-pcie-80gb", "h200-sxm-141gb", "mi300x"])
@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_nothing_is_suggested_that_cannot_run_or_breaks_a_limit(phases: Phases, hardware: str, engine: str) -> None:
    """Over the catalog: dtypes have matrix units, plans are within the risk, limits hold."""
    dtypes = {"fp8": "float8_e4m3fn", "bf16": "bfloat16", "fp16": "float16"}
    on = ic.Deployment(hardware=hardware, engine=engine, precision="fp16", price="on-demand")
    try:
        advice = advise(phases, on=on, hardware=None, precision=None, engine=None, workload=workload(90, requests=300),
                        risk="small", among=None)  # fmt: skip
    except TrafficAdviceError:
        return  # the baseline itself cannot hold the limits
    for setup in setups_of(advice):
        machine = ic.hardware.load(setup.settings.get("hardware", hardware))
        precision = setup.settings.get("precision", "fp16")
        assert dtypes[precision] in machine.matrix_flop_per_s, setup.text
        assert setup.figures["slo_met"] is True
    for plan in (advice.best, advice.here):
        if plan is not None:
            assert RISKS.index(plan.risk) <= RISKS.index("small")


def test_each_tactic_has_a_name_of_its_own() -> None:
    for table in (under_traffic.SERVED, under_traffic.FLEETS, under_traffic.BATCHED_FLEETS):
        names = [tactic.name for tactic in table]
        assert len(set(names)) == len(names)
        assert all(tactic.title for tactic in table)


def test_workload_and_traffic_exclude_each_other(phases: Phases) -> None:
    with pytest.raises(ic.errors.InputError, match="workload and traffic are both given"):
        advise(phases, traffic="poisson:1")


def test_phases_have_a_spec_for_commands(phases: Phases) -> None:
    advice = advise(phases, among=["served_precision"], risk="small")
    assert advice.baseline.command.startswith(f"pyinfercost serve {phases.name} --hardware l4 ")

"""Fleets of models: engines at both levels of detail, batches without tokens, interruptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.language_configs import WIDE_LLAMA, spec_of

import pyinfercost as ic
from pyinfercost.fleets import FleetError, Terms
from pyinfercost.fleets.replicas import startup_of
from pyinfercost.serving.serve import Phases, phases_of

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def phases(tmp_path_factory: pytest.TempPathFactory) -> Phases:
    pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    return phases_of(spec_of(tmp_path_factory.mktemp("config"), WIDE_LLAMA))


def fleet(phases: Phases, **given: Any) -> ic.results.FleetResult:
    price = given.pop("price", 0.8)
    on = ic.Deployment(hardware="l4", engine=given.pop("engine", "vllm"), precision="bf16", price=price)
    arguments: dict[str, Any] = {"prompt": 300, "output": "uniform:20-120", "duration_s": 600.0, "autoscaler": "kpa"}
    comparison = ic.fleet((phases.decode, phases.prefill), on=on, **{**arguments, **given})
    assert len(comparison) == 1
    return comparison.fleets[0]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("policy", ["static:2", "kpa", "ray"])
@pytest.mark.sample(2)
def test_fast_and_full_agree(phases: Phases, engine: str, policy: str) -> None:
    given = {"traffic": "gamma:150,cv=2", "engine": engine, "autoscaler": policy, "slo": "e2e_p90<1.5"}
    fast, full = (fleet(phases, detail=detail, **given) for detail in ("fast", "full"))
    assert fast.bill is not None
    assert full.bill is not None
    assert fast.bill.usd == pytest.approx(full.bill.usd, rel=0.03)
    assert fast.late_share == pytest.approx(full.late_share, abs=0.02)
    assert fast["tpot_s"].mean == pytest.approx(full["tpot_s"].mean, rel=0.1)


def test_a_full_fleet_of_one_is_a_server(phases: Phases) -> None:
    """The same requests on one replica that is always there, by both functions."""
    workload = ic.Workload(rate_per_s=100, prompt=300, output=60, requests=3000)
    on = ic.Deployment(hardware="l4", engine="vllm", precision="bf16", price=0.8)
    graphs = (phases.decode, phases.prefill)
    (alone,) = ic.fleet(graphs, traffic=workload, on=on, autoscaler="static:1", detail="full")
    served = ic.serve(graphs, on=on, workload=workload)
    assert alone["ttft_s"].mean == pytest.approx(served["ttft_s"].mean, rel=1e-9)
    assert alone["tpot_s"].mean == pytest.approx(served["tpot_s"].mean, rel=1e-9)
    assert alone["ttft_s"].p99 == pytest.approx(served["ttft_s"].p99, rel=0.02)
    assert alone.energy_j is not None
    assert served.joules_per_token is not None
    assert alone.energy_j / (3000 * 60) == pytest.approx(served.joules_per_token, rel=0.02)


def test_interruptions_of_spot_machines_restart_requests(phases: Phases) -> None:
    result = fleet(
        phases,
        price="g6.4xlarge:spot",
        traffic="poisson:100",
        autoscaler="static:3",
        terms=Terms(interruptions="interruptions_per_h=20,notice_s=0"),
    )
    assert result.pools[0].interrupted > 3
    assert result.restarted > 0
    assert result.finished == result.requests
    assert result.bill is not None
    assert "spot" in result.bill.by_kind


def test_a_notice_lets_requests_finish(phases: Phases) -> None:
    result = fleet(
        phases,
        price="g6.4xlarge:spot",
        traffic="poisson:100",
        autoscaler="static:3",
        terms=Terms(interruptions="cloud=aws,interruptions_per_h=20"),
    )
    assert result.pools[0].interrupted > 3
    assert result.restarted == 0


def test_spot_without_a_rate_is_noted(phases: Phases) -> None:
    result = fleet(phases, price="g6.4xlarge:spot", traffic="poisson:20", duration_s=60.0)
    assert any("interruptions" in note for note in result.notes)


def test_an_engine_needs_tokens(phases: Phases) -> None:
    with pytest.raises(FleetError, match="pass prompt and output"):
        fleet(phases, traffic="poisson:5", prompt=None, output=None)


def test_batches_of_a_vision_model() -> None:
    pytest.importorskip("torchvision", reason="needs torchvision")
    on = ic.Deployment(hardware="l4", precision="fp16", execution="compiled", price="g6.4xlarge")
    few, many = (
        ic.fleet(
            "torchvision:resnet18", traffic="poisson:500", duration_s=60, on=on, autoscaler="static:1",
            max_batch_size=size, slo="e2e_p99<0.05",
        ).fleets[0]
        for size in (1, 16)
    )  # fmt: skip
    one = ic.profile(
        "torchvision:resnet18", hardware="l4", precision="fp16", execution="compiled", batch=1
    ).estimate.latency_s
    assert few["e2e_s"].mean >= one
    assert few["e2e_s"].p50 == pytest.approx(one * (1 + 500 * one / (2 * (1 - 500 * one))), rel=0.5)
    assert many.finished == few.finished == few.requests
    assert many.energy_j is not None
    assert few.energy_j is not None
    assert many.energy_j < few.energy_j


def test_a_bought_machine_costs_its_years_and_its_electricity(tmp_path: Path) -> None:
    pytest.importorskip("torchvision", reason="needs torchvision")
    path = tmp_path / "bought.toml"
    path.write_text("usd = 8766\ndevices = 1\nlifetime_years = 2\nusd_per_kwh = 0.2\npue = 1.5\n", encoding="utf-8")
    on = ic.Deployment(hardware="l4", precision="fp16", execution="compiled", price=str(path))
    (fleet_,) = ic.fleet(
        "torchvision:resnet18", traffic="poisson:100", duration_s=600, on=on, autoscaler="static:2",
        terms=Terms(fixed="staff_usd_per_month=100"),
    )  # fmt: skip
    bill, energy = fleet_.bill, fleet_.energy_j
    assert bill is not None
    assert energy is not None
    kinds = bill.by_kind
    hours = 2 * fleet_.duration_s / 3600
    assert kinds["purchase"] == pytest.approx(hours * 8766 / (2 * 8766))
    assert kinds["electricity"] == pytest.approx(energy / 3.6e6 * 1.5 * 0.2)
    assert kinds["staff"] == pytest.approx(100 * fleet_.duration_s / (8766 / 12 * 3600))
    assert set(kinds) == {"purchase", "electricity", "staff"}


def test_a_replica_of_a_fleet_starts_as_its_deployment_says_and_a_function_without_a_machine() -> None:
    on = ic.Deployment(hardware="l4", engine="vllm")
    assert startup_of(on) == on.replica_startup
    ready = startup_of(on, serverless=True)
    assert (ready.machine, ready.weights_from, ready.warmup) == ("running", "nvme", "engine")
    stated = on.replace(startup="machine=pool")
    assert startup_of(stated, serverless=True) == stated.replica_startup

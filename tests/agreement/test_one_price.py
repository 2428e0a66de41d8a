"""What a deployment costs in an hour is the same through every door, and does not depend on how it is written."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from support.language_configs import WIDE_LLAMA, spec_of

import pyinfercost as ic
from pyinfercost.deployment.prices import offer
from pyinfercost.serving.serve import Phases, phases_of

pytestmark = pytest.mark.torch

H100, MI300X, L40S = "h100-sxm-80gb", "mi300x", "l40s"
WORKLOAD = ic.Workload(rate_per_s=2.0, prompt=256, output=32, requests=50)
HOUR_S = 3600.0


class Case(NamedTuple):
    """A deployment, its replicas and the USD per hour that they pay by hand."""

    hardware: str
    price: str | float
    fields: dict[str, Any]
    replicas: int
    usd_per_h: float


P5 = offer("aws/p5.48xlarge").usd_per_h["on-demand"]
MI300X_X8 = offer("digitalocean/gpu-mi300x8-1536gb").usd_per_h["on-demand"]
CASES = [
    Case(H100, "p5.48xlarge", {}, 1, P5),
    Case(H100, "p5.48xlarge", {"layout": "tensor=1"}, 1, P5),
    Case(H100, "p5.48xlarge", {"layout": "tensor=2"}, 4, P5),
    Case(H100, "p5.48xlarge", {"layout": "tensor=2,data=4"}, 1, P5),
    Case(H100, "p5.48xlarge", {"layout": "tensor=4"}, 3, 2 * P5),
    Case(H100, "p5.48xlarge", {"layout": "tensor=4,data=3"}, 1, 2 * P5),
    Case(MI300X, "on-demand", {}, 3, MI300X_X8),
    Case(L40S, "aws:spot", {"layout": "tensor=2"}, 2, 3.5386),  # one instance of four
    Case(L40S, "verda", {"layout": "tensor=2"}, 2, 2 * 1.83),
    Case(H100, 2.5, {"layout": "tensor=2"}, 3, 15.0),
]


@pytest.fixture(scope="module")
def phases(tmp_path_factory: pytest.TempPathFactory) -> Phases:
    pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    return phases_of(spec_of(tmp_path_factory.mktemp("config"), WIDE_LLAMA))


_NOT_QUICK = {2, 3, 5, 7, 9}  # the same mechanisms as their neighbors


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.slow] if place in _NOT_QUICK else []) for place, case in enumerate(CASES)],
    ids=lambda case: f"{case.price}-{case.fields.get('layout')}-{case.replicas}",
)
def test_every_door_shows_one_price(phases: Phases, case: Case) -> None:
    fields = {"precision": "bf16", "engine": "vllm", **case.fields}
    on = ic.Deployment(hardware=case.hardware, price=case.price, **fields)
    assert on.rent is not None
    alone = on.rent.usd_per_h()
    expected = pytest.approx(case.usd_per_h, rel=1e-12)
    assert on.rent.usd_per_h(case.replicas) == expected

    estimate = ic.estimate(phases.decode, on=on, batch=8, context=512)
    assert estimate.cost is not None
    assert estimate.cost.usd_per_h == pytest.approx(alone, rel=1e-12)
    swept = ic.sweep(phases.decode, on=on, batch=[8], context=512)
    assert float(swept["usd_per_h"][0]) == pytest.approx(alone, rel=1e-12)
    assert float(swept["cost_usd"][0]) == estimate.cost_usd

    pair = (phases.decode, phases.prefill)
    served = ic.serve(pair, on=on, workload=WORKLOAD, replicas=case.replicas)
    assert served.usd_per_h == expected
    offered = "" if case.price == 2.5 else on.device_price.text
    assert served.price == offered
    assert f"{case.usd_per_h:.4g} USD/h" in served.to_text() or not offered
    assert offered in served.to_text(width=300)
    found = ic.find_serving("rate", pair, on=on, workload=WORKLOAD, slo="ttft_p50<10", replicas=case.replicas).best
    assert found is not None
    assert found.usd_per_h == expected
    fleet = ic.fleet(
        phases,
        traffic="poisson:1",
        prompt=256,
        output=32,
        on=on,
        autoscaler=f"static:{case.replicas}",
        duration_s=HOUR_S,
    )
    bill = fleet.fleets[0].bill
    assert bill is not None
    assert bill.usd_per_h == expected
    # Unused devices of instances are idle in the money and in the time.
    used = (bill.use_usd["busy"] + bill.use_usd["draining"]) / bill.usd
    assert fleet.fleets[0].idle_share == pytest.approx(1 - used, abs=1e-9)

    monitor = ic.Monitor(None, on=on, name="one")
    assert monitor.snapshot().value("price_usd_per_h") == pytest.approx(alone, rel=1e-12)

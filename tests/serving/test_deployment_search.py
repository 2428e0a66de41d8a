"""Searches for a server: each answer is compared with simulations of its neighbors."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from support.language_configs import WIDE_LLAMA, spec_of

import pyinfercost as ic
from pyinfercost.serving.objectives import SLOError
from pyinfercost.serving.serve import Phases, ServeError, phases_of

pytestmark = pytest.mark.torch

WORKLOAD = ic.Workload(rate_per_s=400, prompt=256, output=128, requests=1500)
SLO = "ttft_p99<60ms,tpot_p50<4ms"


@pytest.fixture(scope="module")
def phases(tmp_path_factory: pytest.TempPathFactory) -> Phases:
    pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    return phases_of(spec_of(tmp_path_factory.mktemp("config"), WIDE_LLAMA))


def on(hardware: str = "l4", **fields: Any) -> ic.Deployment:
    return ic.Deployment(**{"hardware": hardware, "engine": "vllm", "precision": "bf16", "price": 0.8, **fields})


def find(goal: str, phases: Phases, **given: Any) -> ic.results.ServingSearch:
    arguments = {"on": on(), "workload": WORKLOAD, "slo": SLO, **given}
    return ic.find_serving(goal, (phases.decode, phases.prefill), **arguments)


def served(phases: Phases, layout: str = "tensor=1", **given: Any) -> ic.results.ServingResult:
    arguments = {"workload": WORKLOAD, "slo": SLO, **given}
    return ic.serve((phases.decode, phases.prefill), on=on(layout=layout), **arguments)


def test_one_replica_less_does_not_hold(phases: Phases) -> None:
    search = find("replicas", phases)
    best = search.best
    assert best is not None
    assert search.result is not None
    assert search.result.slo_met
    assert (search.result.layout, search.result.replicas) == (best.layout, best.replicas) == ("tensor=1", best.replicas)
    assert best.devices == best.replicas > 1
    assert best.usd_per_h == pytest.approx(0.8 * best.replicas)
    assert served(phases, replicas=best.replicas).slo_met
    assert served(phases, f"data={best.replicas}").usd_per_h == pytest.approx(best.usd_per_h)
    less = served(phases, replicas=best.replicas - 1)
    assert not less.slo_met or less.capacity_per_s < WORKLOAD.rate_per_s
    assert best.slo_values["ttft_p99"] == search.result["ttft_s"].p99 < 0.06


def test_the_highest_rate_is_between_two_simulations(phases: Phases) -> None:
    search = find("rate", phases, replicas=2)
    best = search.best
    assert best is not None
    assert best.rate_per_s is not None
    assert search.result is not None
    assert search.result.slo_met
    assert served(phases, "data=2", workload=WORKLOAD.replace(rate_per_s=best.rate_per_s)).slo_met
    assert not served(phases, "data=2", workload=WORKLOAD.replace(rate_per_s=1.03 * best.rate_per_s)).slo_met


def test_the_rate_of_a_replay_is_scaled(phases: Phases) -> None:
    replay = ic.serving.RecordedRequests.of([0.0, 0.5, 1.0, 2.0], [100, 200, 300, 400], [20, 20, 20, 20])
    assert replay.at_rate(3.0).requests.arrival_s.tolist() == pytest.approx([0, 0.25, 0.5, 1.0])
    best = find("rate", phases, workload=ic.Workload(trace=replay), slo="ttft_p50<60ms").best
    assert best is not None
    assert best.rate_per_s > 1.5


@pytest.mark.slow
def test_the_cheapest_is_no_dearer_than_any_other(phases: Phases) -> None:
    machines = [on("l4"), on("a10", price=1.0), on("t4", price=0.35, precision="fp16")]
    search = find("cheapest", phases, on=machines, devices=2)
    best = search.best
    assert best is not None
    assert {each.hardware for each in (*search.found, *search.out)} >= {"l4", "a10", "t4"}
    alone = [find("replicas", phases, on=each, layouts=["tensor=1", "tensor=2"]) for each in machines]
    costs = [each.usd_per_h for one in alone for each in one.found if each.usd_per_h is not None]
    assert best.usd_per_h == pytest.approx(min(costs))
    assert [each.usd_per_h for each in search.found] == sorted(each.usd_per_h or 0 for each in search.found)


def test_whole_instances_are_paid(phases: Phases) -> None:
    """An instance of eight devices is paid for with each of its devices, and replicas lie on it together."""
    search = find("cheapest", phases, on=on("h100-sxm-80gb", price="aws/p5.48xlarge"), devices=1)
    best = search.best
    assert best is not None
    assert best.devices < best.paid_devices == 8
    assert best.usd_per_h == pytest.approx(8 * on("h100-sxm-80gb", price="aws/p5.48xlarge").device_price.usd_per_h)


def test_fewest_devices(phases: Phases) -> None:
    search = find("layout", phases, devices=2, slo="tpot_p50<3.2ms")
    assert [each.devices for each in search.found] == sorted(each.devices for each in search.found)
    assert search.best is not None
    assert served(phases, search.best.layout, slo="tpot_p50<3.2ms", replicas=search.best.replicas).slo_met


def test_an_objective_that_nothing_meets(phases: Phases) -> None:
    search = find("replicas", phases, slo="tpot_p50<0.001ms")
    assert search.best is None
    assert search.result is None
    assert "tpot_p50 is" in search.out[0].reason
    assert search.out[0].slo_values["tpot_p50"] > 1e-6
    assert "No deployment meets tpot_p50<1e-06" in search.to_text()
    assert "none of 1 deployments" in repr(search)


def test_an_executor_makes_the_same_tables(phases: Phases) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        other = find("replicas", phases, executor=executor)
    assert other.to_dict() == find("replicas", phases).to_dict()


def test_forms(phases: Phases, tmp_path: Path) -> None:
    search = find("cheapest", phases, devices=2)
    text = search.to_text()
    assert "least cost within ttft_p99<0.06,tpot_p50<0.004" in text
    assert "The best one, simulated" in text
    document = search.to_dict()
    assert document["search"]["found"][0]["slo_values"].keys() == {"ttft_p99", "tpot_p50"}
    assert document["search"]["result"]["slo_met"] is True
    assert len(document["search"]["out"]) == len(search.out)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"goal": "best"}, ServeError, "expected one of replicas, rate, layout, cheapest"),
        ({"slo": ""}, SLOError, "a search needs limits"),
        ({"on": []}, ServeError, "expected a Deployment, or several"),
        ({"goal": "cheapest", "on": on(price=None)}, ServeError, "has no price"),
        ({"goal": "rate", "workload": ic.Workload(clients=2, prompt=8, output=8)}, ServeError, "closed loop"),
        ({"layouts": []}, ServeError, "layouts has no values"),
        ({"replicas": 0}, ServeError, "replicas is 0"),
        ({"executor": 3}, TypeError, "expected a concurrent.futures.Executor"),
        ({"max_seqs": 3}, ValueError, "no setting 'max_seqs'"),
    ],
)
def test_wrong_arguments(given: dict[str, Any], error: type[Exception], message: str) -> None:
    """Nothing is captured before."""
    arguments = {"goal": "replicas", "on": on(), "workload": WORKLOAD, "slo": SLO, **given}
    with pytest.raises(error, match=message):
        ic.find_serving(model="hf:nowhere.json", **arguments)

"""Fleets through the public function: what they cost, who waits, and what wrong arguments say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyinfercost as ic
from pyinfercost.errors import InputError
from pyinfercost.fleets import FleetError, Slots, Terms, TermsError
from pyinfercost.results.bill import MONTH_S, USES
from pyinfercost.serving.objectives import SLOError
from pyinfercost.serving.requests import WorkloadError

PLACE = Slots(slots=8, service_s=2.0, cold_start_s=20.0, usd_per_h=3.6, idle_w=50.0, busy_w=10.0, name="place")


def steady(rate_per_s: float = 10.0, duration_s: float = 600.0) -> ic.results.FleetComparison:
    return ic.fleet(None, traffic=f"poisson:{rate_per_s}", duration_s=duration_s, on=PLACE, autoscaler="static:4")


def test_bill_of_a_fixed_fleet_by_hand() -> None:
    (fleet,) = steady()
    bill = fleet.bill
    assert bill is not None
    hours = 4 * fleet.duration_s / 3600
    assert bill.usd == pytest.approx(hours * 3.6)
    assert [(line.kind, line.item, line.unit) for line in bill.lines] == [("given", "place", "h")]
    assert bill.lines[0].quantity == pytest.approx(hours)
    assert sum(bill.use_usd.values()) == pytest.approx(bill.usd)
    assert sum(map(sum, bill.hourly_usd.values())) == pytest.approx(bill.usd)
    assert bill.usd_per_month == pytest.approx(4 * 3.6 * MONTH_S / 3600)
    assert bill.usd_per_thousand_requests == pytest.approx(1e3 * bill.usd / fleet.finished)
    assert set(bill.use_usd) == set(USES)


def test_energy_of_slots_by_hand() -> None:
    (fleet,) = steady()
    assert fleet.energy_j == pytest.approx(4 * 50.0 * fleet.duration_s + 10.0 * 2.0 * fleet.finished, rel=1e-9)


def test_carbon_follows_the_hours_of_a_grid() -> None:
    hours = tuple(100.0 if hour < 1 else 300.0 for hour in range(24))
    runs = [
        ic.fleet(
            None,
            traffic="poisson:5",
            duration_s=1800,
            on=PLACE,
            autoscaler="static:2",
            terms=Terms(grid_profile_g_per_kwh=hours, start_hour=start),
        ).fleets[0]
        for start in (0.0, 5.0)
    ]
    clean, dirty = (run.carbon_g for run in runs)
    assert clean is not None
    assert dirty is not None
    energy = runs[0].energy_j
    assert energy is not None
    assert clean == pytest.approx(energy / 3.6e6 * 100.0)
    assert dirty == pytest.approx(3 * clean)


def test_committed_replicas_are_paid_all_the_time() -> None:
    terms = Terms(
        committed=3,
        commitment="usd_per_h=1.0,term_years=1",
        fixed="staff_usd_per_month=70,storage_gb=100,storage_usd_per_gb_month=0.07",
    )
    comparison = ic.fleet(
        None, traffic="poisson:2", duration_s=3600, on=PLACE, autoscaler="kpa:min_replicas=0", terms=terms
    )
    (fleet,) = comparison
    assert fleet.bill is not None
    kinds = fleet.bill.by_kind
    hours = fleet.duration_s / 3600
    assert kinds["committed"] == pytest.approx(3 * hours)
    assert kinds["storage"] == pytest.approx(7.0 * fleet.duration_s / MONTH_S)
    assert kinds["staff"] == pytest.approx(70.0 * fleet.duration_s / MONTH_S)
    assert fleet.pools[0].replicas.min() >= 3 * (1 - 1e-9)
    assert fleet.pools[0].settings["min_replicas"] == "3"


def test_the_bound_is_below_all_that_have_nothing_late() -> None:
    comparison = ic.fleet(
        None,
        traffic="mmpp:mean=20,burst=5,share=0.1,length_s=60",
        duration_s=3600,
        on=PLACE,
        slo="queue_p99<1000",
        autoscaler=("static", "kpa", "hpa", "ray", "cloudrun", "seasonal", "zero", "sagemaker"),
    )
    (bound,) = comparison.bounds
    assert bound.detail == "bound"
    assert len(comparison) == 8
    for fleet in comparison:
        assert fleet.relative_cost >= 1
        if fleet["wait_s"].max == 0:
            assert fleet.reserved_s >= bound.reserved_s * (1 - 1e-9)


def test_the_front_has_the_cheapest_of_each_lateness() -> None:
    comparison = ic.fleet(
        None,
        traffic="gamma:20,cv=4",
        duration_s=1800,
        on=PLACE,
        slo="queue_p50<0.5",
        autoscaler=("static", "kpa", "hpa"),
    )
    front = comparison.front
    for each in comparison:
        assert any(
            other.late_share <= each.late_share and other.bill.usd <= each.bill.usd  # type: ignore[union-attr]
            for other in front
        )
    assert [each.late_share for each in front] == sorted((each.late_share for each in front), reverse=True)


def test_ranking_puts_those_that_hold_first() -> None:
    comparison = ic.fleet(
        None, traffic="poisson:30", duration_s=900, on=PLACE, slo="queue_p95<0.2", autoscaler=("static:2", "static:12")
    )
    assert [fleet.slo_met for fleet in comparison] == [True, False]
    assert comparison.best is comparison.fleets[0]
    assert comparison.fleets[1].late_share > 0.05


def test_percentiles_agree_with_a_queue_that_is_known() -> None:
    place = Slots(slots=1, service_s=0.1)
    (fleet,) = ic.fleet(None, traffic="poisson:8", duration_s=40_000, on=place, autoscaler="static:1")
    assert fleet["wait_s"].mean == pytest.approx(0.8 * 0.1 / (2 * 0.2), rel=0.05)
    assert fleet["e2e_s"].mean == pytest.approx(fleet["wait_s"].mean + 0.1, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    rate=st.floats(0.5, 40.0),
    policy=st.sampled_from(
        ("static:3", "kpa", "kpa:min_replicas=0", "hpa", "ray", "zero", "lambda", "cloudrun", "seasonal")
    ),
    cold=st.sampled_from((0.0, 5.0, 60.0)),
    seed=st.integers(0, 1000),
)
def test_nothing_is_lost_and_money_adds_up(rate: float, policy: str, cold: float, seed: int) -> None:
    (fleet,) = ic.fleet(
        None, traffic=f"gamma:{rate},cv=2", duration_s=400, on=PLACE, autoscaler=policy, cold_start_s=cold, seed=seed,
        slo="queue_p90<1", timeout_s=300,
    )  # fmt: skip
    assert fleet.requests == fleet.finished + fleet.failed + fleet.unfinished
    assert fleet.requests == fleet.demand.arrived.sum()
    pool = fleet.pools[0]
    assert pool.reserved_s == pytest.approx(pool.used_s + pool.idle_s + pool.cold_s, abs=1e-6)
    assert fleet.bill is not None
    assert sum(map(sum, fleet.bill.hourly_usd.values())) == pytest.approx(fleet.bill.usd, rel=1e-9, abs=1e-9)
    assert fleet.late_share == pytest.approx(fleet.demand.late.sum() / fleet.requests)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"on": []}, FleetError, "no deployments"),
        ({"on": [3]}, ic.errors.InputTypeError, "expected a Deployment, or Slots"),
        ({"autoscaler": "kpx"}, InputError, "expected one of static"),
        ({"autoscaler": []}, FleetError, "at least one"),
        ({"traffic": "poisson:0"}, ic.errors.InputError, "mean is 0"),
        ({"slo": "ttft<1"}, SLOError, "ttft"),
        ({"routing": "random"}, FleetError, "one of least_loaded, first"),
        ({"speed": 1}, ic.errors.InputError, "the scheduler has no setting 'speed'"),
        ({"detail": "slow"}, FleetError, "one of fast, full"),
        ({"terms": 3}, ic.fleets.TermsError, "terms is 3; expected NAME=VALUE"),
        ({"cold_start_s": -1}, FleetError, "cold_start_s"),
        ({"threads": 0}, FleetError, "threads"),
        ({"max_num_sequences": 3}, ic.errors.InputError, "max_num_sequences"),
        ({"duration_s": 1e-9}, WorkloadError, "no requests"),
    ],
)
def test_wrong_arguments_say_what_to_do(changes: dict[str, object], error: type[Exception], words: str) -> None:
    given = {"traffic": "poisson:5", "duration_s": 60.0, "on": PLACE, "autoscaler": "kpa", **changes}
    with pytest.raises(error, match=words):
        ic.fleet(None, **given)  # type: ignore[arg-type]


def test_a_deployment_needs_a_model() -> None:
    with pytest.raises(FleetError, match="pass a model, or Slots"):
        ic.fleet(None, traffic="poisson:5", duration_s=10, prompt=10, output=10, on=ic.Deployment(hardware="l4"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"committed": -1}, "committed"),
        ({"grid_profile_g_per_kwh": (1.0, 2.0)}, "24 hours"),
        ({"serverless": "aws-lambda"}, "memory_gb"),
        ({"start_hour": 30}, "start_hour"),
    ],
)
def test_terms_are_checked(given: dict[str, object], words: str) -> None:
    with pytest.raises(TermsError, match=words):
        Terms(**given)  # type: ignore[arg-type]


def test_terms_have_a_text() -> None:
    text = "committed=2,commitment=(term_years=1,discount=0.4),egress=(aws),serverless=(aws-lambda),memory_gb=4"
    terms = Terms(
        committed=2, commitment="discount=0.4,term_years=1", egress="aws", serverless="aws-lambda", memory_gb=4
    )
    assert str(terms) == text
    assert Terms.parse(text) == Terms.parse(terms.to_dict()) == terms


def test_bins_cover_the_time_of_the_traffic() -> None:
    (fleet,) = steady(duration_s=5000)
    assert fleet.demand.bin_s == 5.0
    assert len(fleet.pools[0].replicas) == math.ceil(fleet.duration_s / 5.0)
    assert np.allclose(fleet.pools[0].replicas, 4)


def test_generated_traffic_lasts_a_day() -> None:
    (fleet,) = ic.fleet(None, traffic="poisson:0.5", on=PLACE, autoscaler="static:1")
    assert fleet.duration_s == pytest.approx(86_400, rel=1e-3)


def test_an_overloaded_fleet_says_so_and_is_not_the_best() -> None:
    place = Slots(slots=16, service_s=8.0, usd_per_h=2.24, name="gpu")
    found = ic.fleet(None, traffic="poisson:100", duration_s=600, on=place, autoscaler=["static:1", "static:60"])
    enough, one = found.fleets
    assert (enough.policy, one.policy, found.best) == ("static:60", "static:1", enough)
    assert (enough.overloaded, one.overloaded) == (False, True)
    # 2 requests a second are served: of those that wait, all but the first few wait longer than 8 s.
    assert one.late_share > 0.99
    sentence, rule = one.notes
    assert "requests/s is above the capacity of 2: the queue grows" in sentence
    assert f"{100 * one.late_share:.3g} % of the requests are late; 51 replicas sustain it" in sentence
    assert "wait longer than the mean service, 8 s" in rule
    assert enough.late_share == 0
    assert not enough.notes


def test_an_objective_decides_which_requests_are_late() -> None:
    place = Slots(slots=1, service_s=1.0, usd_per_h=1.0, name="one")
    options = {
        "traffic": "poisson:2",
        "duration_s": 100,
        "on": place,
        "autoscaler": "static:1",
        "slo": "queue_p99<1000",
    }
    (fleet,) = ic.fleet(None, **options).fleets
    assert (fleet.slo_met, fleet.late_share, fleet.overloaded, fleet.notes) == (True, 0.0, False, ())


@pytest.mark.parametrize("committed", [0, 2, 40])
def test_the_bound_pays_what_is_committed(committed: int) -> None:
    terms = Terms(committed=committed, commitment="discount=0.4,term_years=1")
    found = ic.fleet(
        None, traffic="diurnal:mean=20,peak=3", duration_s=6 * 3600, on=PLACE, autoscaler=["static", "seasonal"],
        terms=terms,
    )  # fmt: skip
    (bound,) = found.bounds
    assert bound.bill is not None
    lines = {line.kind: line.quantity for line in bound.bill.lines}
    assert lines.get("committed", 0.0) == pytest.approx(committed * bound.duration_s / 3600)
    assert bound.peak_replicas >= committed
    for fleet in found.fleets:
        if fleet.late_share == 0:
            assert fleet.bill is not None
            assert bound.bill.usd_per_h <= fleet.bill.usd_per_h * (1 + 1e-9)  # of the same hours, but for the last one

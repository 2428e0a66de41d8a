"""Plans: against brute force on a small case, on traffic that follows, and on workers."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context

import numpy as np
import pytest

import pyinfercost as ic
from pyinfercost.fleets import FleetError, Slots, Terms, parse_autoscaler
from pyinfercost.fleets.plan_search import committed_replicas, schedule_for
from pyinfercost.inputs.autoscaler_kinds import Scheduled, Static
from pyinfercost.serving.objectives import SLOError

SMALL = Slots(slots=4, service_s=3.0, cold_start_s=30.0, usd_per_h=1.0, name="small")
LARGE = Slots(slots=16, service_s=3.0, cold_start_s=60.0, usd_per_h=3.5, name="large")
TRAFFIC = "diurnal:mean=2,peak=2,cv=2"
SLO = "queue_p99<2"
DISCOUNT = "discount=0.4,term_years=1"
AHEAD = Terms(commitment=DISCOUNT)


def plan(**changes: object) -> ic.results.FleetPlan:
    given = {"traffic": TRAFFIC, "duration_s": 2 * 86_400.0, "on": [SMALL, LARGE], "slo": SLO, **changes}
    return ic.plan_fleet(None, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found() -> ic.results.FleetPlan:
    return plan(terms=AHEAD)


@pytest.mark.slow
def test_the_winner_is_near_the_best_of_brute_force(found: ic.results.FleetPlan) -> None:
    """All deployments x autoscalers x targets x commitments, on the same day."""
    targets = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    policies = [
        f"{kind}:target_utilization={share}"
        for kind in ("kpa", "hpa", "ray", "seasonal", "cloudrun")
        for share in targets
    ]
    policies += [f"static:{count}" for count in range(1, 14)] + ["zero"]
    least = np.inf
    for place, committed in product((SMALL, LARGE), range(6)):
        terms = Terms(committed=committed, commitment=DISCOUNT)
        comparison = ic.fleet(
            None, traffic=TRAFFIC, duration_s=2 * 86_400.0, end_s=86_400.0, on=place, slo=SLO, autoscaler=policies,
            terms=terms,
        )  # fmt: skip
        if comparison.best is not None and comparison.best.usd_per_month is not None:
            least = min(least, comparison.best.usd_per_month)
    assert found.best is not None
    assert found.best.usd_per_month is not None
    assert found.best.usd_per_month <= 1.1 * least


@pytest.mark.slow
def test_the_winner_holds_on_the_day_that_follows(found: ic.results.FleetPlan) -> None:
    assert found.best is not None
    assert found.verified is not None
    assert found.best.slo_met
    assert found.verified.traffic.endswith("hours 24 to 48")
    assert found.verified.late_share <= 0.01 + 0.02


@pytest.mark.slow
def test_choices_are_ranked_and_whole(found: ic.results.FleetPlan) -> None:
    holding = [each for each in found.choices if each.stage == "all" and each.slo_met]
    assert [each.usd_per_month for each in holding] == sorted(each.usd_per_month for each in holding)
    assert found.best is not None
    assert holding[0].usd_per_month == pytest.approx(found.best.usd_per_month)
    assert any(each.committed for each in holding)
    assert any(" + " in each.deployment for each in found.choices)


def test_bounds_leave_out_what_cannot_be_cheaper() -> None:
    dear = Slots(slots=4, service_s=3.0, cold_start_s=30.0, usd_per_h=50.0, name="dear")
    places = [SMALL, LARGE, *(Slots(**{**vars(dear), "name": f"dear {n}"}) for n in range(6))]
    result = plan(on=places, autoscaler=("kpa", "static"), traffic="diurnal:mean=0.5,peak=2,cv=2")
    left_out = {each.deployment for each in result.choices if each.stage == "bound"}
    assert len(left_out) >= 4
    assert all(name.startswith("dear") for name in left_out)
    assert result.best is not None


@pytest.mark.slow
def test_workers_find_the_same(found: ic.results.FleetPlan) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        other = plan(terms=AHEAD, executor=executor)
    assert [(each.policy, each.usd_per_month) for each in other.choices] == [
        (each.policy, each.usd_per_month) for each in found.choices
    ]


def test_none_may_hold() -> None:
    place = Slots(slots=1, service_s=3.0, usd_per_h=1.0, cold_start_s=10_000.0, name="late")
    result = plan(on=place, slo="e2e_p50<1", duration_s=3600.0, autoscaler=("kpa", "static"))
    assert result.best is None
    assert result.verified is None
    assert all(each.slo_met is False for each in result.choices if each.stage == "all")


def test_replicas_paid_ahead_are_those_that_are_there_for_long_enough() -> None:
    # 2 replicas for half of the time, 5 for the other half: a commitment at 0.4 pays 5, at 0.6 it pays 2.
    seconds_with = (0.0, 0.0, 50.0, 0.0, 0.0, 50.0)
    assert committed_replicas(seconds_with, 0.4) == 5
    assert committed_replicas(seconds_with, 0.6) == 2
    assert committed_replicas((100.0,), 0.5) == 0


def test_a_schedule_has_what_the_busiest_minute_of_each_hour_needs() -> None:
    most = np.concatenate([np.full(60, 8.0), np.full(23 * 60, 1.0)])
    schedule = schedule_for(most, 4.0)
    assert isinstance(schedule, Scheduled)
    replicas = dict(schedule.replicas)
    assert replicas[0.0] == 3  # 8 / (4 x 0.8), rounded up
    assert replicas[1.0] == 1
    assert replicas[23.0] == 3  # they are there before the hour begins
    assert parse_autoscaler(str(schedule)) == schedule


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"slo": ""}, SLOError, "slo is not given"),
        ({"on": Slots(name="free")}, FleetError, "has no price"),
        ({"terms": Terms(committed=2)}, FleetError, "pass commitment"),
        ({"executor": 3}, ic.errors.InputTypeError, "Executor"),
    ],
)
def test_wrong_arguments_say_what_to_do(changes: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        plan(**{"duration_s": 600.0, **changes})


def test_static_is_a_number_of_replicas() -> None:
    assert parse_autoscaler("static:3") == Static(replicas=3)

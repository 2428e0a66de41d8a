"""Small fleets of slots, for tests of what renders them: a quarter of an hour with bursts."""

from __future__ import annotations

from functools import cache

import numpy as np

import pyinfercost as ic
from pyinfercost.fleets import Slots, Terms

LARGE = Slots(slots=8, service_s=2.0, cold_start_s=20.0, usd_per_h=3.6, idle_w=50.0, busy_w=10.0, name="large")
SMALL = Slots(slots=2, service_s=2.0, cold_start_s=5.0, usd_per_h=1.1, idle_w=20.0, busy_w=8.0, name="small")
TERMS = Terms(
    fixed="storage_gb=700,storage_usd_per_gb_month=0.1,staff_usd_per_month=500", grid_profile_g_per_kwh=(300.0,) * 24
)
POLICIES = ("static", "kpa", "hpa", "zero")
TRAFFIC = "mmpp:mean=12,burst=4,share=0.15,length_s=60"


@cache
def comparison(
    service_s: float = 2.0, *, slo: str | None = "queue_p95<3", priced: bool = True
) -> ic.results.FleetComparison:
    """Return two deployments with four autoscalers."""
    price = {} if priced else {"usd_per_h": None}
    places = [
        Slots(**{**vars(each), "service_s": service_s, **price})  # type: ignore[arg-type]  # fields of Slots
        for each in (LARGE, SMALL)
    ]
    return ic.fleet(
        None, traffic=TRAFFIC, duration_s=900.0, on=places, autoscaler=POLICIES, slo=slo, terms=TERMS, seed=1
    )


@cache
def plan() -> ic.results.FleetPlan:
    """Return a plan that was verified on other requests."""
    return ic.plan_fleet(
        None, traffic=TRAFFIC, verify="poisson:12", duration_s=600.0, on=[LARGE, SMALL], slo="queue_p95<3",
        autoscaler=("static", "kpa", "hpa"), terms=TERMS.replace(commitment="discount=0.4,term_years=1"), seed=1,
    )  # fmt: skip


def total(values: object) -> float:
    """Return the sum of an array."""
    return float(np.sum(np.asarray(values)))

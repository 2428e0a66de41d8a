"""Plans as figures of the hour: what the timeline of a plan says for a time of the day or the week."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.monitored import MONDAY_S

import pyinfercost as ic
from pyinfercost.fleets import Slots
from pyinfercost.monitor.planned import DAY_S, HOUR_S, PlanError, planned_figures, read_plan
from pyinfercost.monitor.recorded import export_workload
from pyinfercost.results.fleet_result import FleetResult
from pyinfercost.results.live import series

from .test_wayback_export import log_with_rows

SLOTS = Slots(slots=2, service_s=1.0, usd_per_h=1.5)


def simulated(days: float, traffic: str = "diurnal:mean=1,peak=4,weekend=0.25") -> FleetResult:
    found = ic.fleet(None, traffic=traffic, on=SLOTS, autoscaler="hpa", duration_s=days * DAY_S, cold_start_s=20.0)
    return found.fleets[0]


@pytest.fixture(scope="module")
def week() -> FleetResult:
    return simulated(7)


def test_a_week_is_planned_by_its_hours(week: FleetResult) -> None:
    plan = read_plan(week)
    assert plan.calendar == "week"
    assert plan.said == "by hour of the week; its week begins on Monday at 00:00 UTC"
    assert len(plan.hours["requests_per_s"]) == 168
    # Independent of the timeline's bins: sums over the week.
    assert sum(plan.hours["requests_per_s"]) * HOUR_S == pytest.approx(week.requests, rel=1e-3)
    assert week.bill is not None
    assert sum(plan.hours["usd_per_h"]) == pytest.approx(week.bill.usd, rel=2e-3)
    assert np.mean(plan.hours["replicas"]) == pytest.approx(week.mean_replicas, rel=2e-3)
    assert plan.usd_per_month == week.usd_per_month


def test_hours_are_those_of_the_traffic(week: FleetResult) -> None:
    plan = read_plan(week)
    arrived, bin_s = week.demand.arrived, week.demand.bin_s
    assert HOUR_S % bin_s == 0, "bins of this week end with the hours"
    per_hour = arrived[: int(7 * DAY_S / bin_s)].reshape(168, -1).sum(axis=1) / HOUR_S
    for day, hour in ((0, 3), (2, 14), (5, 12), (6, 22)):
        at = MONDAY_S + day * DAY_S + hour * HOUR_S + 1800.0
        figures = planned_figures(plan, at + 5 * 7 * DAY_S)
        assert figures[series("planned_requests_per_s")] == pytest.approx(per_hour[24 * day + hour])
        assert figures[series("planned_usd_per_h")] == pytest.approx(
            1.5 * figures[series("planned_replicas")], rel=1e-6
        )
    assert planned_figures(plan, MONDAY_S + 12 * HOUR_S) != planned_figures(plan, MONDAY_S + 0.5)


def test_a_plan_of_days_repeats_each_day() -> None:
    result = simulated(2)
    plan = read_plan(result, begins_s=MONDAY_S + 6 * HOUR_S)
    assert plan.calendar == "day"
    assert plan.said == "by hour of the day; its day begins at 06:00 UTC"
    two = result.demand.arrived[: int(2 * DAY_S / result.demand.bin_s)].reshape(48, -1).sum(axis=1) / HOUR_S
    at = planned_figures(plan, MONDAY_S + 9 * HOUR_S)  # the fourth hour of the plan's day
    assert at[series("planned_requests_per_s")] == pytest.approx((two[3] + two[27]) / 2)
    assert at == planned_figures(plan, MONDAY_S + 9 * HOUR_S + 3 * DAY_S)
    assert at == planned_figures(plan, MONDAY_S + 9 * HOUR_S - 30 * DAY_S)


def test_a_plan_of_hours_is_its_mean() -> None:
    result = simulated(0.25, "poisson:2")
    plan = read_plan(result)
    assert (plan.calendar, plan.said) == ("mean", "the same in each hour")
    figures = planned_figures(plan, MONDAY_S)
    assert result.bill is not None
    assert figures[series("planned_usd_per_h")] == result.bill.usd_per_h
    assert figures[series("planned_requests_per_s")] == result.requests / result.duration_s
    assert series("planned_usd_per_million_tokens") not in figures, "slots have no tokens"


def test_documents_and_pages_are_plans(week: FleetResult, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(week.to_json(), encoding="utf-8")
    assert read_plan(path) == read_plan(str(path)) == read_plan(week.to_dict()) == read_plan(week)
    page = tmp_path / "plan.html"
    page.write_text(week.to_html(), encoding="utf-8")
    assert read_plan(page).calendar == "mean", "pages have no timeline"
    plan = ic.plan_fleet(
        None, traffic="diurnal:mean=1,peak=3", on=SLOTS, slo="queue_p95<5", autoscaler="hpa", cold_start_s=20.0
    )
    found = read_plan(plan)
    assert (found.calendar, found.slo) == ("day", plan.slo)
    comparison = ic.fleet(
        None, traffic="poisson:1", on=SLOTS, slo="queue_p95<5", duration_s=3600.0, autoscaler="static"
    )
    assert read_plan(json.loads(comparison.to_json())).calendar == "mean"


@pytest.mark.slow
def test_the_day_of_the_verification_belongs_to_the_week() -> None:
    """A recording of a week is planned on six days and verified on the seventh, which is Sunday."""
    plan = ic.plan_fleet(
        None, traffic="diurnal:mean=1,peak=3,weekend=0.25", on=SLOTS, slo="queue_p95<5", autoscaler="static",
        duration_s=7 * DAY_S,
    )  # fmt: skip
    found = read_plan(plan)
    assert plan.best is not None
    assert plan.verified is not None
    assert found.calendar == "week"
    requests = np.array(found.hours["requests_per_s"]).reshape(7, 24).sum(axis=1) * HOUR_S
    assert requests.sum() == pytest.approx(plan.best.requests + plan.verified.requests, rel=1e-3)
    assert requests[6] == pytest.approx(plan.verified.requests, rel=0.02)
    assert requests[6] < 0.3 * requests[0]
    other = ic.plan_fleet(
        None, traffic="diurnal:mean=1,peak=3", verify="diurnal:mean=2,peak=3", on=SLOTS, slo="queue_p95<5",
        autoscaler="static", duration_s=2 * DAY_S,
    )  # fmt: skip
    assert other.best is not None
    alone = read_plan(other.best)
    assert read_plan(other).hours == alone.hours, "other traffic is no part of the plan"


def test_a_server_is_a_plan_of_each_hour() -> None:
    served = {
        "engine": "vllm", "hardware": "l4", "replicas": 2, "requests_per_s": 3.0, "usd_per_h": 0.9,
        "usd_per_million_tokens": 0.5, "slo": "ttft_p99<1",
    }  # fmt: skip
    plan = read_plan({"schema_version": 1, "serve": served})
    assert (plan.calendar, plan.slo, plan.name) == ("mean", "ttft_p99<1", "vllm on l4")
    assert plan.at(0.0) == {
        "usd_per_h": 0.9, "requests_per_s": 3.0, "replicas": 2.0, "usd_per_million_tokens": 0.5,
    }  # fmt: skip
    with pytest.raises(PlanError, match="a server without"):
        read_plan({"schema_version": 1, "serve": {}})


def test_numbers_are_a_plan() -> None:
    plan = read_plan({"usd_per_h": 12, "requests_per_s": 3.5})
    assert planned_figures(plan, 0.0) == {
        series("planned_usd_per_h"): 12.0,
        series("planned_requests_per_s"): 3.5,
    }
    assert plan.name == "usd_per_h 12, requests_per_s 3.5"
    assert read_plan(plan) is plan


def test_a_plan_on_a_recording_begins_with_it(tmp_path: Path) -> None:
    log_with_rows(tmp_path / "log.jsonl")
    from_s = MONDAY_S + 300.0
    export_workload(tmp_path / "log.jsonl", tmp_path / "out.csv", from_s=from_s)
    result = ic.fleet(None, traffic=tmp_path / "out.csv", on=SLOTS, autoscaler="static").fleets[0]
    assert read_plan(result).begins_s == from_s
    assert read_plan(result, begins_s=7.0).begins_s == 7.0


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (7, "plan is 7"),
        ({}, "expected the output of `pyinfercost fleet --plan"),
        ({"usd_per_hour": 3}, "usd_per_hour"),
        ({"usd_per_h": -3}, "usd_per_h is -3"),
        ({"usd_per_h": "free"}, "usd_per_h is 'free'"),
        (
            {"schema_version": 1, "plan": {"choices": [], "slo": "ttft_p99<1", "best": None}},
            "no fleet that meets ttft_p99<1",
        ),
        ({"schema_version": 1, "comparison": {"fleets": [], "best": None}}, "no fleet meets its objective"),
        ({"schema_version": 1, "fleet": {"late_share": 0}}, "duration_s of the plan is missing"),
    ],
)
def test_what_is_no_plan_is_refused(plan: Any, told: str) -> None:
    with pytest.raises(PlanError, match=told):
        read_plan(plan)


def test_damaged_timelines_are_refused(week: FleetResult) -> None:
    document = week.to_dict()
    fleet = document["fleet"]
    for change, told in (
        ({"demand": {**fleet["demand"], "bin_s": 0}}, "bin_s of the plan is 0"),
        ({"demand": {**fleet["demand"], "arrived": ["many"]}}, "a list of finite numbers"),
        ({"pools": [{"replicas": [1.0]}]}, "lists of different lengths"),
    ):
        broken = {**document, "fleet": {**fleet, **change}}
        with pytest.raises(PlanError, match=told):
            read_plan(broken)

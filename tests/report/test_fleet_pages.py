"""Pages of fleets: contents, size, and that they load nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from support.fleet_results import comparison, plan
from support.report_pages import EVIL, Scripts

import pyinfercost as ic
from pyinfercost.report.fleet_series import series_of
from pyinfercost.report.html.charts import Curve, over_time
from pyinfercost.results.notices import notice

LIMIT = 500_000  # bytes
SECTIONS = (
    "Late requests (% of all) against cost",
    "All fleets",
    "What each change of policy saves",
    "Demand (requests per s)",
    "Replicas that are paid",
    "Who waits when",
    "Money (USD per hour)",
    "The bill of a month",
    "What machines are paid for",
    "Replicas over time by policy, on small",
)


def pages() -> dict[str, str]:
    return {"comparison": comparison().to_html(), "fleet": comparison().fleets[0].to_html(), "plan": plan().to_html()}


@pytest.mark.parametrize("kind", ["comparison", "fleet", "plan"])
def test_pages_are_small_and_load_nothing(kind: str) -> None:
    page = pages()[kind]
    assert len(page.encode()) < 200_000
    scripts = Scripts(page)
    assert scripts.addresses == []
    assert list(scripts.found) == ["pyinfercost-fleet", None]
    assert list(json.loads(scripts.found["pyinfercost-fleet"])) == ["schema_version", kind]
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|http:|https:|javascript:", page)
    assert page == pages()[kind]


def test_a_comparison_has_all_sections() -> None:
    page = comparison().to_html()
    places = [page.index(f"<h2>{each}") for each in SECTIONS]
    assert places == sorted(places)
    for policy in ("static", "kpa", "hpa", "zero"):
        assert f">{policy}<" in page
    assert page.count('<tr class="bound">') == 2
    assert page.count('<tr class="best">') == 2  # of all fleets, and of what changes save
    assert "metric requests without a place" in page


def test_savings_are_differences_of_months() -> None:
    result = comparison()
    best = result.best
    assert best is not None
    static = result.static_peak(best.deployment)
    assert static is not None
    saved = (static.usd_per_month or 0) - (best.usd_per_month or 0)
    page = result.to_html()
    table = page[page.index("What each change of policy saves") :]
    assert f'<td class="more">+{saved:,.0f}</td>' in table
    assert f'<td class="less">−{saved:,.0f}</td>' in table  # noqa: RUF001  # a minus sign
    assert f"<output>{saved:,.0f} USD</output>" in page


def test_many_fleets_and_long_series_stay_below_the_limit() -> None:
    """1,600 fleets of a plan over 200 deployments, each with 10,080 bins of a week."""
    one = comparison().fleets[0]
    bins = 10_080
    rng = np.random.default_rng(0)
    values = rng.random(bins)
    demand = replace(
        one.demand, bin_s=60.0, arrived=rng.integers(0, 500, bins), late=rng.integers(0, 9, bins), wait_s=values,
        most_wait_s=values * 3, waiting=values,
    )  # fmt: skip
    pool = replace(one.pools[0], replicas=values * 30, busy=values * 20, cold=values)
    assert one.bill is not None
    bill = replace(one.bill, duration_s=604_800.0, hourly_usd={"busy": tuple(values), "idle": tuple(values)})
    fleets = tuple(
        replace(
            one, pools=(replace(pool, name=f"deployment {n // 8}", autoscaler=f"kpa:target={n % 8}"),), demand=demand,
            bill=bill, duration_s=604_800.0, late_share=float(rng.random()),
        )
        for n in range(1600)
    )  # fmt: skip
    result = replace(comparison(), fleets=fleets)
    page = result.to_html()
    assert len(page.encode()) < LIMIT
    assert "1540 more are in CSV and JSON" in page
    drawn = {id(each) for each in (*fleets[:1000], *result.front)}
    assert len(Scripts(page).charts[0]["dots"]) == len(drawn) + len(result.bounds)
    assert "pyinfercost-fleet" not in page
    assert "too many for this file" in page


def test_names_are_text_and_never_markup() -> None:
    one = comparison().fleets[0]
    pool = replace(one.pools[0], name=EVIL[0], autoscaler=EVIL[1], settings={EVIL[2]: EVIL[0]})
    notices = tuple(notice("misses", when="after", slo=each) for each in EVIL)
    evil = replace(one, model=EVIL[1], traffic=EVIL[2], pools=(pool,), notices=notices)
    several = replace(comparison(), model=EVIL[0], fleets=(evil, evil), bounds=(evil,), out={EVIL[0]: EVIL[1]})
    for page in (evil.to_html(), several.to_html()):
        assert list(Scripts(page).found) == ["pyinfercost-fleet", None]
        assert "<img" not in page
        assert "<b>" not in page
        assert "&lt;img src=x" in page


def test_pages_without_a_price_a_plan_and_a_fleet_that_holds() -> None:
    free = comparison(priced=False).to_html()
    assert "paid hours of replicas in a month" in free
    assert "The deployment has no price" in free
    assert "Money (USD" not in free
    missed = comparison(slo="queue_p50<0.001,e2e_p50<0.1").to_html()
    assert "No fleet holds queue_p50&lt;0.001" in missed
    without = replace(plan(), best=None, verified=None).to_html()
    assert "No fleet holds queue_p95&lt;3" in without
    stopped = replace(comparison(), fleets=(), bounds=(), interrupted=True).to_html()
    assert "not all fleets were simulated" in stopped


def test_charts_have_the_values_of_the_result() -> None:
    result = comparison().fleets[0]
    demand, replicas, *_ = Scripts(result.to_html()).charts
    over = series_of(result, most=300)
    assert demand["edges"] == pytest.approx(over.edges_s - over.edges_s[0], rel=1e-5)
    assert demand["lines"][0]["values"] == pytest.approx(over.arrived_per_s, rel=1e-5)
    assert [area["label"] for area in replicas["areas"]] == ["busy", "idle", "cold: not ready yet"]
    assert replicas["areas"][1]["values"] == pytest.approx(over.idle, rel=1e-5)


def test_numbers_of_charts_are_short() -> None:
    chart = over_time("One", np.array([5.0, 15.0, 25.1]), lines=[Curve("one", "late", np.array([1.0, 1 / 3]), True)])
    assert chart.document["edges"] == [0, 10, 20.1]
    assert chart.document["lines"] == [{"label": "one", "color": "late", "values": [1, 0.333333], "dash": [5, 4]}]


def test_a_notebook_shows_the_table() -> None:
    assert ic.results.FleetComparison.__name__ in {type(comparison()).__name__}
    assert "pyinfercost" in comparison()._repr_html_()

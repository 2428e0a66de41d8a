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
from pyinfercost.report.html.charts import Curve, Dot, over_time, scatter

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
    assert len(page.encode()) < 150_000
    scripts = Scripts(page)
    assert scripts.addresses == []
    assert list(scripts.found) == ["pyinfercost-fleet"]
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
    assert page.count('<span class="dot ') == len(drawn) + len(result.bounds)
    assert "pyinfercost-fleet" not in page
    assert "too many for this file" in page


def test_names_are_text_and_never_markup() -> None:
    one = comparison().fleets[0]
    pool = replace(one.pools[0], name=EVIL[0], autoscaler=EVIL[1], settings={EVIL[2]: EVIL[0]})
    evil = replace(one, model=EVIL[1], traffic=EVIL[2], pools=(pool,), notes=EVIL)
    several = replace(comparison(), model=EVIL[0], fleets=(evil, evil), bounds=(evil,), out={EVIL[0]: EVIL[1]})
    for page in (evil.to_html(), several.to_html()):
        assert list(Scripts(page).found) == ["pyinfercost-fleet"]
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


def test_steps_are_where_the_values_are() -> None:
    edges = np.array([0.0, 10.0, 20.0, 40.0])
    chart = over_time(edges, lines=[Curve("one", "red", np.array([1.0, 1.0, 4.0]))])
    assert 'd="M0 375H1000V0H2000"' in chart  # of 2000 x 500: a quarter of the height, then all of it
    areas = over_time(edges, areas=[Curve("low", "red", np.full(3, 1.0)), Curve("high", "blue", np.full(3, 3.0))])
    assert areas.index('d="M0 500V0H2000V500Z" style="fill:blue"') < areas.index('d="M0 500V375H2000V500Z"')
    assert ">40 s<" in chart
    assert ">5 s<" in chart


@pytest.mark.parametrize("span", [1.0, 59.0, 3600.0, 86_400.0, 604_800.0, 86_400.0 * 400])
def test_ticks_of_time_are_few(span: float) -> None:
    chart = over_time(np.array([0.0, span / 2, span]), lines=[Curve("one", "red", np.array([0.0, 0.0]))])
    texts = re.findall(r'class="x(?: odd)?"[^>]*>([^<]*)<', chart)
    assert 2 <= len(texts) <= 9 or span == 1.0
    assert len(set(texts)) == len(texts)


def test_dots_are_inside() -> None:
    dots = [Dot(x, y, "", "", "") for x, y in ((1.0, 0.0), (2.0, 1e-6), (500.0, 0.9), (3.0, 0.001))]
    chart = scatter(dots, [(1.0, 0.9), (2.0, 0.0)], 3.0, unit="USD")
    places = [(float(x), float(y)) for x, y in re.findall(r"left:([\d.]+)%;bottom:([\d.]+)%", chart)]
    assert len(places) == 4
    assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in places)
    assert places[2][0] == 100  # beyond the end
    assert places[2][1] > places[3][1] > places[1][1] == places[0][1]
    level = scatter([Dot(5.0, 0.0, "", "", "")], [(5.0, 0.0)], 5.0, unit="USD")
    assert "NaN" not in level
    assert "inf" not in level


def test_a_notebook_shows_the_table() -> None:
    assert ic.results.FleetComparison.__name__ in {type(comparison()).__name__}
    assert "pyinfercost" in comparison()._repr_html_()

"""Fleets, their comparisons and plans as text, JSON, CSV and series over time."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from support.fleet_results import POLICIES, comparison, plan, total

import pyinfercost as ic
from pyinfercost.report.fleet_series import series_of
from pyinfercost.report.layout import Table
from pyinfercost.report.render import render
from pyinfercost.results.bill import MONTH_S, USES


def test_json_has_what_the_result_has() -> None:
    fleet = comparison().fleets[0]
    document = json.loads(fleet.to_json())
    assert document["schema_version"] == 1
    found = document["fleet"]
    assert found["bill"]["usd_per_month"] == pytest.approx(fleet.usd_per_month)
    assert sum(line["usd"] for line in found["bill"]["lines"]) == pytest.approx(found["bill"]["usd"])
    assert sum(found["demand"]["arrived"]) == found["requests"] == fleet.requests
    assert sum(map(sum, found["bill"]["hourly_usd"].values())) == pytest.approx(found["bill"]["usd"])
    assert found["pools"][0]["settings"]["metric"] == "requests without a place"
    assert found["wait_s"]["p99"] == fleet["wait_s"].p99
    assert found["ttft_s"]["mean"] is None  # slots have no tokens
    assert found["carbon_g_per_month"] == pytest.approx(fleet.carbon_g / fleet.duration_s * MONTH_S)  # type: ignore[operator]


def test_json_of_a_comparison_has_all_fleets_without_their_time_series() -> None:
    result = comparison()
    found = json.loads(result.to_json())["comparison"]
    assert [(each["deployment"], each["policy"]) for each in found["fleets"]] == [
        (each.deployment, each.policy) for each in result
    ]
    assert (found["best"]["deployment"], found["best"]["policy"]) == ("small", "zero")
    front = zip(found["fleets"], found["on_front"], strict=True)
    assert [each["policy"] for each, on_front in front if on_front] == [each.policy for each in result.front]
    assert {each["detail"] for each in found["bounds"]} == {"bound"}
    assert found["fleets"][0].keys() == result.fleets[0].to_dict()["fleet"].keys() - {"demand"}
    assert "hourly_usd" not in found["fleets"][0]["bill"]
    assert "replicas" not in found["fleets"][0]["pools"][0]


def test_csv_has_a_row_of_each_fleet_and_each_bound() -> None:
    result = comparison()
    rows = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert len(rows) == 2 * len(POLICIES) + 2
    assert tuple(rows[0]) == result.columns
    assert [row["rank"] for row in rows] == [*map(str, range(1, 9)), "", ""]
    assert [row["detail"] for row in rows[-2:]] == ["bound", "bound"]
    for row, fleet in zip(rows, result, strict=False):
        assert float(row["usd_per_month"]) == pytest.approx(fleet.usd_per_month)
        assert float(row["late_share"]) == fleet.late_share
        assert row["slo_met"] == str(fleet.slo_met)
        assert int(row["starts"]) == fleet.pools[0].starts
    (alone,) = csv.DictReader(io.StringIO(result.fleets[2].to_csv()))
    assert alone == {name: cell for name, cell in rows[2].items() if name not in ("rank", "on_front")}


def test_units_are_in_every_key_of_an_amount() -> None:
    words = {
        "model",
        "traffic",
        "deployment",
        "policy",
        "detail",
        "on_front",
        "slo_met",
        "slo",
        "slo_values",
        "rank",
        "overloaded",
        "interrupted",
        "routing",
        "output_tokens",
    }
    counts = {"requests", "finished", "failed", "unfinished", "restarted", "starts", "interruptions"}
    unit = re.compile(r"^usd$|^usd_per_|_s$|_share$|_j(_per_month)?$|_g(_per_month)?$|_replicas$|^relative_cost$")
    assert [name for name in comparison().columns if name not in words | counts and not unit.search(name)] == []


def test_text_has_the_table_the_bill_and_the_settings() -> None:
    result = comparison()
    text = str(result)
    assert re.search(r"^small +zero +\* +35,868 +held", text, re.MULTILINE)
    assert len(re.findall(r"^\w+ +oracle +bound", text, re.MULTILINE)) == 2
    assert re.search(r"^total +35,868 +100$", text, re.MULTILINE)
    assert "autoscaler  zero: min_replicas 0, idle_timeout_s 60" in text
    settings = text[text.index("autoscaler  ") :].replace("\n            ", " ")
    assert "metric requests without a place, start_replicas 0" in settings
    for use in USES:
        assert re.search(rf"^{use} +[\d,.]+ +(<1|\d+)$", text, re.MULTILINE)
    assert repr(result).startswith("requests, 8 fleets: cheapest within queue_p95<3 is zero on small, 35,868 USD/month")
    alone = str(result.fleets[0])
    assert re.search(r"^wait before service +[\d.]+", alone, re.MULTILINE)
    assert "13,301 of 13,301 answered" in alone


def test_metric_target_and_start_state_of_every_autoscaler_are_printed() -> None:
    policies = ("static", "scheduled:0=2", "kpa", "hpa", "ray", "sagemaker", "lambda", "cloudrun", "zero", "seasonal")
    result = ic.fleet(
        None, traffic="poisson:4", duration_s=60.0, on=ic.fleets.Slots(slots=4, service_s=1.0), autoscaler=policies
    )
    for fleet in result:
        settings = fleet.pools[0].settings
        assert {"metric", "start_replicas"} <= set(settings)
        targeted = fleet.policy not in ("static", "scheduled:0=2", "lambda", "zero")
        assert any(name.startswith("target") for name in settings) == targeted
        assert f"metric {settings['metric']}" in " ".join(str(fleet).split())


def test_no_fleet_holds_and_no_price() -> None:
    result = comparison(slo="queue_p50<0.001,e2e_p50<0.1")
    assert result.best is None
    assert "No fleet holds" in str(result)
    assert "none holds" in repr(result)
    assert json.loads(result.to_json())["comparison"]["best"] is None
    free = comparison(priced=False)
    assert "h/month" in str(free)
    assert "the deployment has no price" in str(free)
    assert "USD" not in repr(free)


def test_names_from_outside_are_one_line_of_text() -> None:
    evil = replace(comparison().fleets[0], model="a\x1b[31m\nb", traffic="=1+1")
    assert "\x1b" not in str(evil)
    assert "'=1+1" in evil.to_csv()


@pytest.mark.parametrize("most", [10_000, 300, 7, 1])
def test_thinned_series_keep_sums_and_means(most: int) -> None:
    fleet = next(each for each in comparison() if each.policy == "kpa")
    over = series_of(fleet, most=most)
    lengths = np.diff(over.edges_s)
    assert lengths.size == min(most, fleet.demand.arrived.size) or lengths.size <= most
    assert over.edges_s[-1] == pytest.approx(fleet.duration_s)
    assert total(over.arrived_per_s * lengths) == pytest.approx(fleet.requests)
    assert total(over.late_per_s * lengths) == pytest.approx(total(fleet.demand.late))
    assert total(over.paid * lengths) == pytest.approx(fleet.reserved_s)
    assert total(over.busy * lengths) == pytest.approx(fleet.pools[0].used_s)
    assert total(over.cold * lengths) == pytest.approx(fleet.pools[0].cold_s)
    assert over.most_wait_s.max() == fleet.demand.most_wait_s.max() == pytest.approx(fleet["wait_s"].max)
    mean = total(over.wait_s * over.arrived_per_s * lengths) / fleet.requests
    assert mean == pytest.approx(fleet["wait_s"].mean, rel=1e-6)
    assert fleet.bill is not None
    usd = sum(total(each * lengths) / 3600 for each in over.usd_per_h.values())
    assert usd == pytest.approx(fleet.bill.usd)


def test_commitments_are_paid_once_by_use_and_over_time() -> None:
    terms = ic.fleets.Terms(committed=20, commitment="discount=0.4,term_years=1")
    place = ic.fleets.Slots(slots=8, service_s=2.0, cold_start_s=20.0, usd_per_h=3.6, name="place")
    (fleet,) = ic.fleet(None, traffic="poisson:40", duration_s=600.0, on=place, autoscaler="kpa", terms=terms)
    bill = fleet.bill
    assert bill is not None
    assert bill.by_kind["committed"] == pytest.approx(20 * 0.6 * 3.6 * bill.duration_s / 3600)
    assert sum(bill.use_usd.values()) == pytest.approx(bill.usd)
    assert sum(map(sum, bill.hourly_usd.values())) == pytest.approx(bill.usd)


def test_a_plan_has_its_choices_and_its_verification() -> None:
    result = plan()
    assert result.best is not None
    assert result.verified is not None
    rows = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert len(rows) == len(result.choices)
    assert float(rows[0]["usd_per_month"]) == pytest.approx(result.best.usd_per_month)
    assert "poisson:12, which it was not planned on, it holds" in " ".join(str(result).split())
    found = json.loads(result.to_json())["plan"]
    assert found["verified"]["traffic"] == "poisson:12"
    assert found["best"]["bill"]["usd_per_month"] == pytest.approx(result.best.usd_per_month)
    assert any(isinstance(part, Table) for part in render(result, "layout"))


def test_markdown_and_snippet_have_the_same_rows() -> None:
    result = comparison()
    assert result.to_markdown().count("| oracle | bound |") == 2
    assert result._repr_html_().count('<td class="t">oracle</td>') == 2

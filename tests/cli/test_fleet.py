"""`pyinfercost fleet`: bills and plans from the command line, and what wrong options say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pyinfercost.cli import main

PLACE = "8,service_s=2,cold_start_s=20,usd_per_h=3.6,name=place"
BASE = ("--slots", PLACE, "--traffic", "poisson:10", "--duration-s", "300")


def run(*options: str) -> Result:
    return CliRunner().invoke(main, ["fleet", *options])


def document(*options: str) -> dict[str, object]:
    result = run(*options, "--format", "json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_a_table_has_policies_settings_and_the_bill() -> None:
    result = run(*BASE, "-a", "static:4,kpa", "--slo", "queue_p90<1")
    assert result.exit_code == 0, result.output
    for words in (
        "static:4",
        "kpa",
        "oracle",
        "USD/month",
        "metric none",
        "start_replicas",
        "idle",
    ):
        assert words in result.stdout


def test_each_machine_is_combined_with_each_policy() -> None:
    other = "4,service_s=2,usd_per_h=2,name=other"
    found = document(*BASE, "--slots", other, "-a", "static:6", "-a", "hpa,ray")["comparison"]
    assert isinstance(found, dict)
    pairs = {(each["deployment"], each["policy"]) for each in found["fleets"]}
    assert pairs == {(place, policy) for place in ("place", "other") for policy in ("static:6", "hpa", "ray")}
    assert {each["deployment"] for each in found["bounds"]} == {"place", "other"}


def test_terms_reach_the_bill() -> None:
    found = document(
        *BASE, "-a", "kpa", "--committed", "2", "--commitment", "discount=0.5,term_years=1",
        "--fixed", "staff_usd_per_month=1000", "--egress", "0.1", "--response-bytes", "1e6",
    )["comparison"]  # fmt: skip
    assert isinstance(found, dict)
    lines = {line["kind"]: line for line in found["fleets"][0]["bill"]["lines"]}
    assert set(lines) == {"committed", "given", "staff", "egress"}
    hours = lines["committed"]["quantity"]
    assert lines["committed"]["usd"] == pytest.approx(hours * 3.6 / 2)
    assert lines["egress"]["usd"] == pytest.approx(lines["egress"]["quantity"] * 0.1)


def test_a_serverless_bill_is_by_request() -> None:
    found = document(
        "--slots", "1,service_s=0.2,cold_start_s=3,name=function", "--traffic", "poisson:2", "--duration-s", "600",
        "-a", "lambda", "--serverless", "aws-lambda", "--memory-gb", "2",
    )["comparison"]  # fmt: skip
    assert isinstance(found, dict)
    fleet = found["fleets"][0]
    lines = {line["kind"]: line for line in fleet["bill"]["lines"]}
    assert set(lines) == {"requests", "memory"}
    assert lines["requests"]["usd"] == pytest.approx(fleet["finished"] * 0.2e-6)
    started = fleet["pools"][0]["starts"]
    assert lines["memory"]["quantity"] == pytest.approx(2 * (0.2 * fleet["finished"] + 3 * started), rel=0.01)


def test_a_plan_is_verified_on_the_day_that_follows() -> None:
    found = run(
        "--slots", PLACE, "--traffic", "diurnal:mean=1,peak=2", "--duration-s", "172800", "--slo", "queue_p95<1",
        "--plan", "-a", "static,kpa",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "hours 24 to 48" in found.stdout


def test_a_plan_is_verified_on_other_traffic() -> None:
    found = document(*BASE, "--slo", "queue_p95<1", "--plan", "-a", "static,kpa", "--verify", "poisson:11")["plan"]
    assert isinstance(found, dict)
    assert found["verified"]["traffic"] == "poisson:11"
    assert found["verified"]["requests"] == pytest.approx(11 * 300, rel=0.1)


def test_a_plan_that_nothing_holds_fails_with_the_table() -> None:
    result = run(*BASE, "--slo", "e2e_p50<1", "--plan", "-a", "kpa,static")
    assert result.exit_code == 1
    assert "No fleet holds" in result.output


def test_a_report_is_written(tmp_path: Path) -> None:
    path = tmp_path / "fleet.html"
    result = run(*BASE, "-a", "kpa,hpa", "--html", str(path))
    assert result.exit_code == 0
    assert path.stat().st_size < 500_000
    assert "Report written to" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--traffic", "poisson:1"), "--slots"),
        ((*BASE, "-a", "kpx"), "expected one of static"),
        ((*BASE, "-a", "kpa:tick=3"), "has no setting 'tick'"),
        (("--slots", "8,speed=2", "--traffic", "poisson:1"), "no setting 'speed'"),
        (("--slots", "8,service_s=x", "--traffic", "poisson:1"), "expected a number"),
        ((*BASE, "--verify", "poisson:1"), "goes with --plan"),
        ((*BASE, "--serverless", "aws-lambda"), "memory_gb"),
        ((*BASE, "--commitment", "discount=2,term_years=1"), "discount"),
        (("-H", "l4", "--traffic", "poisson:1"), "Missing argument 'MODEL'"),
        ((*BASE, "--utilization", "0.5"), "--utilization has no effect"),
    ],
)
def test_wrong_options_are_usage_errors(options: tuple[str, ...], words: str) -> None:
    result = run(*options)
    assert result.exit_code == 2, result.output
    assert words in result.output


def test_wrong_traffic_says_what_is_expected() -> None:
    result = run("--slots", PLACE, "--traffic", "sometimes:3")
    assert result.exit_code != 0
    assert "sometimes:3" in result.output

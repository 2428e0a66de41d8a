"""Reports of monitors' logs: sums against the book-keeping of the log, drift, the plan, forms, and the command."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from support.monitored import MONDAY_S, Observed
from support.monitored_week import DRIFT_S, HOUR_S, USD_PER_H, Week, write_week
from support.report_pages import EVIL, Scripts

import pyinfercost as ic
from pyinfercost.cli.monitor_report_command import report
from pyinfercost.fleets import Slots
from pyinfercost.monitor.level_changes import level_changes
from pyinfercost.monitor.log import MonitorLog
from pyinfercost.monitor.log_reader import LogError
from pyinfercost.monitor.log_report import report_log
from pyinfercost.monitor.plan_suggestion import SuggestionError
from pyinfercost.monitor.planned import PlanError
from pyinfercost.report import monitor_report
from pyinfercost.results.monitor_report import Gap, MonitorReport

DAY_S = 86_400.0
SLOTS = Slots(slots=1, service_s=1.2, usd_per_h=USD_PER_H)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def week(folder: Path) -> Week:
    return write_week(folder / "week.jsonl", interval_s=900.0)


@pytest.fixture(scope="module")
def plan(folder: Path) -> Path:
    traffic = "diurnal:mean=0.08,peak=3,weekend=0.3"
    result = ic.fleet(
        None, traffic=traffic, on=SLOTS, autoscaler="static:1", duration_s=7 * DAY_S, slo="queue_p95<2"
    ).fleets[0]
    path = folder / "plan.json"
    path.write_text(result.to_json(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def found(folder: Path, week: Week, plan: Path) -> MonitorReport:
    return report_log(folder / "week.jsonl", plan=plan)


# ---- sums ------------------------------------------------------------------------------------------------------------


def test_sums_are_those_of_the_log(found: MonitorReport, week: Week) -> None:
    whole = found.whole
    assert whole.requests == week.requests.sum() == found.outcomes["ok"]
    assert whole.output_tokens == week.columns.output_tokens.sum()
    assert found.prompt_tokens == week.columns.prompt_tokens.sum()
    assert whole.usd == pytest.approx(7 * 24 * 2 * USD_PER_H, abs=0.005)
    for use, usd in week.usd.items():
        assert whole.cost_usd[use] == pytest.approx(usd, abs=0.005)
    assert whole.usd_per_h == pytest.approx(2 * USD_PER_H)
    assert whole.replicas == pytest.approx(2.0)
    assert (whole.measured_s, whole.predicted_s) == pytest.approx((week.measured_s, week.predicted_s))
    assert found.cold_starts == 2


def test_hours_are_those_of_the_clock(found: MonitorReport, week: Week) -> None:
    assert len(found.slots) == 168
    assert found.slot_s == HOUR_S
    assert [each.requests for each in found.slots] == week.requests.tolist()
    assert all(each.covered_s == pytest.approx(HOUR_S) for each in found.slots)
    tuesday = found.slots[30]
    assert tuesday.start_s == MONDAY_S + 30 * HOUR_S
    assert tuesday.planned["replicas"] == 1.0
    assert tuesday.against_plan["usd_per_h"] == pytest.approx(1.0)


def test_peak_and_the_rest_add_up(found: MonitorReport) -> None:
    peak, rest = found.stretches
    assert (peak.name, rest.name) == ("peak", "off-peak")
    assert peak.requests + rest.requests == found.whole.requests
    assert peak.covered_s + rest.covered_s == pytest.approx(found.whole.covered_s)
    assert (peak.requests_per_s or 0) > 2 * (rest.requests_per_s or 0)
    mean = found.whole.planned["requests_per_s"]
    chosen = [each for each in found.slots if each.planned["requests_per_s"] > mean]
    assert peak.requests == sum(each.requests for each in chosen)


def test_percentiles_are_those_of_the_requests(found: MonitorReport, week: Week) -> None:
    (ttft,) = [each for each in found.times if each.figure == "ttft_s"]
    times = week.columns.first_token_s - week.columns.arrival_s
    assert ttft.count == len(times)
    assert ttft.mean_s == pytest.approx(times.mean(), rel=1e-6)
    for percent, value in ((50, ttft.p50_s), (90, ttft.p90_s), (99, ttft.p99_s)):
        assert value == pytest.approx(np.percentile(times, percent), rel=0.03)  # bounds are 5 % apart


def test_intervals_are_divided_among_hours(tmp_path: Path) -> None:
    observed = Observed()
    with MonitorLog(tmp_path / "log.jsonl", start_s=MONDAY_S + 1800.0) as log:
        for _ in range(8):  # from 0:30 to 12:30, a record every 90 minutes
            observed.now_s = max(observed.now_s, MONDAY_S + 1800.0)
            observed.count("requests", 90, outcome="ok")
            log.append(observed.snapshot(5400.0))
    slots = report_log(tmp_path / "log.jsonl").slots
    assert sum(each.requests for each in slots) == pytest.approx(720)
    assert all(each.requests / each.length_s == pytest.approx(1 / 60) for each in slots)


# ---- drift -----------------------------------------------------------------------------------------------------------


def test_drift_is_dated(found: MonitorReport) -> None:
    for part in found.parts:
        (change,) = part.changes
        assert abs(change.at_s - DRIFT_S) <= 3600.0
        assert change.factor == pytest.approx(1.4, rel=0.03)
        assert part.in_band
        assert part.outside_since_s is not None
        assert abs(part.outside_since_s - DRIFT_S) <= 3600.0
    assert any("went from 1.00 to 1.40 (+40 %) at Thu 2026-01-08 14:00 UTC" in each for each in found.findings)


@pytest.mark.slow
def test_noise_is_no_drift(tmp_path: Path) -> None:
    for seed in range(5):
        path = tmp_path / f"{seed}.jsonl"
        write_week(path, days=2, drift=1.0, replicas=1, seed=seed, interval_s=900.0)
        found = report_log(path)
        assert not any(each.changes for each in (*found.parts, *found.times))
        assert any("inside of their bands" in each for each in found.findings)


# ---- the plan --------------------------------------------------------------------------------------------------------


def test_the_plan_may_come_from_the_log(tmp_path: Path, plan: Path) -> None:
    named = write_week(tmp_path / "a.jsonl", days=0.5, plan=plan, interval_s=900.0)
    assert named.requests.sum() > 0
    found = report_log(tmp_path / "a.jsonl")
    assert found.plan is not None
    assert found.plan.slo == "queue_p95<2"
    observed = Observed()
    with MonitorLog(tmp_path / "b.jsonl", start_s=MONDAY_S, plan="gone.json") as log:
        for hour in range(14):
            observed.count("requests", 3600, outcome="ok")
            observed.gauge("planned_requests_per_s", 2.0 if hour > 6 else 0.5)
            log.append(observed.snapshot(HOUR_S))
    found = report_log(tmp_path / "b.jsonl")
    assert found.plan is not None
    assert found.plan.name == "as the monitor recorded it"
    assert "names the plan gone.json, which is not there" in found.notes[0]
    assert [each.planned["requests_per_s"] for each in found.slots] == [0.5] * 7 + [2.0] * 7
    assert [round(each.against_plan["requests_per_s"] or 0, 3) for each in found.slots] == [1.0] * 7 + [-0.5] * 7


@pytest.mark.slow
def test_a_plan_for_the_recorded_traffic_is_suggested(folder: Path, week: Week) -> None:
    found = report_log(folder / "week.jsonl", to_s=MONDAY_S + 2 * DAY_S, suggest=True, slo="queue_p95<2")
    suggestion = found.suggestion
    assert suggestion is not None
    assert suggestion.requests == week.requests[:48].sum()
    best = suggestion.plan.best
    assert best is not None
    assert best.slo_met
    assert suggestion.saved_usd_per_month == pytest.approx((found.whole.usd_per_month or 0) - (best.usd_per_month or 0))
    assert (suggestion.saved_usd_per_month or 0) > 1000, "one replica is enough where two are paid"
    assert suggestion.plan.verified is not None
    assert any(each.startswith("Suggested: ") for each in found.findings)
    text = found.to_text()
    assert "On the last day of the log, which it was not planned on, it holds" in text
    assert "/tmp" not in text[text.index("Suggested for") :], "the traffic is a file that is gone"


def test_a_suggestion_says_what_it_lacks(folder: Path, week: Week, tmp_path: Path) -> None:
    with pytest.raises(SuggestionError, match="needs an objective"):
        report_log(folder / "week.jsonl", suggest=True)
    observed = Observed()
    with MonitorLog(tmp_path / "log.jsonl", start_s=MONDAY_S) as log:
        observed.count("requests", 100, outcome="ok")
        log.append(observed.snapshot(600.0))
    with pytest.raises(SuggestionError, match="neither a model with a deployment nor the time"):
        report_log(tmp_path / "log.jsonl", suggest=True, slo="queue_p95<2")
    with MonitorLog(tmp_path / "log.jsonl", start_s=MONDAY_S + 600.0) as log:
        observed.count("service_s", 100.0)
        log.append(observed.snapshot(600.0))
    with pytest.raises(SuggestionError, match="needs the price"):
        report_log(tmp_path / "log.jsonl", suggest=True, slo="queue_p95<2")


# ---- forms -----------------------------------------------------------------------------------------------------------


def test_documents_have_all(found: MonitorReport) -> None:
    document = json.loads(found.to_json())["monitor_report"]
    assert len(document["slots"]) == 168
    assert document["whole"]["usd"] == pytest.approx(672.0)
    assert document["parts"][0]["changes"][0]["at_s"] == found.parts[0].changes[0].at_s
    assert document["findings"] == found.findings
    rows = found.to_csv().splitlines()
    assert len(rows) == 169
    assert rows[0].split(",")[:3] == ["start_s", "length_s", "covered_s"]
    assert pickle.loads(pickle.dumps(found)).to_json() == found.to_json()
    assert repr(found).startswith("small, 7 days: Paid 672.00 USD")


def test_texts_have_the_sections(found: MonitorReport) -> None:
    for text in (found.to_text(), found.to_markdown()):
        for section in ("Predicted and measured time", "What users felt", "Paid time by use", "Peak and the"):
            assert section in text
        assert "Money: 4.000 USD/h is 100 % above the plan (2.000)" in " ".join(text.split())


def test_pages_load_nothing(found: MonitorReport) -> None:
    page = found.to_html()
    assert page == found.to_html()
    assert len(page.encode()) < 200_000
    scripts = Scripts(page)
    assert list(scripts.found) == [None]  # the script of its charts
    assert not scripts.addresses
    assert "default-src 'none'" in page
    assert page.count("<tr") > 168


def test_names_of_others_are_escaped(tmp_path: Path) -> None:
    for number, name in enumerate(EVIL):
        observed = Observed(f"run {number}", model=name + "\x1b[31m", hardware=name)
        with MonitorLog(tmp_path / "log.jsonl", start_s=MONDAY_S) as log:
            observed.count("requests", 10, outcome="ok")
            for part in ("all", name):
                for figure in ("measured_s", "predicted_s", "predicted_low_s", "predicted_high_s"):
                    observed.count(figure, 1.0, part=part)
            observed.notes = (name,)
            log.append(observed.snapshot(600.0))
    found = report_log(tmp_path / "log.jsonl")
    assert len(found.models) == 3
    assert len(found.parts) == 6
    page = found.to_html()
    assert list(Scripts(page).found) == [None]
    assert "<img" not in page
    assert "<b>" not in page
    assert "\x1b" not in found.to_text() + found.to_markdown()


def test_damage_and_gaps_are_told(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for number in range(2):
        observed = Observed(f"run {number}", MONDAY_S + 7200.0 * number)
        with MonitorLog(path, start_s=observed.now_s) as log:
            for _ in range(30):
                observed.count("requests", 6, outcome="ok")
                log.append(observed.snapshot(60.0))
    content = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*content[:5], content[5][:40] + b"\n", *content[6:], b"not json\n"]))
    found = report_log(path)
    assert (found.damaged, found.runs) == (2, 2)
    assert found.gaps == (Gap(start_s=MONDAY_S + 1800.0, end_s=MONDAY_S + 7200.0),)
    assert found.whole.requests == 6 * 59
    assert found.whole.covered_s == pytest.approx(3600.0 - 60.0)
    text = "\n".join(found.findings)
    assert "2 lines of the log are damaged" in text
    assert "Nothing was recorded in 1 gap, 1.5 h in all" in text
    assert "money is unknown" in found.notes[0]
    assert "nothing has a prediction: the monitor was started without a model" in found.notes[1]


def test_a_monitor_without_requests_has_no_prediction_for_want_of_them(folder: Path) -> None:
    path = folder / "idle.jsonl"
    observed = Observed("idle", MONDAY_S)
    with MonitorLog(path, start_s=observed.now_s) as log:
        for _ in range(3):
            log.append(observed.snapshot(60.0))
    assert "nothing has a prediction: no request ended" in report_log(path).notes


@pytest.mark.slow
def test_the_command(folder: Path, week: Week, plan: Path, tmp_path: Path) -> None:
    log = str(folder / "week.jsonl")
    page = tmp_path / "report.html"
    part = ("--from", "2026-01-08T12:00", "--until", "2026-01-08T15:30")
    told = CliRunner().invoke(report, [log, "--planned", str(plan), *part, "--html", str(page)])
    assert told.exit_code == 0, told.output
    assert "Paid 14.00 USD" in told.stdout
    assert f"Report written to {page}" in told.stderr
    assert "14:00" in page.read_text(encoding="utf-8")
    both = CliRunner().invoke(report, [log, log, *part, "--format", "json"])
    assert json.loads(both.stdout)["monitor_report"]["whole"]["usd"] == pytest.approx(14.0)
    for arguments, words in (
        ((log, "--slo", "queue_p95<2"), "--slo goes with --suggest"),
        ((log, "--from", "noon"), "expected a time such as"),
        ((str(tmp_path / "none.jsonl"),), "there is no such file"),
        ((log, "--planned", str(tmp_path / "none.json")), "no such file"),
    ):
        refused = CliRunner().invoke(report, list(arguments))
        assert refused.exit_code in (1, 2)
        assert words in refused.output
    for given, kind, words in (
        ({"model": "other"}, LogError, "has no model 'other'"),
        ({"from_s": 10.0, "to_s": 20.0}, LogError, "no interval from 10 to 20"),
        ({"from_s": 20.0, "to_s": 10.0}, LogError, "is empty"),
        ({"plan": 7}, PlanError, "plan is 7"),
    ):
        with pytest.raises(kind, match=words):
            report_log(log, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("usd", "text"), [(672.0, "672.00"), (0.01, "0.01"), (0.000123, "0.0001230"), (0.0, "0.00")])
def test_a_small_bill_has_its_first_digits(usd: float, text: str) -> None:
    assert monitor_report._paid(usd) == text


def test_bins_of_nearly_no_weight_have_no_changes() -> None:
    weights = np.array([1e-200] * 12 + [1.0])
    amounts = weights * np.array([1.0] * 6 + [5.0] * 6 + [1.0])
    assert len(level_changes(np.arange(14.0), amounts, weights)) <= 4

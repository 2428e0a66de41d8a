"""Alert rules, judged by Prometheus itself: each alert is raised when it should be, and not otherwise."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest
from support.rule_cases import Case, Signal, failures, named, rate, steady, steps

from pyinfercost.monitor.drift import Drift
from pyinfercost.monitor.provisioning import MonitorConfig, config_files
from pyinfercost.monitor.provisioning.rules import rules

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (Debian: prometheus)"),
]

HOUR = 3600.0
CONFIG = MonitorConfig(scrape_interval_s=60)
FAST = MonitorConfig(scrape_interval_s=15)
UP = {'up{job="pyinfercost",instance="a"}': steady(1)}


def priced(usd_per_h: float, *, tokens_per_h: float = 1e6, **more: float) -> dict[str, Signal]:
    """Two replicas that together cost so much and generate so many tokens."""
    return {
        **{
            named("cost_usd", use="busy", instance=instance): rate(usd_per_h / 2 / HOUR, 7.0) for instance in ("a", "b")
        },
        **{named("output_tokens", instance=instance): rate(tokens_per_h / 2 / HOUR, 100.0) for instance in ("a", "b")},
        **{named(key): steady(value) for key, value in more.items()},
    }


def used(idle: float) -> dict[str, Signal]:
    return {
        named("reserved_s", use="idle"): rate(idle),
        named("reserved_s", use="busy"): rate(0.9 - idle),
        named("reserved_s", use="cold"): rate(0.1),
    }


def started(*at_s: float, lasts_s: float = 10 * HOUR, running: int = 1) -> dict[str, Signal]:
    """Replicas that each start once, beside some that run since before Prometheus and count one start."""
    before = {named("cold_starts", instance=f"old{number}"): steady(1) for number in range(running)}
    new = {
        named("cold_starts", instance=f"new{number}"): steps((begin_s, 1), (begin_s + lasts_s, None))
        for number, begin_s in enumerate(at_s)
    }
    return {**UP, **before, **new}


PLAN = {"planned_usd_per_million_tokens": 0.8}
OWN_PLAN = MonitorConfig(scrape_interval_s=60, plan_usd_per_million_tokens=0.8)
POWER = MonitorConfig(scrape_interval_s=60, power_limit_w=300)

CASES = [
    # 1 USD for 10^6 tokens; plan 0.8 and 10 %
    Case("PyinfercostCostAbovePlan", True, HOUR, priced(1.0, **PLAN), CONFIG),
    Case("PyinfercostCostAbovePlan", False, HOUR, priced(0.87, **PLAN), CONFIG),
    Case("PyinfercostCostAbovePlan", False, HOUR, priced(1.0), CONFIG),  # no plan
    Case("PyinfercostCostAbovePlan", False, HOUR, priced(1.0, tokens_per_h=0, **PLAN), CONFIG),  # no tokens
    Case("PyinfercostCostAbovePlan", True, HOUR, priced(1.0), OWN_PLAN),
    Case("PyinfercostCostAbovePlan", False, HOUR, priced(0.87), OWN_PLAN),
    Case("PyinfercostSpendAbovePlan", True, HOUR, priced(1.0, planned_usd_per_h=0.9), CONFIG),
    Case("PyinfercostSpendAbovePlan", False, HOUR, priced(1.0, planned_usd_per_h=0.92), CONFIG),
    Case("PyinfercostIdle", True, 3 * HOUR, used(0.55), CONFIG),
    Case("PyinfercostIdle", False, 3 * HOUR, used(0.45), CONFIG),
    Case("PyinfercostIdle", False, 0.5 * HOUR, used(0.9), CONFIG),  # not long yet
    # cold starts: more than 6 in an hour
    Case("PyinfercostColdStarts", True, 2 * HOUR, started(*(2 * HOUR - 300 * n for n in range(1, 8))), CONFIG),
    Case("PyinfercostColdStarts", False, 2 * HOUR, started(*(2 * HOUR - 300 * n for n in range(1, 6))), CONFIG),
    Case("PyinfercostColdStarts", False, 2 * HOUR, started(*(0.3 * HOUR + 60 * n for n in range(9))), CONFIG),  # before
    Case(  # each ended after three minutes
        "PyinfercostColdStarts",
        True,
        2 * HOUR,
        started(*(2 * HOUR - 300 * n for n in range(1, 8)), lasts_s=180),
        CONFIG,
    ),
    Case("PyinfercostColdStarts", False, 600, started(running=20), CONFIG),  # it is Prometheus that is new
    Case(  # one replica, again and again
        "PyinfercostColdStarts",
        True,
        2 * HOUR,
        {**UP, named("cold_starts"): lambda at_s: max(0.0, (at_s - HOUR) // 400)},
        CONFIG,
    ),
    Case("PyinfercostPower", True, 600, {named("power_w"): steady(301)}, POWER),
    Case("PyinfercostPower", False, 600, {named("power_w"): steady(299)}, POWER),
    # a server that answered, one that starts, and one that never does
    Case("PyinfercostServerDown", True, 780, {named("up"): steps((0, 1), (600, 0))}, CONFIG),
    Case("PyinfercostServerDown", False, 660, {named("up"): steps((0, 1), (600, 0), (660, 1))}, CONFIG),
    Case("PyinfercostServerDown", False, 1200, {named("up"): steady(0)}, CONFIG),
    Case("PyinfercostServerDown", True, 2400, {named("up"): steady(0)}, CONFIG),
    Case("PyinfercostServerDown", True, 3 * HOUR, {named("up"): steps((0, 1), (600, 0))}, CONFIG),
    Case("PyinfercostObserverDown", True, 780, {'up{job="pyinfercost",instance="a"}': steps((0, 1), (600, 0))}, CONFIG),
    Case("PyinfercostObserverDown", False, 780, {'up{job="other",instance="a"}': steady(0), **UP}, CONFIG),
    Case("PyinfercostObserverAbsent", True, 900, {'up{job="other",instance="a"}': steady(1)}, CONFIG),
    Case("PyinfercostObserverAbsent", False, 900, UP, CONFIG),
    *(
        case
        for series in (
            named("dropped_records", kind="requests"),
            named("exporter_errors", exporter="otel"),
            named("scrapes", outcome="partial"),
        )
        for case in (
            Case("PyinfercostObserverFailing", True, 1000, {series: steps((0, 0), (600, 1))}, CONFIG),
            Case("PyinfercostObserverFailing", False, 1000, {series: steady(9)}, CONFIG),
            Case("PyinfercostObserverFailing", False, 1000, {series: steps((0, 9), (600, 0))}, CONFIG),  # restarted
        )
    ),
]


def paced(
    slowdown: float,
    at_s: float,
    *,
    until_s: float = inf,
    first: float = 1.1,
    load: float = 0.4,
    band: float = 0.3,
    every_s: float = 15.0,
    has_first: bool = True,
    restart_s: float | None = None,
) -> dict[str, Signal]:
    """An observer whose measured time is `first` times the predicted one, and more for some time.

    Requests arrive evenly, so predicted seconds grow evenly. The ratio to that of the start is made as observers make
    it, with readings every `every_s`: those of the scrapes, or more frequent ones of a sidecar.
    """

    def of(value: Callable[[float], float]) -> Signal:
        def signal(now_s: float) -> float:
            return value(now_s) if restart_s is None or now_s < restart_s else value(now_s) - value(restart_s)

        return signal

    def measured(now_s: float) -> float:
        return load * first * (now_s + (slowdown - 1.0) * max(0.0, min(now_s, until_s) - at_s))

    drift, ratios = Drift(warm_up_s=0, first_s=30), {}
    for number in range(int(1000 / every_s)):
        now_s = number * every_s
        ratios[now_s] = drift.update("tpot", measured(now_s), load * now_s, now_s)

    def to_first(now_s: float) -> float | None:
        return ratios[max(each for each in ratios if each <= now_s)]

    found = {
        named("measured_s", part="tpot"): of(measured),
        named("predicted_s", part="tpot"): of(lambda now_s: load * now_s),
        named("predicted_low_s", part="tpot"): of(lambda now_s: load / (1 + band) * now_s),
        named("predicted_high_s", part="tpot"): of(lambda now_s: load * (1 + band) * now_s),
    }
    return found | {named("measured_to_first", part="tpot"): to_first} if has_first else found


BEGIN_S = 120.0


def slower(slowdown: float, phase_s: float, every_s: float) -> dict[str, Signal]:
    return paced(slowdown, BEGIN_S - phase_s, every_s=every_s)


# Whatever lies between the beginning of the slowdown and the next scrape, two intervals are enough.
PHASES_S = (0.0, 0.5, 3.0, 7.0, 7.5, 8.0, 11.0, 14.5)

SLOWDOWNS = [
    *(
        case
        for phase_s in PHASES_S
        for every_s in (15.0, 3.75, 3.6)
        for case in (
            Case("PyinfercostSlowdown", True, BEGIN_S - phase_s + 30, slower(1.5, phase_s, every_s), FAST),
            Case("PyinfercostSlowerThanPredicted", True, BEGIN_S - phase_s + 30, slower(1.5, phase_s, every_s), FAST),
            Case("PyinfercostSlowdown", False, BEGIN_S - phase_s + 120, slower(1.2, phase_s, every_s), FAST),
            Case("PyinfercostSlowdown", False, BEGIN_S - phase_s, slower(1.5, phase_s, every_s), FAST),
        )
    ),
    Case("PyinfercostSlowdown", False, 240, paced(1.5, BEGIN_S, has_first=False), FAST),  # no first ratio yet
    # The alert outlives the slowdown by a minute.
    *(
        Case("PyinfercostSlowdown", at_s < 240, at_s, paced(1.5, BEGIN_S, until_s=BEGIN_S + 60), FAST)
        for at_s in (150.0, 180.0, 235.0, 300.0)
    ),
    Case("PyinfercostSlowerThanPredicted", False, 240, paced(2.0, BEGIN_S, load=0.001), FAST),
    Case("PyinfercostSlowerThanPredicted", False, 240, paced(1.15, BEGIN_S), FAST),  # 1.1 x 1.15 < 1.3
    Case("PyinfercostFasterThanPredicted", True, 840, paced(0.6, BEGIN_S), FAST),  # 1.1 x 0.6 < 1 / 1.3
    Case("PyinfercostFasterThanPredicted", False, 600, paced(0.6, BEGIN_S), FAST),  # not long yet
    Case("PyinfercostFasterThanPredicted", False, 840, paced(0.8, BEGIN_S), FAST),
    # The alert outlives one good interval, and ends.
    # Counters that begin again are no slowdown, whenever that is.
    *(
        Case(alert, False, restart_s + after_s, paced(1.0, 0, restart_s=restart_s), FAST)
        for alert in ("PyinfercostSlowdown", "PyinfercostSlowerThanPredicted", "PyinfercostCostAbovePlan")
        for restart_s in (30.0, 90.0)
        for after_s in (0.0, 15.0, 30.0, 60.0)
    ),
]

BAND = MonitorConfig(scrape_interval_s=15, band=(0.9, 1.2), slowdown=2.0)
OWN_BAND = [
    Case("PyinfercostSlowerThanPredicted", True, 150, paced(1.12, BEGIN_S), BAND),  # 1.1 x 1.12 > 1.2
    Case("PyinfercostSlowerThanPredicted", False, 240, paced(1.08, BEGIN_S), BAND),
    Case("PyinfercostSlowdown", False, 240, paced(1.9, BEGIN_S), BAND),
    Case("PyinfercostSlowdown", True, 150, paced(2.1, BEGIN_S), BAND),
    Case("PyinfercostFasterThanPredicted", True, 840, paced(0.8, BEGIN_S), BAND),  # 1.1 x 0.8 < 0.9
]


@pytest.mark.slow
@pytest.mark.parametrize("config", [CONFIG, OWN_PLAN, POWER], ids=["default", "plan", "power"])
def test_alerts(tmp_path: Path, config: MonitorConfig) -> None:
    assert failures(tmp_path, [case for case in CASES if case.config == config], evaluations=1) == ""


@pytest.mark.slow
@pytest.mark.parametrize("cases", [SLOWDOWNS, OWN_BAND], ids=["prediction", "own band"])
def test_slowdowns(tmp_path: Path, cases: list[Case]) -> None:
    assert failures(tmp_path, cases) == ""


def test_every_alert_has_cases_of_both_kinds() -> None:
    cases = {(case.alert, case.fires) for case in (*CASES, *SLOWDOWNS)}
    found = rules(MonitorConfig(power_limit_w=1))
    alerts = {rule["alert"] for group in found["groups"] for rule in group["rules"] if "alert" in rule}
    assert cases == {(alert, fires) for alert in alerts for fires in (True, False)}


def test_a_wrong_case_fails(tmp_path: Path) -> None:
    wrong = [case._replace(fires=not case.fires) for case in CASES[:2]]
    assert failures(tmp_path, wrong).count("expr") == 2


def test_what_an_alert_says(tmp_path: Path) -> None:
    rules_file = next(each for each in config_files(FAST) if each.name == "rules")
    (tmp_path / "rules.yml").write_text(rules_file.content)
    inputs = paced(1.5, 300)
    values = {series: " ".join(f"{signal(15 * n) or 1:.9g}" for n in range(40)) for series, signal in inputs.items()}
    expected = {
        "exp_labels": {
            "severity": "warning",
            "job": "pyinfercost",
            "instance": "a",
            "model": "small",
            "part": "tpot",
        },
        "exp_annotations": {
            "summary": "small is slower than it was at the start (tpot)",
            "description": "Its measured time, divided by the predicted one, is 1.5 times the ratio at the start of "
            "the observer (limit 1.25). Look for other load on the machine, a lower clock, a new version.",
        },
    }
    test = {
        "interval": "15s",
        "input_series": [{"series": series, "values": text} for series, text in values.items()],
        "alert_rule_test": [{"alertname": "PyinfercostSlowdown", "eval_time": "400s", "exp_alerts": [expected]}],
    }
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "5s", "tests": [test]}
    (tmp_path / "test.yml").write_text(json.dumps(document))
    ran = subprocess.run(["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr

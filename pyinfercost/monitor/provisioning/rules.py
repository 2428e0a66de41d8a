"""Recording and alert rules of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ...results.units import significant
from .queries import duration, metric, recorded_rules
from .settings import MonitorConfig

_MODEL = "{{ $labels.model }}"
_VALUE = "{{ $value | humanize }}"
_SHARE = "{{ $value | humanizePercentage }}"


class Alert(NamedTuple):
    """A rule that raises an alert.

    Attributes:
        name: Its name.
        expression: What is true while it is raised.
        for_s: How long it must be true before.
        keep_s: How long it stays raised after that, so that one good reading between two bad ones does not end it.
        severity: `critical`: users get no answers; `warning`: money or time is lost; `info`: a plan is out of date.
        summary: One sentence.
        description: What was measured, and what to look at.
    """

    name: str
    expression: str
    for_s: float
    keep_s: float
    severity: str
    summary: str
    description: str


def rules(config: MonitorConfig) -> dict[str, Any]:
    """Return the file of rules, with three groups.

    The group of slowdowns is evaluated four times in a scrape interval. A slowdown by a factor of 1.5 fills more than
    half of the time between two scrapes, and their ratio then exceeds 1.25, after at most 1.5 intervals; the evaluation
    adds a quarter.
    """
    interval = config.scrape_interval_s
    return {
        "groups": [
            {
                "name": "pyinfercost_recorded",
                "interval": duration(interval),
                "rules": [{"record": rule.name, "expr": rule.expression} for rule in recorded_rules(config)],
            },
            {
                "name": "pyinfercost_slowdown",
                "interval": duration(interval / 4),
                "rules": [_rule(alert) for alert in _slowdowns(config)],
            },
            {
                "name": "pyinfercost_alerts",
                "interval": duration(interval),
                "rules": [_rule(alert) for alert in _others(config)],
            },
        ]
    }


def alerts(config: MonitorConfig) -> list[Alert]:
    """Return all alerts."""
    return [*_slowdowns(config), *_others(config)]


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": duration(alert.for_s),
        "keep_firing_for": duration(alert.keep_s),
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "description": alert.description},
    }


def _slowdowns(config: MonitorConfig) -> Iterator[Alert]:
    # `irate` takes the last two samples, both of the same two scrapes: their ratio is that of the increases between
    # them, without the extrapolation of `increase`, and a failed scrape only delays it.
    interval = config.scrape_interval_s
    last = f"[{duration(4 * interval)}]"
    measured, predicted, low, high = (
        f"irate({metric(key)}{last})" for key in ("measured_s", "predicted_s", "predicted_low_s", "predicted_high_s")
    )
    yield Alert(
        "PyinfercostSlowdown",
        f"{measured}\n  / ({predicted} > 0)\n"
        f"  / ({metric('measured_to_predicted')} / {metric('measured_to_first')})\n"
        f"> {config.slowdown:g}",
        0,
        4 * interval,
        "warning",
        f"{_MODEL} is slower than it was at the start",
        f"Its measured time, compared with the predicted one, is {_VALUE} times what it was when the observer started "
        f"(limit {config.slowdown:g}). Look for other load on the machine, a lower clock, a new version.",
    )
    yield Alert(
        "PyinfercostSlowerThanPredicted",
        f"{measured} > {high}",
        0,
        4 * interval,
        "warning",
        f"{_MODEL} is slower than predicted",
        "Between the last two scrapes its measured time exceeded the high end of the error band of the prediction.",
    )
    yield Alert(
        "PyinfercostFasterThanPredicted",
        f"({measured} < {low}) > 0",
        40 * interval,
        0,
        "info",
        f"{_MODEL} is faster than predicted",
        "Its measured time has been below the low end of the error band: calibrate, the plan can be cheaper.",
    )


def _others(config: MonitorConfig) -> Iterator[Alert]:
    i = config.scrape_interval_s
    above = 1.0 + config.plan_tolerance
    spent = "model:pyinfercost_usd_per_million_tokens:increase1h"
    plan = (
        f"max by (job, model) ({metric('planned_usd_per_million_tokens')})"
        if config.plan_usd_per_million_tokens is None
        else f"{config.plan_usd_per_million_tokens:g}"
    )
    yield Alert(
        "PyinfercostCostAbovePlan",
        f"{spent} > {above:g} * {plan}",
        4 * i,
        0,
        "warning",
        f"{_MODEL} costs more than planned",
        f"A million generated tokens cost {_VALUE} USD in the last hour, more than the plan and "
        f"{significant(100 * config.plan_tolerance)} %.",
    )
    yield Alert(
        "PyinfercostSpendAbovePlan",
        f"model:pyinfercost_cost_usd_per_hour:rate > {above:g} * max by (job, model) ({metric('planned_usd_per_h')})",
        20 * i,
        0,
        "warning",
        f"{_MODEL} spends more than planned in this hour",
        f"Its replicas cost {_VALUE} USD per hour, more than the plan of this hour of the week and "
        f"{significant(100 * config.plan_tolerance)} %.",
    )
    yield Alert(
        "PyinfercostIdle",
        f"model:pyinfercost_idle_ratio:increase1h > {config.idle_share:g}",
        120 * i,
        0,
        "warning",
        f"{_MODEL} is paid for and idle",
        f"In {_SHARE} of the paid time of the last hour no request was in service (limit {config.idle_share:g}).",
    )
    yield Alert(
        "PyinfercostColdStarts",
        f"sum by (job, model) (increase({metric('cold_starts')}[1h])) > {config.cold_starts_per_h:g}",
        0,
        0,
        "warning",
        f"Replicas of {_MODEL} start often",
        f"There were {_VALUE} cold starts in the last hour (limit {config.cold_starts_per_h:g}): scale down later, or "
        "keep one replica warm.",
    )
    if config.power_limit_w is not None:
        yield Alert(
            "PyinfercostPower",
            f"{metric('power_w')} > {config.power_limit_w:g}",
            4 * i,
            0,
            "warning",
            f"{_MODEL} draws more power than allowed",
            f"It is {_VALUE} W (limit {config.power_limit_w:g} W).",
        )
    yield Alert(
        "PyinfercostServerDown",
        f"{metric('up')} == 0",
        0,
        0,
        "critical",
        f"The server of {_MODEL} does not answer",
        "Its observer cannot read it. Reserved time is paid for all the same.",
    )
    yield Alert(
        "PyinfercostObserverDown",
        f'up{{job="{config.job}"}} == 0',
        0,
        0,
        "warning",
        "The observer {{ $labels.instance }} does not answer",
        "Prometheus cannot scrape it: cost, energy and predictions are unknown meanwhile.",
    )
    window = f"[{duration(20 * i)}]"
    yield Alert(
        "PyinfercostObserverFailing",
        f"increase({metric('exporter_errors')}{window}) > 0\n"
        f"or increase({metric('dropped_records')}{window}) > 0\n"
        f"or increase({metric('scrapes', outcome='error')}{window}) > 0",
        0,
        0,
        "warning",
        f"The observer of {_MODEL} fails",
        "It could not read the server, deliver figures, or keep records. Its log has the first failure of each kind.",
    )

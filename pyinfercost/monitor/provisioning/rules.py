"""Recording and alert rules of Prometheus.

A new alert is an `Alert` here, its threshold in `settings.py`, and cases in tests that raise it and that do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ...results.live_figures import ratio_of
from .queries import duration, last_hour, metric, recorded_rules
from .settings import MonitorConfig

_MODEL = "{{ $labels.model }}"
_PART = "{{ $labels.part }}"
_VALUE = "{{ $value | humanize }}"
_SHARE = "{{ $value | humanizePercentage }}"

# A ratio of times needs some: of 1 % of the time between two scrapes.
_LEAST_LOAD = 0.01


class Alert(NamedTuple):
    """A rule that raises an alert.

    Attributes:
        name: Its name.
        expression: Condition that is true while it is raised.
        for_s: How long it must be true before.
        keep_s: How long it stays raised after that, so that one good reading between two bad ones does not end it.
        severity: `critical`: users get no answers; `warning`: money or time is lost; `info`: a plan is out of date.
        summary: One sentence.
        description: The measured figure, and where to look.
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

    The group of slowdowns is evaluated four times in a scrape interval. A slowdown by a factor of 1.5 raises a ratio
    above 1.25 if it fills more than half of the time that the ratio is of. Between two scrapes, that is so at the
    latest 1.5 intervals after it began, and the evaluation adds a quarter. `measured_to_first` is of the time between
    two scrapes, too, or, with a sidecar, of the last 10 seconds, if the interval is not shorter.
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
                "rules": [
                    _rule(alert) for alert in (*_of_money(config), *_of_machines(config), *_of_observers(config))
                ],
            },
        ]
    }


def _rule(alert: Alert) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": alert.name, "expr": alert.expression}
    if alert.for_s:
        rule["for"] = duration(alert.for_s)
    if alert.keep_s:
        rule["keep_firing_for"] = duration(alert.keep_s)
    return {
        **rule,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "description": alert.description},
    }


def _slowdowns(config: MonitorConfig) -> Iterator[Alert]:
    interval = config.scrape_interval_s
    yield Alert(
        "PyinfercostSlowdown",
        f"{metric('measured_to_first')} > {config.slowdown:g}",
        0,
        4 * interval,
        "warning",
        f"{_MODEL} is slower than it was at the start ({_PART})",
        f"Its measured time, divided by the predicted one, is {_VALUE} times the ratio at the start of the observer "
        f"(limit {config.slowdown:g}). Look for other load on the machine, a lower clock, a new version.",
    )
    # `irate` takes the last two samples, both of the same two scrapes: their ratio is the ratio of the increases
    # between them, without the extrapolation of `increase`, and a failed scrape only delays it.
    last = f"[{duration(4 * interval)}]"
    measured, predicted, low, high = (
        f"irate({metric(key)}{last})" for key in ("measured_s", "predicted_s", "predicted_low_s", "predicted_high_s")
    )
    if config.band is not None:
        low, high = (f"{ratio:g} * {predicted}" for ratio in config.band)
    enough = f"\nand {measured} > {_LEAST_LOAD}"
    yield Alert(
        "PyinfercostSlowerThanPredicted",
        f"{measured} / ({predicted} > 0)\nand {measured} > {high}{enough}",
        0,
        4 * interval,
        "warning",
        f"{_MODEL} is slower than predicted ({_PART})",
        f"Between the last two scrapes its measured time was {_VALUE} times the predicted one, above the band of the "
        "prediction.",
    )
    yield Alert(
        "PyinfercostFasterThanPredicted",
        f"{measured} / ({predicted} > 0)\nand {measured} < {low}{enough}",
        40 * interval,
        0,
        "info",
        f"{_MODEL} is faster than predicted ({_PART})",
        f"Its measured time is {_VALUE} times the predicted one and stays below the band of the prediction. "
        "Calibrate: the plan can be cheaper.",
    )


def _others(config: MonitorConfig) -> Iterator[Alert]:
    yield from _of_money(config)
    yield from _of_machines(config)
    yield from _of_observers(config)


def _of_money(config: MonitorConfig) -> Iterator[Alert]:
    i = config.scrape_interval_s
    above, percent = 1.0 + config.plan_tolerance, f"{100 * config.plan_tolerance:.4g} %"
    figure = ratio_of("cost_usd", "output_tokens")
    given = getattr(config, f"plan_{figure.key}")
    plan = f"max by (job, model) ({metric(f'planned_{figure.key}')})" if given is None else f"{given:g}"
    yield Alert(
        "PyinfercostCostAbovePlan",
        f"{last_hour(figure)} > {above:g} * {plan}",
        4 * i,
        0,
        "warning",
        f"{_MODEL} costs more than planned",
        f"10^6 generated tokens cost {_VALUE} USD in the last hour, which exceeds the plan by more than {percent}.",
    )
    yield Alert(
        "PyinfercostSpendAbovePlan",
        f"model:pyinfercost_cost_usd_per_hour:rate > {above:g} * max by (job, model) ({metric('planned_usd_per_h')})",
        20 * i,
        0,
        "warning",
        f"{_MODEL} spends more than planned in this hour",
        f"Its replicas cost {_VALUE} USD per hour, which exceeds the plan of this hour of the week by more than "
        f"{percent}.",
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
        f"model:pyinfercost_cold_starts:increase1h > {config.cold_starts_per_h:g}",
        0,
        0,
        "warning",
        f"Replicas of {_MODEL} start often",
        f"There were {_VALUE} cold starts in the last hour (limit {config.cold_starts_per_h:g}): scale down later, or "
        "keep one replica warm.",
    )


def _of_machines(config: MonitorConfig) -> Iterator[Alert]:
    i = config.scrape_interval_s
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
    # A server that has not answered yet starts: that is an alert if it lasts long.
    up = metric("up")
    yield Alert(
        "PyinfercostServerDown",
        f"({up} == 0 and max_over_time({up}[1h]) > 0)\nor (max_over_time({up}[30m]) == 0 and {up} offset 30m == 0)",
        2 * i,
        0,
        "critical",
        f"The server of {_MODEL} does not answer",
        "Its observer cannot read it. Reserved time is paid for all the same.",
    )


def _of_observers(config: MonitorConfig) -> Iterator[Alert]:
    i = config.scrape_interval_s
    yield Alert(
        "PyinfercostObserverDown",
        f'up{{job="{config.job}"}} == 0',
        2 * i,
        0,
        "warning",
        "The observer {{ $labels.instance }} does not answer",
        "Prometheus cannot scrape it: cost, energy and predictions are unknown meanwhile.",
    )
    yield Alert(
        "PyinfercostObserverAbsent",
        f'absent(up{{job="{config.job}"}})',
        8 * i,
        0,
        "warning",
        "Prometheus scrapes no observer",
        f"No target has the job {config.job}: cost, energy and predictions are unknown.",
    )
    window = duration(20 * i)
    failures = (metric("exporter_errors"), metric("dropped_records"), metric("scrapes", outcome="partial"))
    yield Alert(
        "PyinfercostObserverFailing",
        "\nor ".join(f"increase({each}[{window}]) > 0" for each in failures),
        0,
        0,
        "warning",
        f"The observer of {_MODEL} fails",
        "It could not read the whole page of the server, deliver figures, or keep records. Its log has the first "
        "failure of each kind.",
    )

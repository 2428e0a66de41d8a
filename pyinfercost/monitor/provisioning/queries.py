"""Queries of Prometheus over the figures of the catalog, and the recorded ones that rules and dashboards share."""

from __future__ import annotations

import re
from typing import NamedTuple

from ...results.live_figures import HISTOGRAM, LIVE_FIGURES, LiveFigure, ratio_of
from ..metric_names import PREFIX, prometheus_name
from .settings import MonitorConfig

_PARTS_OF_A_HISTOGRAM = ("_bucket", "_sum", "_count")
_NAMES = {prometheus_name(figure): key for key, figure in LIVE_FIGURES.items()}
_SERIES = re.compile(rf"(?:\w+:)?{PREFIX}_\w+(?::\w+)?")
_MS = 1000


def duration(seconds: float) -> str:
    """Return a duration as Prometheus writes it: `15s`, `500ms`."""
    ms = round(seconds * _MS)
    return f"{ms // _MS}s" if ms % _MS == 0 else f"{ms}ms"


def metric(key: str, *, part: str = "", **labels: str) -> str:
    """Return the series of a figure: `pyinfercost_requests_total{outcome="ok"}`.

    Args:
        key: Its key in the catalog.
        part: Of a histogram `"_bucket"`, `"_sum"` or `"_count"`.
        **labels: Values that its labels must have; one that begins with `$` is a variable of Grafana.
    """
    figure = LIVE_FIGURES[key]
    allowed = {"model", *figure.labels}
    found = ",".join(f'{name}="{text}"' for name, text in labels.items() if name in allowed)
    return prometheus_name(figure) + part + (f"{{{found}}}" if found else "")


def keys_in(expression: str) -> list[str]:
    """Return the keys of the figures that an expression reads, also through recorded series.

    Raises:
        KeyError: It reads a series of this package that nothing exports or records.
    """
    found: list[str] = []
    recorded = {rule.name: rule.expression for rule in recorded_rules(MonitorConfig())}
    for name in _SERIES.findall(expression):
        if name in recorded:
            found += keys_in(recorded[name])
        elif name != f"{PREFIX}_info":
            found.append(_key_of(name))
    return list(dict.fromkeys(found))


def _key_of(name: str) -> str:
    for part in _PARTS_OF_A_HISTOGRAM:
        key = _NAMES.get(name.removesuffix(part), "")
        if name.endswith(part) and key and LIVE_FIGURES[key].kind == HISTOGRAM:
            return key
    return _NAMES[name]


# `increase` does not count the first value of a series: a replica that starts once and ends has one value, 1. A series
# that is new within the hour adds a start, unless Prometheus itself, or its view of the job, is as new.
_STARTS = metric("cold_starts")
_NEW = f"clamp_max(last_over_time({_STARTS}[1h]) unless {_STARTS} offset 1h, 1)"
COLD_STARTS = (
    "sum by (job, model) (\n"
    f"  (increase({_STARTS}[1h]) + ({_NEW} and on (job) up offset 1h))\n"
    f"  or increase({_STARTS}[1h])\n"
    ")"
)
"""Cold starts of all replicas of a model in the last hour."""


class Recorded(NamedTuple):
    """A recorded series.

    Attributes:
        name: Its name, by the convention `level:metric:operations`.
        expression: The recorded expression.
    """

    name: str
    expression: str


def last_hour(figure: LiveFigure) -> str:
    """Return the recorded series of a ratio over the last hour."""
    return f"model:{prometheus_name(figure)}:increase1h"


def recorded_rules(config: MonitorConfig) -> list[Recorded]:
    """Return the recorded series: sums over the replicas of a model, and ratios of such sums."""
    window = f"[{duration(4 * config.scrape_interval_s)}]"

    def total(key: str, over: str, by: str = "job, model", **labels: str) -> str:
        return f"sum by ({by}) ({over}({metric(key, **labels)}{window if over == 'rate' else '[1h]'}))"

    parts = "job, model, part"
    predicted = total("predicted_s", "rate", parts)
    measured = "model:pyinfercost_measured_to_predicted:rate"

    def end(key: str, place: int) -> str:
        if config.band is not None:
            return f"0 * {measured} + {config.band[place]:g}"
        return f"{total(key, 'rate', parts)}\n  / ({predicted} > 0)"

    def over_hour(counter: str) -> Recorded:
        figure = ratio_of(counter, "output_tokens")
        factor = f"{figure.ratio.factor:.0f} * " if figure.ratio is not None and figure.ratio.factor != 1 else ""
        quotient = f"{total(counter, 'increase')}\n  / ({total('output_tokens', 'increase')} > 0)"
        return Recorded(last_hour(figure), factor + quotient)

    return [
        Recorded("model:pyinfercost_requests:rate", total("requests", "rate")),
        Recorded("model:pyinfercost_output_tokens:rate", total("output_tokens", "rate")),
        Recorded("model:pyinfercost_cost_usd_per_hour:rate", f"3600 * {total('cost_usd', 'rate')}"),
        over_hour("cost_usd"),
        Recorded(
            "model:pyinfercost_idle_ratio:increase1h",
            f"{total('reserved_s', 'increase', use='idle')}\n  / ({total('reserved_s', 'increase')} > 0)",
        ),
        Recorded(measured, f"{total('measured_s', 'rate', parts)}\n  / ({predicted} > 0)"),
        Recorded("model:pyinfercost_low_to_predicted:rate", end("predicted_low_s", 0)),
        Recorded("model:pyinfercost_high_to_predicted:rate", end("predicted_high_s", 1)),
        Recorded("model:pyinfercost_cold_starts:increase1h", COLD_STARTS),
        over_hour("energy_j"),
    ]

"""The document and the rows of the last hours of a live model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..results.live import Series
from ..results.live_figures import OUTCOMES, USES
from ..results.live_history import PLAN_TOLERANCE, of_uses
from .documents import SCHEMA_VERSION
from .live_lines import alerts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..results.live_history import Interval, LiveHistory

PERCENTS = (50, 90, 99)
"""Percentiles of latencies."""

LATENCIES = ("ttft_s", "tpot_s", "request_s", "queue_wait_s")
"""Histograms that a history keeps."""

_GAUGES = (
    "in_flight",
    "waiting",
    "kv_cache_use_share",
    "mfu_share",
    "mbu_share",
    "replicas",
    "price_usd_per_h",
    "planned_usd_per_h",
    "planned_requests_per_s",
    "planned_replicas",
    "planned_usd_per_million_tokens",
    "up",
)
_DIGITS = 7


def _percentile(figure: str, percent: int) -> Callable[[Interval], float | None]:
    return lambda interval: interval.percentile(figure, percent)


def _gauge(figure: str) -> Callable[[Interval], float | None]:
    return lambda interval: interval.gauge(figure)


def _money(use: str) -> Callable[[Interval], float | None]:
    return lambda interval: interval.usd_per_h(use)


def _rate(figure: str) -> Callable[[Interval], float | None]:
    return lambda interval: interval.per_s(figure)


def _ratio(figure: str) -> Callable[[Interval], float | None]:
    return lambda interval: interval.to_predicted(figure)


_FIGURES: dict[str, Callable[[Interval], float | None]] = {
    "usd_per_h": lambda interval: interval.usd_per_h(),
    **{f"{use}_usd_per_h": _money(use) for use in USES},
    "requests_per_s": _rate("requests"),
    "failed_per_s": lambda interval: interval.failed_per_s,
    "items_per_s": _rate("items"),
    "prompt_tokens_per_s": _rate("prompt_tokens"),
    "output_tokens_per_s": _rate("output_tokens"),
    **{f"{name[:-2]}_p{percent}_s": _percentile(name, percent) for name in LATENCIES for percent in PERCENTS},
    "busy_share": lambda interval: interval.busy_share,
    "power_w": lambda interval: interval.power_w,
    "measured_to_predicted": _ratio("measured_s"),
    "predicted_low": _ratio("predicted_low_s"),
    "predicted_high": _ratio("predicted_high_s"),
    "measured_to_first": lambda interval: interval.measured_to_first,
    "usd_per_million_tokens": lambda interval: interval.usd_per_million_tokens,
    "usd_per_request": lambda interval: interval.usd_per_request,
    "joules_per_token": lambda interval: interval.joules_per_token,
    **{name: _gauge(name) for name in _GAUGES},
}
COLUMNS = ("number", "start_s", "end_s", "known", "reason", *_FIGURES)
"""Columns of the rows of intervals."""

_COUNTS = (
    "items",
    "prompt_tokens",
    "cached_prompt_tokens",
    "output_tokens",
    "energy_j",
    "preemptions",
    "cold_starts",
    "restarts",
    "dropped_records",
)


def history_rows(history: LiveHistory) -> list[dict[str, Any]]:
    """Return a row for each interval."""
    return [
        {
            "number": each.number,
            "start_s": each.start_s,
            "end_s": each.end_s,
            "known": each.known,
            "reason": each.reason or None,
            **_figures(each),
        }
        for each in history.intervals
    ]


def history_document(history: LiveHistory) -> dict[str, Any]:
    """Return the JSON object of the last hours.

    Rows are lists in the order of `columns`, their figures with seven digits; `whole` and `lately` are exact.
    """
    rows = [
        [
            *(each.number, round(each.start_s, 3), round(each.end_s, 3), each.known, each.reason or None),
            *map(_rounded, _figures(each).values()),
        ]
        for each in history.intervals
    ]
    latest = history.latest
    return {
        "schema_version": SCHEMA_VERSION,
        "live_history": {
            "model": history.info.get("model"),
            "info": dict(history.info),
            "state": history.state,
            "failure": history.failure or None,
            "alerts": alerts_of(history),
            "notes": [] if latest is None else list(latest.notes),
            "identity": history.identity,
            "last": history.last,
            "interval_s": history.interval_s,
            "plan_tolerance": PLAN_TOLERANCE,
            "hours": history.hours,
            "now_s": history.now_s,
            "age_s": history.age_s,
            "whole": None if history.whole is None else _totals(history.whole),
            "lately": None if history.lately is None else _totals(history.lately),
            "parts": parts_of(history),
            "columns": list(COLUMNS),
            "rows": rows,
        },
    }


def parts_of(history: LiveHistory) -> list[dict[str, Any]]:
    """Return a row for each part that has a prediction: of all hours, of the last minutes, and the drift."""
    whole, lately = history.whole, history.lately
    if whole is None or lately is None:
        return []
    drifts = {} if history.latest is None else history.latest.values
    return [
        {
            "part": part,
            "measured_s": whole.count("measured_s", part),
            "predicted_s": whole.count("predicted_s", part),
            "measured_to_predicted": whole.to_predicted("measured_s", part),
            "predicted_low": whole.to_predicted("predicted_low_s", part),
            "predicted_high": whole.to_predicted("predicted_high_s", part),
            "in_band": whole.in_band(part),
            "lately": lately.to_predicted("measured_s", part),
            "lately_in_band": lately.in_band(part),
            "measured_to_first": drifts.get(Series("measured_to_first", (("part", part),))),
        }
        for part in whole.parts
    ]


def _figures(interval: Interval) -> dict[str, float | None]:
    return {name: found(interval) for name, found in _FIGURES.items()}


def _totals(interval: Interval) -> dict[str, Any]:
    """Return the figures of a joined interval, and its counts."""
    return {
        "start_s": interval.start_s,
        "end_s": interval.end_s,
        "duration_s": interval.duration_s,
        "known": interval.known,
        "unknown_s": interval.unknown_s,
        "requests": {outcome: interval.count("requests", outcome) for outcome in OUTCOMES},
        **{name: interval.count(name) for name in _COUNTS},
        "cost_usd": of_uses(interval, "cost_usd"),
        "reserved_s": of_uses(interval, "reserved_s"),
        **_figures(interval),
        "in_band": interval.in_band(),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")

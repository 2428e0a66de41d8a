"""The document and the rows of the last hours of a live model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..results.live import Series
from ..results.live_figures import OUTCOMES, PLANNED, USES
from ..results.live_history import PLAN_TOLERANCE, Interval, of_uses
from .derived import columns_of, row_of, whole_document
from .live_lines import alerts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..results.live_history import LiveHistory

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
    *(f"planned_{name}" for name in PLANNED),
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
    "items_per_s": _rate("items"),
    "prompt_tokens_per_s": _rate("prompt_tokens"),
    "output_tokens_per_s": _rate("output_tokens"),
    **{f"{name[:-2]}_p{percent}_s": _percentile(name, percent) for name in LATENCIES for percent in PERCENTS},
    "measured_to_predicted": _ratio("measured_s"),
    "predicted_low": _ratio("predicted_low_s"),
    "predicted_high": _ratio("predicted_high_s"),
    **{name: _gauge(name) for name in _GAUGES},
}
COLUMNS = (*columns_of(Interval), *_FIGURES)
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
    return [row_of(each) | _figures(each) for each in history.intervals]


def history_document(history: LiveHistory) -> dict[str, Any]:
    """Return the JSON object of the last hours.

    Rows are lists in the order of `columns`, their figures with seven digits; `whole` and `lately` are exact.
    """
    found = whole_document(history)
    own = found["live_history"]
    for name, interval in (("whole", history.whole), ("lately", history.lately)):
        if interval is not None:
            own[name] |= _totals(interval)
    own |= {
        "model": history.info.get("model"),
        "alerts": alerts_of(history),
        "notes": [] if history.latest is None else list(history.latest.notes),
        "plan_tolerance": PLAN_TOLERANCE,
        "parts": parts_of(history),
        "columns": list(COLUMNS),
        "rows": [[_rounded(*cell) for cell in row.items()] for row in history_rows(history)],
    }
    return found


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
    """Return the additional figures of a joined interval: counts, and the figures of columns."""
    return {
        "requests": {outcome: interval.count("requests", outcome) for outcome in OUTCOMES},
        **{name: interval.count(name) for name in _COUNTS},
        "cost_usd": of_uses(interval, "cost_usd"),
        "reserved_s": of_uses(interval, "reserved_s"),
        **_figures(interval),
        "in_band": interval.in_band(),
    }


def _rounded(name: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return round(value, 3) if name in ("start_s", "end_s") else float(f"{value:.{_DIGITS}g}")

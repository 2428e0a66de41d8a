"""The figures of the last minutes of a live model, one line for each, with its reference."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from .._escapes import visible
from ..results.live_history import PLAN_TOLERANCE, Interval, of_uses
from ..results.units import quantity, significant
from .derived import headline_of
from .layout import ALARM

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..results.live_history import LiveHistory

    Curve = Callable[[Interval], float | None]
    Show = Callable[[float], str]

_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3600.0, 86_400.0
_FEW = 1.5  # units of a time below which the smaller unit is shown
_NEAR = 0.005
_SHORT_S = 0.5  # shown as 0 s
_THOUSAND = 1000
_FAILED = 0.01
_FEW_PARTS = 3
_TO_PREDICTED = "measured/predicted"
_STATES = {"live": "bold", "waiting": "bold", "stale": ALARM, "down": ALARM}


@dataclass(frozen=True)
class Line:
    """A figure of the last minutes.

    Attributes:
        name: Its name.
        now: Its value in the last minutes, with the unit.
        curve: Its value in an interval.
        show: Its value as text.
        compared: Its reference: the plan or the band.
        alarming: Whether it is worse than that.
        rank: Lines with the largest rank are left out first where there is no room.
    """

    name: str
    now: str
    curve: Curve
    show: Show
    compared: str = ""
    alarming: bool = False
    rank: int = 0


@dataclass(frozen=True)
class _Row:
    name: str
    rank: int
    curve: Curve
    show: Show
    compared: Callable[[Interval], tuple[str, bool]] = lambda _: ("", False)
    before: Curve | None = None  # another value that is shown before it


def lines_of(history: LiveHistory) -> list[Line]:
    """Return the figures that are known of the last minutes, in their order."""
    now = history.lately
    found: list[Line] = []
    if now is None:
        return found
    for row in _rows(now):
        value = row.curve(now)
        if value is not None:
            before = row.before(now) if row.before else None
            text = row.show(value) if before is None else _pair(row.show(before), row.show(value))
            compared, alarming = row.compared(now)
            found.append(Line(row.name, text, row.curve, row.show, compared, alarming, row.rank))
    return found


def _rows(now: Interval) -> list[_Row]:
    """Return the rows; times of a few parts, such as those to the first token and per token, have one row for each."""
    if not 1 < len(now.parts) <= _FEW_PARTS:
        return list(_ROWS)
    found: list[_Row] = []
    for row in _ROWS:
        found += map(_row_of_part, now.parts) if row.name == _TO_PREDICTED else [row]
    return found


def _row_of_part(part: str) -> _Row:
    def compared(interval: Interval) -> tuple[str, bool]:
        ends = (interval.to_predicted(name, part) for name in ("predicted_low_s", "predicted_high_s"))
        outside = interval.in_band(part) is False
        return f"{'OUTSIDE' if outside else 'band'} {band_text(*ends)}", outside

    name = f"{_TO_PREDICTED} {visible(part)}"
    return _Row(name, 0, lambda interval: interval.to_predicted(part=part), ratio_text, compared)


def _pair(one: str, other: str) -> str:
    """Return two quantities, with the unit once if it is the same: `13.2 / 19.3 ms`, `0 / 19.3 ms`."""
    number, _, unit = one.rpartition(" ")
    return f"{number} / {other}" if other.endswith(f" {unit}") else f"{one} / {other}"


def alerts_of(history: LiveHistory) -> list[str]:
    """Return what needs a look: figures of the last minutes that are worse than the plan or the band, then events."""
    now = history.lately
    if now is None:
        return []
    lines = [f"{line.name}: {line.now}, {line.compared}" for line in lines_of(history) if line.alarming]
    return [*lines, *events_of(history)]


def events_of(history: LiveHistory) -> list[str]:
    """Return the failures of the last minutes: restarts, and failures of the observer."""
    now = history.lately
    if now is None:
        return []
    counts = {
        "restarts of the observed server": now.count("restarts"),
        "readings of the server that failed": now.count("scrapes", "error"),
        "records that were not kept": now.count("dropped_records"),
        "deliveries of exporters that failed": now.count("exporter_errors"),
    }
    when = f"in the last {duration_text(now.duration_s)}"
    return [f"{what} {when}: {short(count)}" for what, count in counts.items() if count]


def state_text(history: LiveHistory) -> tuple[str, str]:
    """Return the state in words, and its style."""
    age = "" if history.age_s is None else f"newest sample {duration_text(history.age_s)} old"
    words = {
        "live": f"live, {age}" + ("" if history.intervals else f"; {_begins(history)}"),
        "waiting": f"waiting for the first sample; {_begins(history)}",
        "stale": f"STALE: {age}",
        "down": f"observed server does NOT answer; {age}",
    }[history.state]
    failed = f"; {visible(history.failure)}" if history.failure else ""
    return words + failed, _STATES[history.state]


def _begins(history: LiveHistory) -> str:
    return f"rates need two samples, {duration_text(history.interval_s)} apart"


def about_text(history: LiveHistory) -> str:
    """Return where the model runs."""
    info = history.info
    parts = [f"on {info['hardware']}" if info.get("hardware") else ""]
    parts += [info.get(name, "") for name in ("engine", "precision", "layout", "observer")]
    return visible(", ".join(filter(None, parts)))


def spent_text(history: LiveHistory) -> str:
    """Return the money of the last hours by use; empty if it is unknown."""
    whole = history.whole
    if whole is None or whole.count("cost_usd") is None:
        return ""
    uses = ", ".join(f"{use} {short(usd)}" for use, usd in of_uses(whole, "cost_usd").items() if usd)
    return f"{short(whole.count('cost_usd') or 0.0)} USD in {duration_text(whole.duration_s)}" + (
        f" ({uses})" if uses else ""
    )


def unknown_text(history: LiveHistory) -> str:
    """Return for how long rates are not known and why; empty if they are."""
    whole = history.whole
    if whole is None or whole.unknown_s < _SHORT_S:
        return ""
    reasons = dict.fromkeys(each.reason for each in history.intervals if each.reason)
    return f"without data: {duration_text(whole.unknown_s)} ({'; '.join(reasons) or whole.reason})"


def duration_text(seconds: float) -> str:
    """Return a time in its largest unit: `12 s`, `5 min`, `3.2 h`, `2.1 days`."""
    if seconds < _FEW * _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < _FEW * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h" if seconds < 2 * _DAY_S else f"{seconds / _DAY_S:.1f} days"


def short(value: float) -> str:
    """Return a number with three significant digits, in whole numbers from 1,000."""
    if abs(value) >= _THOUSAND:
        return f"{value:,.0f}"
    text = significant(float(f"{value:.3g}"))
    return text.rstrip("0").rstrip(".") if "." in text else text


def ratio_text(value: float | None) -> str:
    """Return a ratio with two decimals; empty if it is unknown."""
    return "" if value is None else f"{value:.2f}"


def band_text(low: float | None, high: float | None) -> str:
    """Return the band of a ratio; empty if it is unknown."""
    return "" if low is None or high is None else f"{low:.2f} to {high:.2f}"


def _unit(unit: str) -> Show:
    return lambda value: f"{short(value)} {unit}"


def _quantity(unit: str) -> Show:
    def show(value: float) -> str:
        text, space, scaled = quantity(float(f"{value:.3g}"), unit).partition(" ")
        return f"{text.rstrip('0').rstrip('.') if '.' in text else text}{space}{scaled}"

    return show


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _rate(figure: str) -> Curve:
    return lambda interval: interval.per_s(figure)


def _gauge(figure: str) -> Curve:
    return lambda interval: interval.gauge(figure)


def _percentile(figure: str, percent: float) -> Curve:
    return lambda interval: interval.percentile(figure, percent)


def _planned(curve: Curve, plan: str, *, costs: bool = False) -> Callable[[Interval], tuple[str, bool]]:
    """Return the comparison with a gauge of the plan; more is alarming where it costs."""

    def compared(interval: Interval) -> tuple[str, bool]:
        value, planned = curve(interval), interval.gauge(plan)
        if value is None or not planned:
            return "", False
        more = value / planned - 1
        change = f" ({100 * more:+.0f} %)" if abs(more) >= _NEAR else ""
        return f"plan {short(planned)}{change}", costs and more > PLAN_TOLERANCE

    return compared


def _requests(interval: Interval) -> tuple[str, bool]:
    rate, failed = interval.per_s("requests"), interval.failed_per_s
    if rate and failed and failed / rate > _FAILED:
        return f"{_share(failed / rate)} failed", True
    return _planned(_rate("requests"), "planned_requests_per_s")(interval)


def _uses(interval: Interval) -> tuple[str, bool]:
    reserved = of_uses(interval, "reserved_s")
    paid = sum(reserved.values())
    others = [f"{use} {_share(seconds / paid)}" for use, seconds in reserved.items() if use != "busy" and seconds]
    return ", ".join(others), False


def _predicted(interval: Interval) -> tuple[str, bool]:
    text = band_text(interval.to_predicted("predicted_low_s"), interval.to_predicted("predicted_high_s"))
    outside = interval.in_band() is False
    if not outside and len(interval.parts) > 1:  # a part may be outside where the sum is not
        found = [part for part in interval.parts if interval.in_band(part) is False]
        if found:
            return f"OUTSIDE: {visible(', '.join(found))}", True
    return (f"{'OUTSIDE' if outside else 'band'} {text}" if text else ""), outside


_TOKENS = headline_of(Interval)
_per_tokens: Curve = attrgetter(_TOKENS.name)


def _usd_per_thousand(interval: Interval) -> float | None:
    each = interval.usd_per_request
    return None if each is None or _per_tokens(interval) is not None else _THOUSAND * each


def _items(interval: Interval) -> float | None:
    return interval.per_s("items") or None


def _latency(name: str, figure: str, rank: int) -> _Row:
    return _Row(f"{name} p50/p99", rank, _percentile(figure, 99), _quantity("s"), before=_percentile(figure, 50))


_ROWS = (
    _Row(
        "cost",
        0,
        lambda each: each.usd_per_h(),
        _unit("USD/h"),
        _planned(lambda each: each.usd_per_h(), "planned_usd_per_h", costs=True),
    ),
    _Row(
        "cost per 1M tokens",
        3,
        _per_tokens,
        _unit("USD"),
        _planned(_per_tokens, f"planned_{_TOKENS.name}", costs=True),
    ),
    _Row("cost per 1k requests", 3, _usd_per_thousand, _unit("USD")),
    _Row("requests", 0, _rate("requests"), _unit("/s"), _requests),
    _Row("output tokens", 2, _rate("output_tokens"), _unit("/s")),
    _Row("prompt tokens", 6, _rate("prompt_tokens"), _unit("/s")),
    _Row("items", 4, _items, _unit("/s")),
    _latency("TTFT", "ttft_s", 1),
    _latency("TPOT", "tpot_s", 1),
    _latency("request", "request_s", 3),
    _latency("wait", "queue_wait_s", 8),
    _Row("busy", 0, lambda each: each.busy_share, _share, _uses),
    _Row("MFU", 5, _gauge("mfu_share"), _share),
    _Row("MBU", 5, _gauge("mbu_share"), _share),
    _Row(_TO_PREDICTED, 0, lambda each: each.to_predicted(), ratio_text, _predicted),
    _Row("drift", 4, lambda each: each.measured_to_first, ratio_text),
    _Row("in service", 4, _gauge("in_flight"), short),
    _Row("waiting", 4, _gauge("waiting"), short),
    _Row("KV cache", 3, _gauge("kv_cache_use_share"), _share),
    _Row("power", 3, lambda each: each.power_w, _quantity("W")),
    _Row("replicas", 7, _gauge("replicas"), short, _planned(_gauge("replicas"), "planned_replicas")),
)

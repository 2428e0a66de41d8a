"""Records of a monitor's log: lines of JSON that begin a run or hold an interval of it.

A `run` record describes an observer since its start; the `interval` records that follow have the change of its
counters, its gauges and the values of its distributions since the record before. Each record names its run, so that
several processes may write into one file.

Privacy: requests are written as columns of times and sizes (`RequestColumns`). The only texts are `INFO` and notes,
from which addresses are removed; runs are named by a hash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2s
from math import isfinite
from typing import TYPE_CHECKING, Any

from .._checks import ANY_AMOUNT, Fields, Range, shown
from ..errors import InputError
from ..results.live import Distribution, Series, Snapshot
from ..results.live_figures import HISTOGRAM, LIVE_FIGURES, OUTCOMES
from .request_columns import RequestColumns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEMA_VERSION = 1
RUN, INTERVAL = "run", "interval"

INFO = ("model", "hardware", "engine", "precision", "layout", "observer")
"""Keys of `Snapshot.info` that are written."""

TIME = Range(0.0, 1e11, "s since 1970")
DATES = Range(-6e10, 2.5e11, "s since 1970")  # of years that Python's dates have: 69 to 9892
_US = 1e6
_UNKNOWN_US = -1
_DIGITS = 7  # of bounds of intervals, whose ends are then equal in all records
_INFINITE = float("inf")
_NUMBERS = ("prompt_tokens", "output_tokens", "items", "outcome")
_AFTER = ("start_s", "first_token_s", "end_s")  # written as time since the arrival

# URLs, addresses of IPv4 and of IPv6, and names with a port.
_ADDRESS = re.compile(
    r"\w+://\S+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\[?\b(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}\]?(?::\d+)?"
    r"|\b[\w-]+(?:\.[\w-]+)+:\d+\b|\blocalhost(?::\d+)?\b|[\w.+-]+@[\w-]+\.[\w.]+",
    re.IGNORECASE,
)


class RecordError(InputError):
    """A line of a log that is no record."""


def without_addresses(text: str) -> str:
    """Return a text in which URLs, addresses and names of hosts with a port are replaced."""
    return _ADDRESS.sub("<address>", text)


def run_name(run: str, *parts: object) -> str:
    """Return the name of a run in a log: a hash of the identity of the observer, which may have the name of a host."""
    return blake2s("\0".join([run, *map(str, parts)]).encode(errors="replace"), digest_size=8).hexdigest()


def line_of(record: Mapping[str, Any]) -> bytes:
    """Return a record as one line."""
    return json.dumps(record, separators=(",", ":"), allow_nan=False, default=str).encode() + b"\n"


# ---- writing ---------------------------------------------------------------------------------------------------------


def change_record(
    run: str, from_s: float, change: Snapshot, requests: RequestColumns | None, notes: Sequence[str]
) -> dict[str, Any]:
    """Return the record of an interval.

    Args:
        run: Name of the run.
        from_s: Unix time of the begin; the snapshot has the end.
        change: Change of counters and distributions, and gauges at the end.
        requests: Requests that ended.
        notes: Notes to write.
    """
    record: dict[str, Any] = {
        "record": INTERVAL,
        "run": run,
        "from_s": round(from_s, 6),
        "to_s": round(change.time_s, 6),
        "values": [
            [each.figure, *(value for _, value in each.labels), _plain(value)]
            for each, value in change.values.items()
            if isfinite(value) and (value or LIVE_FIGURES[each.figure].kind != "counter")
        ],
        "distributions": [
            [each.figure, *(value for _, value in each.labels), _sparse(value)]
            for each, value in change.distributions.items()
            if value.count
        ],
    }
    if requests is not None and len(requests):
        record["requests"] = _columns(requests)
    if notes:
        record["notes"] = [without_addresses(each) for each in notes]
    return record


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _sparse(values: Distribution) -> dict[str, Any]:
    """Return the intervals with values as lower bound, upper bound (null: none) and count."""
    lowers = (0.0, *values.bounds)
    uppers = (*values.bounds, None)
    return {
        "total": _plain(values.total),
        "counts": [
            [_rounded(lower), None if upper is None else _rounded(upper), count]
            for lower, upper, count in zip(lowers, uppers, values.counts, strict=True)
            if count
        ],
    }


def _rounded(bound: float) -> float:
    return float(f"{bound:.{_DIGITS}g}")


def _columns(requests: RequestColumns) -> dict[str, Any]:
    """Return columns as whole numbers: microseconds since the request before, or since the arrival."""
    import numpy as np

    ordered = requests.chosen(np.argsort(requests.arrival_s, kind="stable"))
    arrival = np.rint(ordered.arrival_s * _US).astype(np.int64)
    found: dict[str, Any] = {
        "count": len(ordered),
        "base_us": int(arrival[0]),
        "arrival_us": np.diff(arrival, prepend=arrival[0]).tolist(),
    }
    for name in _AFTER:
        after = (getattr(ordered, name) - ordered.arrival_s) * _US
        # A time before the arrival comes from a clock that jumped.
        whole = np.where(np.isfinite(after), np.maximum(0.0, np.rint(np.nan_to_num(after))), _UNKNOWN_US)
        found[f"{name.removesuffix('_s')}_us"] = _short(whole.astype(np.int64))
    for name in _NUMBERS:
        found[name] = _short(getattr(ordered, name))
    return found


def _short(values: NDArray[np.int64]) -> int | list[int]:
    """Return a column as a list; one number if all are equal."""
    return int(values[0]) if (values == values[0]).all() else values.tolist()


# ---- reading ---------------------------------------------------------------------------------------------------------


def record_of(line: bytes) -> Fields:
    """Return the record of a line.

    Raises:
        RecordError: It is no JSON object, or of an unknown version.
    """
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"no JSON ({str(error)[:80]})") from None
    if not isinstance(document, dict) or document.get("record") not in (RUN, INTERVAL):
        raise RecordError(f"{shown(document)[:80]} is no record; expected an object with record, {RUN} or {INTERVAL}")
    version = document.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise RecordError(f"schema_version is {shown(version)}; expected {SCHEMA_VERSION}")
    return Fields(document, f"the {document['record']}", RecordError)


def values_of(items: object) -> tuple[dict[Series, float], int]:
    """Return the counters and gauges of a record, and the number of those that this version does not know."""
    found: dict[Series, float] = {}
    unknown = 0
    for item in _list(items, "values"):
        each = _series(item)
        if each is None or LIVE_FIGURES[each.figure].kind == HISTOGRAM:
            unknown += 1
        else:
            found[each] = _number(item[-1])
    return found, unknown


def distributions_of(items: object) -> tuple[dict[Series, Distribution], int]:
    """Return the distributions of a record, and the number of those that this version does not know."""
    found: dict[Series, Distribution] = {}
    unknown = 0
    for item in _list(items, "distributions"):
        each = _series(item)
        if each is None or LIVE_FIGURES[each.figure].kind != HISTOGRAM:
            unknown += 1
        else:
            found[each] = _dense(item[-1])
    return found, unknown


def _list(items: object, name: str) -> Iterable[list[Any]]:
    if items is None:
        return ()
    if not isinstance(items, list) or not all(isinstance(each, list) and each for each in items):
        raise RecordError(f"{name} is {shown(items)[:80]}; expected a list of lists")
    return items


def _series(item: list[Any]) -> Series | None:
    name, *labels = item[:-1] or [None]
    figure = LIVE_FIGURES.get(name) if isinstance(name, str) else None
    if figure is None or len(labels) != len(figure.labels) or not all(isinstance(each, str) for each in labels):
        return None
    return Series(figure.key, tuple(zip(figure.labels, labels, strict=True)))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not ANY_AMOUNT.has(abs(value)):
        raise RecordError(f"a value is {shown(value)[:40]}; expected {ANY_AMOUNT}")
    return float(value)


_MOST_COUNTED = 2**63  # of a counter


def _dense(document: object) -> Distribution:
    fields = Fields(document, "a distribution", RecordError).require("total", "counts")
    total = fields.number("total", Range(-1e300, 1e300))
    counts: dict[float, int] = {}
    for item in _list(dict(fields.items())["counts"], "counts"):
        counted = len(item) == 3 and isinstance(item[2], int) and not isinstance(item[2], bool)  # noqa: PLR2004
        if not counted or not 0 <= item[2] < _MOST_COUNTED:
            raise RecordError(f"an interval is {shown(item)[:40]}; expected its bounds and its count")
        lower, upper = _number(item[0]), _INFINITE if item[1] is None else _number(item[1])
        if not lower <= upper:
            raise RecordError(f"an interval is {shown(item)[:40]}; expected ascending bounds")
        if lower > 0:
            counts.setdefault(lower, 0)
        counts[upper] = counts.get(upper, 0) + item[2]
    counts.setdefault(_INFINITE, 0)
    bounds = sorted(counts)
    return Distribution(tuple(bounds[:-1]), tuple(counts[bound] for bound in bounds), float(total or 0.0))


def requests_of(document: object) -> RequestColumns | None:
    """Return the requests of a record; None without any.

    Raises:
        RecordError: Columns have different lengths, or values that are no numbers.
    """
    import numpy as np

    if document is None:
        return None
    fields = Fields(document, "requests", RecordError).require("count", "base_us", "arrival_us")
    count = fields.whole("count", Range(0, 1e9)) or 0
    base = fields.whole("base_us", Range(DATES.low * _US, DATES.high * _US)) or 0
    content = dict(fields.items())
    if not isinstance(content["arrival_us"], list):  # one number for all: a short line would fill any memory
        raise RecordError(f"arrival_us is {shown(content['arrival_us'])[:60]}; expected a list")

    def column(name: str, default: int) -> NDArray[np.int64]:
        given = content.get(name, default)
        try:
            values = np.asarray(given, dtype=np.int64) if isinstance(given, list) else np.full(count, given, np.int64)
        except (TypeError, ValueError, OverflowError):
            raise RecordError(f"{name} is {shown(given)[:60]}; expected whole numbers") from None
        if values.shape != (count,):
            raise RecordError(f"{name} has {values.size} values; expected {count}")
        return values

    arrival = base + np.cumsum(column("arrival_us", 0))
    if count and not (DATES.has(arrival.min() / _US) and DATES.has(arrival.max() / _US)):
        raise RecordError(f"a request arrives at {arrival.min() / _US:g} s; expected {DATES}")
    times = {}
    for name in _AFTER:
        after = column(f"{name.removesuffix('_s')}_us", _UNKNOWN_US)
        times[name] = np.where(after < 0, np.nan, (arrival + after) / _US)
    numbers = {name: column(name, int(name == "items")) for name in _NUMBERS}
    if (numbers["outcome"] >= len(OUTCOMES)).any():
        raise RecordError(f"outcome has a value above {len(OUTCOMES) - 1}; expected an index of {', '.join(OUTCOMES)}")
    try:
        return RequestColumns.of(arrival / _US, **times, **numbers)
    except InputError as error:
        raise RecordError(str(error)) from None

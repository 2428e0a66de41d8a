"""The log of a monitor as a workload: recorded requests, or requests drawn from its counters and distributions."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from math import isnan
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _core
from .._checks import Range, errors_of_writing, number, path_of, whole
from ..errors import InputError
from ..results.live import Distribution
from ..results.live_figures import OUTCOMES
from ..serving.binned_traces import BIN_STARTS, COUNTS, Bins, expanded
from ..serving.recorded_traces import ARRIVAL, COLUMNS, LENGTHS, NOTE_KEY, SERVICE, STAMPS
from ..sweeps.frames import ROWS_PER_GROUP, library
from .log_reader import LogError, LoggedInterval, MonitorRecording, read_log
from .log_records import DATES
from .request_columns import RequestColumns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

SCHEMA_VERSION = 1
PARQUET, CSV = (".parquet",), (".csv",)
_SEED = Range(0, 2**63 - 1)
_LENGTH_FIGURES = {"prompt_tokens": "request_prompt_tokens", "output_tokens": "request_output_tokens"}
_STREAM = 411
_DECIMALS = 6
_OK = OUTCOMES.index("ok")
_MOST_DRAWN = _MOST_BINS = 10_000_000  # rows


@dataclass(frozen=True)
class ExportedWorkload:
    """A workload that was written.

    Attributes:
        path: The file.
        form: Its trace format: `"recorded"`, or `"bins"` for counts alone.
        requests: Number of requests.
        drawn: Whether arrivals, and lengths if there are any, were drawn from counters and distributions.
        start_s: Unix time of its second 0.
        span_s: Seconds that it covers.
        notes: Assumptions and missing data.
        spec: The model as the commands accept it; empty if the log has none.
        has_lengths: Whether requests have tokens.
    """

    path: Path
    form: str
    requests: int
    drawn: bool
    start_s: float
    span_s: float
    notes: tuple[str, ...]
    spec: str = ""
    has_lengths: bool = False

    @property
    def next_commands(self) -> tuple[str, ...]:
        """Commands that use the workload."""
        path = shlex.quote(str(self.path))
        model = shlex.quote(self.spec) if self.spec else "MODEL"
        lengths = "" if self.form == "recorded" else " --prompt TOKENS --output-tokens TOKENS"
        start = f" --start-hour {self.start_hour:.4g}" if self.start_hour else ""
        plan = f"--traffic {path}{lengths} --plan --slo LIMITS{start}"
        if not self.has_lengths and self.form == "recorded":
            return (f"pyinfercost fleet --slots N,service_s=S,usd_per_h=USD {plan}",)
        replay = f"pyinfercost serve {model} -H MACHINE --engine ENGINE --trace {path}{lengths}"
        stamps = f" --calibrate-from {path}" if self.has_lengths and not self.drawn else ""
        return (f"{replay}{stamps}", f"pyinfercost fleet {model} -H MACHINE --engine ENGINE --price USD {plan}")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "schema_version": SCHEMA_VERSION,
            "workload": {
                "path": str(self.path),
                "format": self.form,
                **{
                    name: getattr(self, name)
                    for name in ("requests", "drawn", "start_s", "span_s", "start_hour", "spec")
                },
                "notes": list(self.notes),
                "next": list(self.next_commands),
            },
        }

    @property
    def start_hour(self) -> float:
        """Hour of the day, in UTC, at which it begins."""
        return self.start_s % 86_400 / 3600


@dataclass
class _Table:
    """Columns of a workload, times in seconds from its begin: rows of requests, or `bins` of them."""

    columns: dict[str, Numbers]
    requests: int
    drawn: bool
    notes: list[str]
    bins: bool = False


def export_workload(
    log: MonitorRecording | str | PathLike[str],
    path: str | PathLike[str],
    *,
    model: str | None = None,
    from_s: float | None = None,
    to_s: float | None = None,
    seed: int = 0,
) -> ExportedWorkload:
    """Write the requests of a log as a trace that `serve`, `fleet` and `calibrate_serving` read.

    Rows of requests are written as they were recorded: arrivals, tokens, times of the first and last token, items; for
    requests without tokens their time in service. Where a log has counters alone, as of a sidecar, each interval has
    as many requests as were counted, at random times of it, with lengths that are drawn from the distributions of the
    interval, prompts and answers independently. Neither has contents.

    Args:
        log: The log, or its path.
        path: The file: `.csv`, or `.parquet`, which needs pyarrow.
        model: Name of the model, of several in the log.
        from_s: Unix time from which on requests arrive; None for the begin of the log.
        to_s: Unix time before which they arrive; None for its end.
        seed: Seed of the drawn requests.

    Returns:
        The written workload, with notes on assumptions and missing data, which are in the file, too.

    Raises:
        LogError: The log has no requests in this time, or several models.
        InputError: The name of the file ends with neither `.csv` nor `.parquet`.
        FileAccessError: The file cannot be written.
        MissingLibraryError: pyarrow is not installed.
    """
    target = path_of(path)
    if target.suffix.lower() not in (*PARQUET, *CSV):
        raise InputError(f"{target} ends with {target.suffix or 'no suffix'!r}; expected .csv or .parquet")
    low = None if from_s is None else number(from_s, "from_s", DATES)
    high = None if to_s is None else number(to_s, "to_s", DATES)
    drawn_by = whole(seed, "seed", _SEED)
    read = log if isinstance(log, MonitorRecording) else read_log(log)
    recording = read.of_model(model)
    start_s = recording.start_s if low is None else low
    end_s = recording.end_s if high is None else high
    if not start_s < end_s:
        raise LogError(f"the time from {start_s:.0f} to {end_s:.0f} is empty; expected from before to")
    intervals = [each for run in recording.runs for each in run.intervals]
    if any(each.requests is not None for each in intervals):
        first = start_s
        if low is None:  # requests that were in service when the monitor began arrived before
            first = min([start_s, *(float(each.requests.arrival_s.min()) for each in intervals if each.requests)])
        table = _recorded(intervals, first, end_s)
        start_s = first
    else:
        table = _drawn(recording, start_s, end_s, drawn_by, bins=target.suffix.lower() in CSV)
    if not table.requests:
        raise LogError(f"{read.path} has no requests from {start_s:.0f} to {end_s:.0f}; pass another time")
    notes = [*table.notes, *_told(recording, start_s, end_s)]
    note = {
        "note": "requests that a monitor recorded" if not table.drawn else "requests drawn from counters of a monitor",
        "start_utc": datetime.fromtimestamp(start_s, timezone.utc).isoformat(timespec="microseconds"),
        "start_s": round(start_s, _DECIMALS),
        "span_s": round(end_s - start_s, _DECIMALS),
        "model": recording.runs[0].model,
        **({"seed": drawn_by} if table.drawn and not table.bins else {}),
        "notes": notes,
        "version": _core.__version__,
    }
    if table.bins:
        note["note"] = "requests that a monitor counted, by their interval"
    if target.suffix.lower() in CSV:
        _write_csv(target, note, table.columns)
    else:
        _write_parquet(target, note, table.columns)
    form = "bins" if table.bins else "recorded"
    return ExportedWorkload(
        target, form, table.requests, table.drawn, start_s, end_s - start_s, tuple(str(each) for each in notes),
        next((run.spec for run in reversed(recording.runs) if run.spec), ""), LENGTHS[0] in table.columns,
    )  # fmt: skip


# ---- recorded rows ---------------------------------------------------------------------------------------------------


def _recorded(intervals: Sequence[LoggedInterval], start_s: float, end_s: float) -> _Table:
    """Return the requests that arrived in a time, by their arrival."""
    import numpy as np

    notes = []
    rows = RequestColumns.joined([each.requests for each in intervals if each.requests is not None])
    rows = rows.chosen((rows.arrival_s >= start_s) & (rows.arrival_s < end_s))
    rows = rows.chosen(np.argsort(rows.arrival_s, kind="stable"))
    has_tokens = bool((rows.prompt_tokens > 0).any() or (rows.output_tokens > 0).any())
    lost = (rows.outcome != _OK) & (rows.output_tokens == 0)
    if lost.any():
        notes.append(f"{int(lost.sum()):,} requests without an answer (errors, cancelled ones) are left out")
        rows = rows.chosen(~lost)
    notes += _missing(intervals, start_s, end_s, len(rows) + int(lost.sum()))
    columns: dict[str, Numbers] = {}
    if has_tokens:
        for name in LENGTHS:
            tokens = getattr(rows, name).astype(np.float64)
            if (tokens == 0).any():
                notes.append(f"{int((tokens == 0).sum()):,} requests with 0 {name} have 1, the least of a request")
            columns[name] = np.maximum(1.0, tokens)
        stamps = {STAMPS[0]: rows.first_token_s, STAMPS[1]: rows.end_s}
        for name, times in stamps.items():
            if np.isfinite(times).any():
                columns[name] = np.maximum(times, rows.arrival_s) - start_s
    else:
        begun = np.where(np.isfinite(rows.start_s), rows.start_s, rows.arrival_s)
        service = rows.end_s - begun
        known = np.isfinite(service)
        if known.any():
            if not known.all():
                notes.append(f"{int((~known).sum()):,} requests without an end are left out")
                rows, service = rows.chosen(known), service[known]
            if not np.isfinite(rows.start_s).all():
                notes.append(f"{SERVICE} is the time from the arrival to the end where the begin of service is unknown")
            columns[SERVICE] = np.maximum(0.0, service)
    if (rows.items != 1).any():
        columns["items"] = rows.items.astype(np.float64)
    columns[ARRIVAL] = rows.arrival_s - start_s
    return _Table({name: columns[name] for name in COLUMNS if name in columns}, len(rows), False, notes)


def _missing(intervals: Sequence[LoggedInterval], start_s: float, end_s: float, rows: int) -> list[str]:
    """Return a note if counters have more requests than there are rows."""
    counted = sum(
        each.change.value("requests") or 0.0 for each in intervals if start_s <= each.start_s and each.end_s <= end_s
    )
    # At both ends, requests end in another interval than they arrive in.
    if counted - rows <= max(1.0, 0.01 * counted):
        return []
    return [f"{counted - rows:,.0f} of {counted:,.0f} counted requests have no row, and are not in the file"]


def _told(recording: MonitorRecording, start_s: float, end_s: float) -> list[str]:
    """Return notes on data that the log lacks."""
    notes = [
        f"nothing was recorded from {_utc(begin)} to {_utc(end)}: the file has no requests there"
        for begin, end in recording.gaps()
        if begin < end_s and end > start_s
    ]
    if recording.damaged:
        notes.append(f"{recording.damaged:,} lines of the log are damaged; their requests are missing")
    dropped = sum(each.change.value("dropped_records") or 0.0 for run in recording.runs for each in run.intervals)
    if dropped:
        notes.append(f"{dropped:,.0f} records were dropped by the monitor; their requests are missing")
    return notes


def _utc(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---- counters and distributions --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Arrived:
    """Requests that arrived in an interval."""

    start_s: float
    length_s: float
    count: int
    lengths: Mapping[str, Distribution | None]


def _arrivals(recording: MonitorRecording, start_s: float, end_s: float) -> list[_Arrived]:
    """Return the arrivals of each interval: requests that ended, and the increase of waiting and served ones."""
    found = []
    for run in recording.runs:
        before: float | None = 0.0 if run.intervals[0].start_s >= recording.start_s else None
        carried = 0.0
        for each in run.intervals:
            parts = [each.change.value(name) for name in ("in_flight", "waiting")]
            inside = None if all(part is None for part in parts) else sum(part or 0.0 for part in parts)
            carried += each.change.value("requests") or 0.0
            if inside is not None and before is not None:
                carried += inside - before
            before = inside
            count = max(0, round(carried))
            carried -= count
            if start_s <= each.start_s < end_s:
                lengths = {name: each.change.distribution(figure) for name, figure in _LENGTH_FIGURES.items()}
                found.append(_Arrived(each.start_s, each.length_s, count, lengths))
    return sorted(found, key=lambda each: each.start_s)


def _drawn(recording: MonitorRecording, start_s: float, end_s: float, seed: int, *, bins: bool) -> _Table:
    """Return requests that are drawn from counters and distributions, or `bins` of them if there are counters alone."""
    import numpy as np

    rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM]))
    intervals = _arrivals(recording, start_s, end_s)
    arrived = [each for each in intervals if each.count]
    requests = sum(each.count for each in arrived)
    whole_log = {
        name: _together(each.lengths[name] for each in arrived) for name in _LENGTH_FIGURES
    }  # of intervals in which requests arrive and none ends
    has_lengths = all(each is not None for each in whole_log.values())
    if arrived and bins and not has_lengths:
        starts, counts = _bins_of(intervals)
        told = ["the log has no rows of requests: the file has their number in each interval"]
        return _Table({BIN_STARTS[0]: starts, COUNTS: counts}, requests, True, told, bins=True)
    if requests > _MOST_DRAWN:
        raise LogError(
            f"{recording.path} counts {requests:,} requests from {start_s:.0f} to {end_s:.0f}; expected at most "
            f"{_MOST_DRAWN:,} to draw rows of; pass a shorter time"
        )
    parts: dict[str, list[Numbers]] = {name: [] for name in (ARRIVAL, *(LENGTHS if has_lengths else ()))}
    for each in arrived:
        one = Bins(
            np.array([each.start_s - start_s]), np.array([max(1e-6, each.length_s)]), np.array([each.count]),
            np.array([0]),
        )  # fmt: skip
        times = [rows.times_s for rows in expanded(one, rng, evenly=False) if rows.times_s is not None]
        parts[ARRIVAL].append(np.concatenate(times))
        if has_lengths:
            for name in LENGTHS:
                known = each.lengths[name]
                chosen = known if known is not None and known.count else whole_log[name]
                parts[name].append(_lengths(chosen, each.count, rng))  # type: ignore[arg-type]
    columns = {name: np.concatenate(values) if values else np.zeros(0) for name, values in parts.items()}
    order = np.argsort(columns[ARRIVAL], kind="stable")
    notes = [
        f"arrivals are drawn at random times of the intervals in which they were counted (seed {seed}): the log has no "
        "rows of requests"
    ]
    if has_lengths:
        notes.append(
            "lengths are drawn from the measured distributions of each interval, prompts and answers independently"
        )
    return _Table({name: values[order] for name, values in columns.items()}, requests, True, notes)


def _together(several: Iterable[Distribution | None]) -> Distribution | None:
    found: Distribution | None = None
    for each in several:
        if each is not None and each.count:
            found = each if found is None else found.plus(each)
    return found


def _lengths(values: Distribution, count: int, rng: np.random.Generator) -> Numbers:
    """Return whole numbers, 1 or more, that are drawn from a distribution.

    Within its interval from l to u a number is l + (u - l) x^g with x uniform, whose mean is l + (u - l) / (g + 1); g
    is such that the mean of all is the measured one. Above the last bound u is twice l.
    """
    import numpy as np

    lowers = np.array([0.0, *values.bounds])
    uppers = np.array([*values.bounds, 2 * values.bounds[-1] if values.bounds else 1.0])
    counts = np.array(values.counts, dtype=np.float64)
    spread = float(counts @ (uppers - lowers))
    share = (values.total - float(counts @ lowers)) / spread if spread else 0.5
    power = 1.0 / min(0.98, max(0.02, share)) - 1.0
    places = rng.choice(counts.size, size=count, p=counts / counts.sum())
    found = lowers[places] + (uppers - lowers)[places] * rng.random(count) ** power
    rounded: Numbers = np.maximum(1.0, np.rint(found))
    return rounded


def _bins_of(arrived: Sequence[_Arrived]) -> tuple[Numbers, Numbers]:
    """Return counts on one grid, whose steps are the usual interval: the sum over all runs."""
    import numpy as np

    lengths = sorted(each.length_s for each in arrived if each.length_s > 0)
    width = lengths[len(lengths) // 2] if lengths else 60.0
    begin = arrived[0].start_s
    end = max(each.start_s + each.length_s for each in arrived)
    if end - begin > width * _MOST_BINS:
        raise LogError(
            f"the log has intervals of {width:.3g} s in {end - begin:.3g} s; expected at most {_MOST_BINS:,} of them; "
            "pass a shorter time"
        )
    edges = np.arange(0.0, max(2.0, np.ceil((end - begin) / width - 1e-6)) + 1) * width
    total = np.zeros(edges.size)
    for each in arrived:
        passed = (edges - (each.start_s - begin)) / max(1e-9, each.length_s)
        total += each.count * np.clip(passed, 0.0, 1.0)
    return edges[:-1], np.diff(np.rint(total))


# ---- files -----------------------------------------------------------------------------------------------------------


def _write_csv(path: Path, note: Mapping[str, Any], columns: Mapping[str, Numbers]) -> None:
    with errors_of_writing(path), path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# {json.dumps(note)}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        count = len(next(iter(columns.values())))
        for first in range(0, count, ROWS_PER_GROUP):
            part = slice(first, first + ROWS_PER_GROUP)
            cells = [_cells(name, values[part]) for name, values in columns.items()]
            writer.writerows(zip(*cells, strict=True))


def _cells(name: str, values: Numbers) -> Iterator[str]:
    text: Callable[[float], str] = _time_text if name.endswith("_s") else _whole_text
    return ("" if isnan(value) else text(value) for value in values.tolist())


def _time_text(value: float) -> str:
    return f"{value:.{_DECIMALS}f}"


def _whole_text(value: float) -> str:
    return str(int(value))


def _write_parquet(path: Path, note: Mapping[str, Any], columns: Mapping[str, Numbers]) -> None:
    arrow = library("pyarrow", f"{path.name}")
    parquet = library("pyarrow.parquet", f"{path.name}")
    import numpy as np

    arrays = {
        name: arrow.array(
            np.round(values, _DECIMALS) if name.endswith("_s") else values.astype(np.int64), from_pandas=True
        )
        for name, values in columns.items()
    }
    table = arrow.table(arrays).replace_schema_metadata({NOTE_KEY: json.dumps(note)})
    with errors_of_writing(path):
        parquet.write_table(table, path, row_group_size=ROWS_PER_GROUP)

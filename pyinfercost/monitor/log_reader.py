"""Reading of the logs of monitors: runs with their intervals, tolerant of damaged lines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .._checks import Fields, Range, errors_of_reading, is_file, is_folder, lines_of, open_file, path_of
from ..deployment import Deployment
from ..errors import InputError, MissingFileError
from ..results.live import Distribution, Series, Snapshot
from ..results.live_figures import COUNTER, LIVE_FIGURES
from .log_records import INFO, RUN, TIME, RecordError, distributions_of, record_of, requests_of, values_of
from .request_columns import RequestColumns
from .rotated_file import rotated_files

_SHOWN = 5  # damaged lines that are named
_SHORTEST_S = 1e-9
_PRICE = Range(0.0, 1e12)
_GAP = 3.0  # times the usual interval: nothing was recorded
_LEAST_GAP_S = 60.0


class LogError(InputError):
    """A log without a run, or a part of it that was asked for and is not there."""


@dataclass(frozen=True)
class LoggedInterval:
    """Contents of a record.

    Attributes:
        start_s: Unix time of its begin.
        change: Change of counters, gauges at the end, and distributions of the added values; its time is the end.
        requests: Requests that ended in it; None if they were not recorded.
    """

    start_s: float
    change: Snapshot
    requests: RequestColumns | None = None

    @property
    def end_s(self) -> float:
        """Unix time of its end."""
        return self.change.time_s

    @property
    def length_s(self) -> float:
        """Its length in seconds."""
        return max(0.0, self.end_s - self.start_s)


@dataclass(frozen=True)
class LoggedRun:
    """A run of an observer.

    Attributes:
        run: Its name.
        info: As of `Snapshot`.
        intervals: In the order of their begins.
        deployment: The document of the deployment; None if it was not recorded.
        spec: The model as the commands accept it; None if it was not recorded.
        price_usd_per_h: Price of all devices; None if it is unknown.
        plan: Reference of the plan; None without one.
        versions: Package -> version that wrote it.
        notes: Reasons of missing figures.
    """

    run: str
    info: Mapping[str, str]
    intervals: tuple[LoggedInterval, ...]
    deployment: Mapping[str, Any] | None = None
    spec: str | None = None
    price_usd_per_h: float | None = None
    plan: str | None = None
    versions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """Name of the model; empty if it is unknown."""
        return self.info.get("model", "")

    def deployed(self) -> Deployment | None:
        """Return the deployment; None if it was not recorded.

        Raises:
            InputError: It has values of another version.
        """
        return None if self.deployment is None else Deployment.from_dict(self.deployment)


@dataclass(frozen=True)
class MonitorRecording:
    """The content of a log.

    Attributes:
        path: The file or folder.
        runs: Runs in the order of their begins.
        files: Number of files.
        damaged: Number of lines that are no records.
        damage: The first of them, in words.
        unknown: Figures that this version does not know.
    """

    path: Path
    runs: tuple[LoggedRun, ...]
    files: int = 1
    damaged: int = 0
    damage: tuple[str, ...] = ()
    unknown: int = 0

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(dict.fromkeys(run.model for run in self.runs))

    @property
    def start_s(self) -> float:
        """Unix time of the first begin."""
        return min(each.start_s for run in self.runs for each in run.intervals)

    @property
    def end_s(self) -> float:
        """Unix time of the last end."""
        return max(each.end_s for run in self.runs for each in run.intervals)

    def of_model(self, model: str | None = None) -> MonitorRecording:
        """Return the runs of a model; of the only one for None.

        Raises:
            LogError: There is no such model, or several.
        """
        known = ", ".join(each or "(without a name)" for each in self.models)
        if model is None and len(self.models) > 1:
            raise LogError(f"{self.path} has several models, {known}; pass model, one of them")
        if model is not None and model not in self.models:
            raise LogError(f"{self.path} has no model {model!r}; expected one of {known}")
        return self._with([run for run in self.runs if model in (None, run.model)])

    def between(self, from_s: float | None = None, to_s: float | None = None) -> MonitorRecording:
        """Return the intervals that begin in a time.

        Raises:
            LogError: There are none.
        """
        low = -float("inf") if from_s is None else from_s
        high = float("inf") if to_s is None else to_s
        found = []
        for run in self.runs:
            kept = tuple(each for each in run.intervals if low <= each.start_s < high)
            if kept:
                found.append(replace(run, intervals=kept))
        if not found:
            raise LogError(
                f"{self.path} has no interval from {low:.0f} to {high:.0f}; its times go from {self.start_s:.0f} to "
                f"{self.end_s:.0f}"
            )
        return self._with(found)

    def _with(self, runs: Sequence[LoggedRun]) -> MonitorRecording:
        return MonitorRecording(self.path, tuple(runs), self.files, self.damaged, self.damage, self.unknown)

    def gaps(self) -> list[tuple[float, float]]:
        """Return times in which no run has an interval: longer than a minute and three usual intervals."""
        spans = sorted((each.start_s, each.end_s) for run in self.runs for each in run.intervals)
        lengths = sorted(end - start for start, end in spans)
        least = max(_LEAST_GAP_S, _GAP * lengths[len(lengths) // 2]) if lengths else _LEAST_GAP_S
        found = []
        until = spans[0][0] if spans else 0.0
        for start, end in spans:
            if start - until > least:
                found.append((until, start))
            until = max(until, end)
        return found


def summed(intervals: Sequence[LoggedInterval]) -> Snapshot:
    """Return the sum of changes: counters and distributions are added, and gauges are from the last interval."""
    values: dict[Series, float] = {}
    distributions: dict[Series, Distribution] = {}
    for each in intervals:
        for name, value in each.change.values.items():
            is_counter = LIVE_FIGURES[name.figure].kind == COUNTER
            values[name] = values.get(name, 0.0) + value if is_counter else value
        for name, found in each.change.distributions.items():
            before = distributions.get(name)
            distributions[name] = found if before is None else before.plus(found)
    return Snapshot(max((each.end_s for each in intervals), default=0.0), values, distributions)


# ---- reading ---------------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """A run while its file is read."""

    header: dict[str, Any] = field(default_factory=dict)
    intervals: list[LoggedInterval] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)


@dataclass
class _Reading:
    """State of a reading."""

    runs: dict[str, _Run] = field(default_factory=dict)
    damaged: int = 0
    damage: list[str] = field(default_factory=list)
    unknown: int = 0

    def take(self, line: bytes) -> None:
        record = record_of(line)
        name = record.require("run").text("run") or ""
        kind = record.text("record")
        content = _header(record) if kind == RUN else _interval(record)
        run = self.runs.setdefault(name, _Run())
        run.notes.update(dict.fromkeys(record.texts("notes") or ()))
        if isinstance(content, dict):
            run.header = {**content, **run.header}
        else:
            interval, unknown = content
            run.intervals.append(interval)
            self.unknown += unknown


def _header(record: Fields) -> dict[str, Any]:
    info = record.inner("info")
    deployment = record.inner("deployment")
    versions = record.inner("versions")
    return {
        "info": {name: value for name in INFO if (value := info.text(name)) is not None},
        "deployment": dict(deployment.items()) or None,
        "spec": record.text("spec"),
        "price_usd_per_h": record.number("price_usd_per_h", _PRICE),
        "plan": record.text("plan"),
        "versions": {name: str(value) for name, value in versions.items()},
    }


def _interval(record: Fields) -> tuple[LoggedInterval, int]:
    record.require("from_s", "to_s")
    start, end = (float(record.number(name, TIME) or 0.0) for name in ("from_s", "to_s"))
    if 0 < abs(end - start) < _SHORTEST_S:  # its cost per hour may exceed a float
        raise RecordError(f"an interval takes {abs(end - start):g} s; expected {_SHORTEST_S:g} s or more")
    content = dict(record.items())
    values, unknown = values_of(content.get("values"))
    distributions, more = distributions_of(content.get("distributions"))
    requests = requests_of(content.get("requests"))
    return LoggedInterval(min(start, end), Snapshot(end, values, distributions), requests), unknown + more


def read_log(path: str | PathLike[str] | Sequence[str | PathLike[str]]) -> MonitorRecording:
    """Read the log of a monitor, or the logs of several.

    Args:
        path: The file, whose renamed older files are read, too; or a folder with `.jsonl` files; or several of both,
            such as the logs of the replicas of a fleet. A file that is named twice is read once.

    Returns:
        Its runs. Lines that are no records, such as a part of a line of a killed process, are counted.

    Raises:
        MissingFileError: There is no such file, or no `.jsonl` file in the folder.
        FileAccessError: It cannot be read.
        LogError: It has no interval.
    """
    paths = [path_of(each) for each in ([path] if isinstance(path, (str, PathLike)) else path)]
    if not paths:
        raise LogError("no log is given; pass the log of a monitor")
    files = list(dict.fromkeys(file for each in paths for file in _files(each)))
    place = paths[0] if len(paths) == 1 else Path(os.path.commonpath(paths) or ".")
    reading = _Reading()
    for file in files:
        for number, line in _lines(file):
            if not line.strip():
                continue
            try:
                reading.take(line)
            except InputError as error:
                reading.damaged += 1
                if len(reading.damage) < _SHOWN:
                    reading.damage.append(f"line {number} of {file.name}: {error}")
    runs = [
        LoggedRun(
            run=name,
            info=MappingProxyType(run.header.get("info", {})),
            intervals=tuple(sorted(run.intervals, key=lambda each: (each.start_s, each.end_s))),
            notes=tuple(run.notes),
            **{key: run.header[key] for key in run.header if key not in ("info",)},
        )
        for name, run in reading.runs.items()
        if run.intervals
    ]
    if not runs:
        first = f" (the first: {reading.damage[0]})" if reading.damage else ""
        raise LogError(
            f"{place} has no interval of a monitor, and {reading.damaged} lines that are no records{first}; expected "
            "the log that `MonitorLog` writes"
        )
    runs.sort(key=lambda run: run.intervals[0].start_s)
    return MonitorRecording(place, tuple(runs), len(files), reading.damaged, tuple(reading.damage), reading.unknown)


def _files(place: Path) -> list[Path]:
    """Return the files of a log, the oldest first."""
    if is_folder(place):
        files = sorted(place.glob("*.jsonl"))
    else:
        files = [*rotated_files(place), *([place] if is_file(place) else [])]
    if not files:
        reason = "has no file that ends with .jsonl" if is_folder(place) else "cannot be read: there is no such file"
        raise MissingFileError(f"{place} {reason}; expected the log of a monitor")
    return files


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    with open_file(file) as content, errors_of_reading(file):
        yield from lines_of(content)

"""The last hours of an observer: samples in fixed intervals, joined to longer ones as they age."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import floor, isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from .._checks import Range, number, shown
from .._escapes import visible
from ..errors import InputError
from ..results.live_figures import COUNTER, LIVE_FIGURES
from ..results.live_history import STALE_INTERVALS, Interval, LiveHistory, joined

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ..results.live import Distribution, Series, Snapshot
    from .observer import Observer

INTERVAL_S = 15.0
"""Seconds between samples by default."""

WINDOW_H = 24.0
"""Hours of the window by default."""

_INTERVAL = Range(0.01, 3600, "seconds")
_WINDOW = Range(0.01, 24 * 366, "hours")
_HOUR_S = 3600.0
_FINE = 480  # samples that are kept as they are: 2 h of 15 s
_MIDDLE = 288  # parts of the window: 5 min of 24 h
_COARSE = 24  # parts of the window after it has passed: 1 h of 24 h
_WINDOWS = 7  # windows that are kept: a week of 24 h
_LATELY_S = 300.0
_LATELY = 4  # samples, if that is longer
_HISTOGRAMS = frozenset(("request_s", "ttft_s", "tpot_s", "queue_wait_s"))
_MOST_SERIES = 200
_MOST_BOUNDS = 2000
_EXCERPT = 300  # characters of an error


def _elapsed_s() -> float:
    """Return the time of a clock that never jumps and counts the sleep of the machine, where there is one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    try:
        return time.monotonic() if clock is None else time.clock_gettime(clock)
    except OSError:  # a sandbox without this clock
        return time.monotonic()


class Clock(NamedTuple):
    """Sources of time.

    Attributes:
        elapsed_s: A clock for durations, which never jumps.
        unix_s: Unix time, which may jump.
    """

    elapsed_s: Callable[[], float] = _elapsed_s
    unix_s: Callable[[], float] = time.time


class HistoryError(InputError):
    """An interval or a window that is out of range."""


@dataclass(frozen=True)
class _Sample:
    snapshot: Snapshot
    at_s: float  # of the clock for durations


class History:
    """The last hours of an observer, in bounded memory.

    A thread of its own takes a snapshot every `interval_s`. The newest 480 intervals are kept as they are, those up to
    `window_h` are joined to 288 for the window (5 minutes of 24 hours), and older ones to 24 for the window (an hour)
    until seven windows have passed. Counts and distributions of joined intervals add up, so that money of the whole
    window is exact, and its percentiles are of all values.

    Durations are of a clock that never jumps, and places of intervals follow from it: if the wall clock is set, all of
    the history moves with it. A sample later than three intervals, an observer that was started again, and a server
    that does not answer leave intervals without rates; counts of that time are in the totals.

    All methods may be called from any thread. Nothing here calls the model.
    """

    def __init__(
        self,
        observer: Observer,
        *,
        interval_s: float = INTERVAL_S,
        window_h: float = WINDOW_H,
        clock: Clock | None = None,
    ) -> None:
        """Begin without samples; `start` begins the thread.

        Args:
            observer: The sampled observer.
            interval_s: Seconds between samples.
            window_h: Hours of the window.
            clock: Sources of time; None for the clocks of the machine.

        Raises:
            HistoryError: A value is out of range.
        """
        self.observer = observer
        self.interval_s = number(interval_s, "interval_s", _INTERVAL, HistoryError)
        self.window_h = number(window_h, "window_h", _WINDOW, HistoryError)
        self.identity = secrets.token_hex(8)
        self._clock = clock or Clock()
        window_s = _HOUR_S * self.window_h
        middle_s = max(self.interval_s, window_s / _MIDDLE)
        self._levels = (
            _Level(0.0, min(_FINE * self.interval_s, window_s)),
            _Level(middle_s, window_s),
            _Level(max(middle_s, window_s / _COARSE), _WINDOWS * window_s),
        )
        self._lock = threading.RLock()
        self._sampling = threading.Lock()
        self._newest: _Sample | None = None
        self._failure = ""
        self._last = 0
        self._wholes: dict[float, tuple[int, Interval]] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    # ---- the thread --------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Begin to sample in a thread, which ends with the process or by `close`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="pyinfercost-history", daemon=True)
            self._thread.start()
        return self

    def close(self) -> None:
        """End the thread. Samples remain; an observer that hangs is not waited for."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._ended.is_set():
            self.sample()
            due_s = max(due_s + self.interval_s, time.monotonic())
            self._ended.wait(due_s - time.monotonic())

    # ---- samples -----------------------------------------------------------------------------------------------------

    def sample(self) -> None:
        """Take a snapshot now. An error of the observer is kept as the reason why there is none."""
        with self._sampling:
            try:
                self._add(_checked(self.observer.snapshot()))
            except Exception as failed:  # of an observer of the caller: it must not end the thread
                reason = visible(f"{type(failed).__name__}: {failed}")[:_EXCERPT]
                with self._lock:
                    self._failure = reason

    def _add(self, snapshot: Snapshot) -> None:
        now_s = self._clock.elapsed_s()
        before = self._newest
        if before is not None and snapshot.time_s == before.snapshot.time_s:  # the observer has nothing new
            with self._lock:
                self._failure = ""
            return
        age_s = self._clock.unix_s() - snapshot.time_s
        at_s = now_s - age_s if 0 <= age_s <= self.interval_s else now_s
        if before is not None and at_s <= before.at_s:  # the wall clock was set since the snapshot
            at_s = now_s
        interval = None if before is None else self._between(before, _Sample(snapshot, at_s))
        with self._lock:
            self._failure = ""
            self._newest = _Sample(snapshot, at_s)
            if interval is not None:
                self._last = interval.number
                self._levels[0].intervals.append(interval)
                self._age(at_s)

    def _between(self, before: _Sample, after: _Sample) -> Interval:
        """Return the interval between two samples, whose end is on the clock for durations."""
        duration_s = after.at_s - before.at_s
        reason = ""
        counts: dict[Series, float] = {}
        distributions: dict[Series, Distribution] = {}
        try:
            changed = after.snapshot.since(before.snapshot)
            counts = {name: value for name, value in changed.values.items() if _is_counter(name)}
            if any(value < 0 for value in counts.values()):
                raise InputError("a counter fell; the observer was started again")
            added = {name: value.compact() for name, value in changed.distributions.items() if value.count}
            distributions = {name: value for name, value in added.items() if len(value.bounds) <= _MOST_BOUNDS}
        except InputError:
            counts, distributions, reason = {}, {}, "the observer was started again"
        if not reason and duration_s > STALE_INTERVALS * self.interval_s:
            reason = "samples are missing"
        if not reason and 0 in (before.snapshot.value("up"), after.snapshot.value("up")):
            reason = "the observed server did not answer"
        gauges = {name: value for name, value in after.snapshot.values.items() if not _is_counter(name)}
        return Interval(
            number=self._last + 1,
            end_s=after.at_s,
            duration_s=duration_s,
            known=not reason,
            counts=_few(counts),
            gauges=_few(gauges),
            distributions=distributions,
            reason=reason,
            unknown_s=duration_s if reason else 0.0,
        )

    def _age(self, now_s: float) -> None:
        """Join intervals that are older than their level keeps, and drop intervals that are older than all levels."""
        for level, above in zip(self._levels, self._levels[1:], strict=False):
            level.hand_on(above, now_s)
        oldest = self._levels[-1]
        while oldest.intervals and oldest.intervals[0].end_s <= now_s - oldest.keep_s:
            oldest.intervals.popleft()

    # ---- readings ----------------------------------------------------------------------------------------------------

    def read(self, hours: float | None = None, *, since: int = 0) -> LiveHistory:
        """Return the last hours.

        Args:
            hours: Hours to return at most; None for the window. There are seven windows at most. Intervals are joined
                to about 288 of one length; the last one may be shorter.
            since: Only intervals with a larger number are returned, which replace those that they overlap; `whole` and
                `lately` do not depend on it.

        Returns:
            The intervals with Unix times, their sums, and the newest snapshot.

        Raises:
            HistoryError: `hours` is out of range.
        """
        hours = self.window_h if hours is None else number(hours, "hours", _WINDOW, HistoryError)
        with self._lock:
            kept = [each for level in reversed(self._levels) for each in level.intervals]
            head = self.head()
        if not kept:
            return replace(head, hours=hours)
        # Intervals are on the clock for durations; their Unix times follow from their age.
        shift_s = head.now_s - self._clock.elapsed_s()
        end_s = kept[-1].end_s
        kept = [each for each in kept if each.end_s > end_s - _HOUR_S * hours]
        lately_s = max(_LATELY_S, _LATELY * self.interval_s)
        whole, lately = self._whole(hours, kept), joined([each for each in kept if each.end_s > end_s - lately_s])
        shown = _joined_to(max(self.interval_s, _HOUR_S * hours / _MIDDLE), kept, since)
        placed = [replace(each, end_s=each.end_s + shift_s) for each in shown]
        return replace(
            head,
            hours=hours,
            intervals=tuple(placed),
            whole=replace(whole, end_s=whole.end_s + shift_s),
            lately=replace(lately, end_s=lately.end_s + shift_s),
        )

    def head(self) -> LiveHistory:
        """Return the newest snapshot and the state, without intervals and sums: this costs little."""
        with self._lock:
            sample, failure, last = self._newest, self._failure, self._last
        age_s = None if sample is None else max(0.0, self._clock.elapsed_s() - sample.at_s)
        return LiveHistory(
            intervals=(),
            whole=None,
            lately=None,
            latest=None if sample is None else sample.snapshot,
            hours=self.window_h,
            interval_s=self.interval_s,
            now_s=self._clock.unix_s(),
            age_s=age_s,
            failure=failure,
            identity=self.identity,
            last=last,
        )

    def _whole(self, hours: float, kept: list[Interval]) -> Interval:
        """Return the sum of intervals, which is computed once after each sample."""
        known = self._wholes.get(hours)
        if known is None or known[0] != kept[-1].number:
            wholes = {key: value for key, value in self._wholes.items() if value[0] == kept[-1].number}
            known = kept[-1].number, joined(kept)
            self._wholes = {**wholes, hours: known} if len(wholes) < _WINDOWS else {hours: known}
        return known[1]

    @property
    def size_bytes(self) -> int:
        """Memory of the kept intervals, without objects that they share with each other counted twice."""
        with self._lock:
            kept = [each for level in self._levels for each in level.intervals]
        return _size_bytes(kept, set())


class _Level:
    """Intervals of about one length.

    Args:
        step_s: Length to which intervals are joined when they come to this level; 0 leaves them as they are.
        keep_s: Age at which they leave.
    """

    def __init__(self, step_s: float, keep_s: float) -> None:
        self.step_s = step_s
        self.keep_s = keep_s
        self.intervals: deque[Interval] = deque()

    def hand_on(self, above: _Level, now_s: float) -> None:
        """Join intervals beyond the age or the number of this level to intervals of the level above."""
        while self.intervals:
            place = _place(self.intervals[0], above.step_s)
            complete = (place + 1) * above.step_s <= now_s - self.keep_s
            if not complete and len(self.intervals) <= 2 * _FINE:
                return
            group = [self.intervals.popleft()]
            while self.intervals and _fits(group[0], self.intervals[0], above.step_s):
                group.append(self.intervals.popleft())
            above.intervals.append(joined(group) if len(group) > 1 else group[0])


def _place(interval: Interval, step_s: float) -> int:
    """Return the number of the step that has the middle of an interval."""
    return floor((interval.end_s - interval.duration_s / 2) / step_s)


def _fits(first: Interval, other: Interval, step_s: float) -> bool:
    """Return whether two intervals are of the same step. A gap longer than a step stays a gap."""
    long_gap = any(not each.known and each.duration_s > step_s for each in (first, other))
    return not long_gap and _place(first, step_s) == _place(other, step_s)


def _joined_to(step_s: float, intervals: list[Interval], since: int) -> list[Interval]:
    """Return intervals joined to steps, those that end with a number above `since`."""
    groups: list[list[Interval]] = []
    for each in intervals:
        if groups and _fits(groups[-1][0], each, step_s):
            groups[-1].append(each)
        else:
            groups.append([each])
    return [joined(group) if len(group) > 1 else group[0] for group in groups if group[-1].number > since]


def _checked(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot without values that are no finite numbers, and without figures that no page shows."""
    if not _is_finite(snapshot.time_s):
        raise InputError(f"the time of a snapshot is {shown(snapshot.time_s)}; expected seconds since 1970")
    values = {
        name: value for name, value in snapshot.values.items() if name.figure in LIVE_FIGURES and _is_finite(value)
    }
    distributions = {
        name: value
        for name, value in snapshot.distributions.items()
        if name.figure in _HISTOGRAMS and _is_finite(value.total) and all(map(_is_finite, value.bounds))
    }
    return replace(snapshot, values=values, distributions=distributions)


def _is_finite(value: float) -> bool:
    try:
        return isfinite(value)
    except (TypeError, OverflowError):  # an observer of the caller may have anything
        return False


def _is_counter(name: Series) -> bool:
    return LIVE_FIGURES[name.figure].kind == COUNTER


def _few(values: dict[Series, float]) -> dict[Series, float]:
    return values if len(values) <= _MOST_SERIES else dict(sorted(values.items())[:_MOST_SERIES])


def _size_bytes(value: Any, seen: set[int]) -> int:
    if id(value) in seen:
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value)
    inner: Iterable[Any] = ()
    if isinstance(value, dict):
        inner = (*value, *value.values())
    elif isinstance(value, (list, tuple)):
        inner = value
    elif hasattr(value, "__dict__"):
        inner = (vars(value),)
    return size + sum(_size_bytes(each, seen) for each in inner)

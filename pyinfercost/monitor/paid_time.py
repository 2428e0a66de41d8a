"""Paid time of a serving engine, divided by use from the readings of its pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..results.live import Series, series
from ..results.live_figures import USES
from .engine_load import busy_s

if TYPE_CHECKING:
    from .._http import Gone
    from .engine_totals import Change, EngineTotals


class PaidTime:
    """Seconds of the devices since the observer began.

    The time between two readings is

    - `cold` if the second one failed because nothing listens or the server is not ready: it is paid and serves nobody;
    - divided as before if the second one failed otherwise, such as a page that cannot be read or comes too late;
    - `cold` if a restart is found, but for the time since the process became ready, where the page has it;
    - `busy` and `idle` otherwise, by the estimate of `engine_load.busy_s`.

    Attributes:
        began_s: Start on the monotonic clock.
        at_s: Last reading on that clock.
        was_read: Whether a page was added.
        was_down: Whether nothing answered before the first page.
        had_gap: Whether the last reading had no page.

    Args:
        values: Series -> total, to which reserved seconds and starts are added.
        notes: Kind of an omission -> its words.
        devices: Paid devices.
        since_start: Whether the first page counts from the start of its process.
        clock: Monotonic clock in seconds.
        wall: Unix time in seconds.
    """

    def __init__(
        self,
        values: dict[Series, float],
        notes: dict[str, str],
        devices: int,
        *,
        since_start: bool,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._values, self._notes = values, notes
        values.update({series("reserved_s", use=use): 0.0 for use in USES})
        values.update({series(each): 0.0 for each in ("restarts", "cold_starts")})
        self.began_s = self.at_s = self._good_s = clock()
        self.was_read = self.was_down = self.had_gap = False
        self._devices = devices
        self._since_start = since_start
        self._clock, self._wall = clock, wall
        self._began_wall_s = wall()
        self._busy_share = 0.0

    @property
    def wall_s(self) -> float:
        """Unix time of the last reading, without jumps of the wall clock since the start."""
        return self._began_wall_s + self.at_s - self.began_s

    def add(self, change: Change, totals: EngineTotals, running: Sequence[float]) -> float:
        """Divide the time before a page.

        Args:
            change: Increments since the page before.
            totals: Totals of the engine, with this page.
            running: Requests in service at both ends, as far as known.

        Returns:
            The seconds since the page before.
        """
        seconds, wall_s = self._passed(), self._wall()
        since_good_s = self.at_s - self._good_s
        is_new = change.restarted or (not self.was_read and self.was_down)
        from_start = not self.was_read and self._since_start
        if from_start:
            if totals.started_s is None:
                self._notes["start"] = "the page lacks the start of its process, whose paid time is unknown"
            else:
                seconds = since_good_s = max(seconds, wall_s - totals.started_s)
        ready_s = seconds
        if is_new or from_start:
            ready = totals.ready_s
            since_ready_s = (seconds if from_start else 0.0) if ready is None else wall_s - ready
            ready_s = min(max(0.0, since_ready_s), seconds)
        if is_new:
            self._values[series("cold_starts")] += 1
        if change.restarted:
            self._values[series("restarts")] += 1
            self._notes["lost"] = "counts of a process between its last reading and its end are unknown"
        worked_s = busy_s(change, ready_s, running)
        if ready_s > 0:
            self._busy_share = worked_s / ready_s
        self._reserve(busy=worked_s, idle=ready_s - worked_s, cold=seconds - ready_s)
        self._good_s = self.at_s
        self.was_read, self.was_down, self.had_gap = True, False, False
        return since_good_s

    def fail(self, gone: Gone) -> None:
        """Divide the time before a reading without a page."""
        seconds = self._passed()
        if gone.is_down:
            self._reserve(busy=0.0, idle=0.0, cold=seconds)
        else:
            worked_s = seconds * self._busy_share
            self._reserve(busy=worked_s, idle=seconds - worked_s, cold=0.0)
        self.was_down |= gone.is_down and not self.was_read
        self.had_gap = True

    def _passed(self) -> float:
        """Return the seconds since the last reading."""
        before_s, self.at_s = self.at_s, self._clock()
        return max(0.0, self.at_s - before_s)

    def _reserve(self, **seconds: float) -> None:
        for use, value in seconds.items():
            self._values[series("reserved_s", use=use)] += max(0.0, value) * self._devices

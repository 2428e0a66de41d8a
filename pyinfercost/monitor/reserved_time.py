"""Reserved time of a monitored model: busy, idle, and cold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..results.costs import SECONDS_PER_HOUR
from ..results.live import Series, series

_NS = 1e-9


class ReservedTime:
    """Time since a monitor began, with its cold starts. All methods may be called from any thread.

    Args:
        clock: Monotonic nanoseconds.
        devices: Reserved devices.
        usd_per_h: Price of all of them; None without a price.

    Attributes:
        began_ns: The beginning.
        zero_s: Unix time at which the clock is 0.
    """

    def __init__(self, clock: Callable[[], int], devices: float, usd_per_h: float | None) -> None:
        self.began_ns = clock()
        self._began_s = time.time()
        self.zero_s = self._began_s - self.began_ns * _NS
        self._clock = clock
        self._devices = devices
        self._usd_per_h = usd_per_h
        self._lock = threading.Lock()
        self._cold_ns = 0
        self._cold_since_ns: int | None = None
        self._cold_starts = 0

    def wall_s(self, at_ns: int) -> float:
        """Return the Unix time of a moment of the clock, without jumps of the wall clock since the beginning."""
        return self._began_s + (at_ns - self.began_ns) * _NS

    def start(self) -> None:
        """Begin a cold start."""
        with self._lock:
            self._cold_since_ns = self._clock()
            self._cold_starts += 1

    def end(self) -> None:
        """End the cold start."""
        with self._lock:
            if self._cold_since_ns is not None:
                self._cold_ns += max(0, self._clock() - self._cold_since_ns)
            self._cold_since_ns = None

    def figures(self, now_ns: int, busy_ns: int) -> dict[Series, float]:
        """Return seconds and money by use.

        Args:
            now_ns: The end of the time.
            busy_ns: Time in which requests were in service.
        """
        with self._lock:
            since = self._cold_since_ns
            cold_ns = self._cold_ns + (0 if since is None else max(0, now_ns - since))
            starts = self._cold_starts
        reserved_ns = max(0, now_ns - self.began_ns)
        cold_ns = min(cold_ns, reserved_ns)
        busy_ns = min(busy_ns, reserved_ns - cold_ns)  # warm-up calls are a part of the start
        uses = {"busy": busy_ns, "idle": reserved_ns - cold_ns - busy_ns, "cold": cold_ns}
        found = {series("reserved_s", use=use): ns * _NS * self._devices for use, ns in uses.items()}
        found[series("cold_starts")] = starts
        if self._usd_per_h is not None:
            found[series("price_usd_per_h")] = self._usd_per_h
            for use, ns in uses.items():
                found[series("cost_usd", use=use)] = ns * _NS * self._usd_per_h / SECONDS_PER_HOUR
        return found

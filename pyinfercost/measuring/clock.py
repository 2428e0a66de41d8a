"""Timing of one call: the median of repeated runs after a warm-up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

_FEWEST = 5  # minimum number of runs for a meaningful median
_MOST_IN_A_LOOP = 10_000


@dataclass(frozen=True)
class Budget:
    """Duration of one measurement.

    Attributes:
        warm_up_s: Seconds of unmeasured calls, at least one, after which caches, threads and allocators are warm.
        measure_s: Seconds of measured calls.
        fewest: Minimum number of measured calls, regardless of their duration.
    """

    warm_up_s: float = 0.3
    measure_s: float = 1.0
    fewest: int = _FEWEST


@dataclass(frozen=True)
class Timing:
    """Seconds of one call over `runs` calls: the median and the quartiles."""

    median_s: float
    low_s: float
    high_s: float
    runs: int


def time_call(call: Callable[[], object], budget: Budget, wait: Callable[[], object] | None = None) -> Timing:
    """Time single calls that take microseconds or more.

    Args:
        call: The call to time.
        budget: Duration of the measurement.
        wait: Waits until the device has finished, for asynchronous calls.

    Returns:
        Seconds of one call.
    """
    end = time.perf_counter() + budget.warm_up_s
    while True:
        call()
        if wait is not None:
            wait()
        if time.perf_counter() >= end:
            break
    seconds: list[float] = []
    end = time.perf_counter() + budget.measure_s
    while len(seconds) < budget.fewest or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        if wait is not None:
            wait()
        seconds.append(time.perf_counter() - start)
    return _timing(seconds)


def time_loop(call: Callable[[], object], budget: Budget, wait: Callable[[], object] | None = None) -> Timing:
    """Time loops of calls shorter than the clock's resolution; returns seconds of one call."""
    call()
    start = time.perf_counter()
    call()
    once = max(time.perf_counter() - start, 1e-7)
    count = min(_MOST_IN_A_LOOP, max(1, int(budget.measure_s / 10 / once)))

    def loop() -> None:
        for _ in range(count):
            call()

    timing = time_call(loop, budget, wait)
    return Timing(timing.median_s / count, timing.low_s / count, timing.high_s / count, timing.runs * count)


def _timing(seconds: list[float]) -> Timing:
    if len(seconds) == 1:
        return Timing(seconds[0], seconds[0], seconds[0], 1)
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(median, low, high, len(seconds))

"""Interleaved timing of many calls in rounds: load by other processes varies over time and then affects all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

ROUNDS = 10
_LEAST_ROUNDS, _ROUND_S = 2, 2.0
_MOST_IN_A_LOOP = 10_000
_LOOPS_A_VISIT = 5
_WARM_UP_SHARE = 0.25


@dataclass(frozen=True)
class Timed:
    """A call to time.

    Attributes:
        call: Runs it once.
        threads: Number of torch's threads during the call.
        elements: Work of one call, in elements, FLOPs or bytes.
        moved_bytes: Bytes of activations that one call reads and writes.
        short: Whether it is shorter than the clock's resolution, so that several runs are timed at once.
        times_itself: Whether `call` returns its own seconds.
    """

    call: Callable[[], Any]
    threads: int
    elements: float = 0.0
    moved_bytes: float = 0.0
    short: bool = False
    times_itself: bool = False


def in_rounds(timed: Mapping[str, Timed], budget_s: float, report: Callable[[str, float], None]) -> dict[str, float]:
    """Return seconds of one call of each: the mean of the rounds' medians without the smallest and the largest.

    A core shared with other processes alternates between a fast and a slow state, and models run in both. A median
    would pick one of them.

    Args:
        timed: Calls to time, by name.
        budget_s: Total seconds, including warm-up. Below 20 s there are fewer rounds, of 2 s each, since every call is
            made at least twice in a round.
        report: Called with a name and the completed share of the work.

    Returns:
        Seconds by name.
    """
    rounds = max(_LEAST_ROUNDS, min(ROUNDS, round(budget_s / _ROUND_S)))
    visit_s = budget_s / (rounds * max(1, len(timed)))
    medians: dict[str, list[float]] = {name: [] for name in timed}
    with torch.inference_mode():
        for turn in range(rounds):
            for place, (name, one) in enumerate(timed.items()):
                report(name, (turn * len(timed) + place) / (rounds * len(timed)))
                with on_threads(one.threads):
                    medians[name].append(_visit(one, visit_s))
    return {name: statistics.mean(sorted(found)[1:-1] or found) for name, found in medians.items()}


def _visit(one: Timed, visit_s: float) -> float:
    end = time.perf_counter() + _WARM_UP_SHARE * visit_s
    once = _seconds(one, 1)
    while time.perf_counter() < end:
        once = min(once, _seconds(one, 1))
    measure_s = (1 - _WARM_UP_SHARE) * visit_s
    count = 1
    if one.short:
        count = min(_MOST_IN_A_LOOP, max(1, int(measure_s / _LOOPS_A_VISIT / max(once, 1e-7))))
    seconds: list[float] = []
    end = time.perf_counter() + measure_s
    while not seconds or time.perf_counter() < end:
        seconds.append(_seconds(one, count))
    return statistics.median(seconds)


def _seconds(one: Timed, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        result = one.call()
    if one.times_itself:
        return float(result)
    return (time.perf_counter() - start) / count


@contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """Set the number of torch's threads within the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)

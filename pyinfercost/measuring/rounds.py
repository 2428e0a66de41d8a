"""Times many things in turn, round after round: a machine that others use too is not the same from second to second."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

ROUNDS = 10
_MOST_IN_A_LOOP = 10_000
_LOOPS_A_VISIT = 5
_WARM_UP_SHARE = 0.25


@dataclass(frozen=True)
class Timed:
    """Something to time.

    Attributes:
        call: runs it once.
        threads: torch's threads meanwhile.
        elements: what one call works on, in elements or FLOPs.
        moved_bytes: activations that one call reads and writes.
        short: takes less than the clock can tell apart, so that it is run many times between two looks.
        times_itself: `call` returns its own seconds.
    """

    call: Callable[[], Any]
    threads: int
    elements: float = 0.0
    moved_bytes: float = 0.0
    short: bool = False
    times_itself: bool = False


def in_rounds(
    timed: Mapping[str, Timed], budget_s: float, report: Callable[[str, float], None], rounds: int = ROUNDS
) -> dict[str, float]:
    """Seconds of one call of each: the mean of the rounds' medians, without the least and the greatest of them.

    A core that others use too has a fast and a slow state, and a model meets both: the median would be one of them.

    Args:
        timed: what to time, by name.
        budget_s: seconds in all, warm-up among them.
        report: called with a name and the share of the work that is done.
        rounds: how often each is visited.
    """
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
    """Has torch use so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""Forwards timed in turns with a baseline, so that load on the machine affects both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .applying import Applied

WARM_UP = 3
"""Forwards of each side before the first turn."""


@dataclass(frozen=True)
class Turns:
    """Seconds of a changed model beside those of the given one.

    Attributes:
        item_s: Median seconds per item.
        baseline_item_s: Median seconds per item of the given model, in the turns before and after.
        ratio: Median ratio of both, of turns side by side.
        low: First quartile of the ratios.
        high: Third quartile.
        turns: Number of turns.
        note: Of the changed model.
    """

    item_s: float
    baseline_item_s: float
    ratio: float
    low: float
    high: float
    turns: int
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def taken(baseline: Applied, changed: Mapping[str, Applied], rounds: int, seconds: float) -> dict[str, Turns]:
    """Time forwards in the order baseline, changed, baseline, other change, baseline, ...

    Args:
        baseline: The given model.
        changed: Name -> changed model.
        rounds: Number of turns of each change.
        seconds: Least seconds of a turn.
    """
    for each in (baseline, *changed.values()):
        for _ in range(WARM_UP):
            each.forward()
    own: dict[str, list[float]] = {name: [] for name in changed}
    before: dict[str, list[float]] = {name: [] for name in changed}
    for _ in range(rounds):
        last = _turn(baseline.forward, seconds)
        for name, each in changed.items():
            own[name].append(_turn(each.forward, seconds) / each.items)
            following = _turn(baseline.forward, seconds)
            before[name].append((last + following) / 2 / baseline.items)
            last = following
    return {name: _summary(own[name], before[name], changed[name].note) for name in changed}


def _turn(call: Callable[[], object], seconds: float) -> float:
    """Return the median seconds of a call, after one that restores the state of the caches."""
    call()
    spent: list[float] = []
    while sum(spent) < seconds or len(spent) < 2:
        start = time.perf_counter()
        call()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def _summary(own: list[float], baseline: list[float], note: str) -> Turns:
    ratios = [one / other for one, other in zip(own, baseline, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Turns(statistics.median(own), statistics.median(baseline), middle, low, high, len(ratios), note)

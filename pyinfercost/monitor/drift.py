"""Measured times over predicted ones, divided by the same ratio at the start.

A band of 30 % hides a server that became 20 % slower; its own past does not.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from types import MappingProxyType
from typing import NamedTuple

from .._checks import Range, number
from ..errors import InputError
from ..results.live import Series, series

_SECONDS = Range(0.0, 1e7, "s")
_LATELY = Range(1e-3, 1e7, "s")
_NUMBER = Range(0.0, 1e9)
_SPACING = 4  # states in the stretch called lately, if they come often
_KEPT = 240  # states of a part: at least 10 minutes by default
_MOST_PARTS = 1024
_NONE: Mapping[str, float] = MappingProxyType({})


class DriftError(InputError):
    """A setting of a drift that is out of range."""


class Totals(NamedTuple):
    """Counters of a part at a moment.

    Attributes:
        at_s: Time of a monotonic clock.
        measured_s: Measured seconds since the start.
        predicted_s: Predicted seconds of the same.
        number: How many requests or tokens they are of; 0 if unknown.
    """

    at_s: float
    measured_s: float
    predicted_s: float
    number: float

    def ratio_since(self, earlier: Totals) -> float | None:
        """Return measured to predicted seconds since a moment; None if either did not grow."""
        measured_s, predicted_s = self.measured_s - earlier.measured_s, self.predicted_s - earlier.predicted_s
        return measured_s / predicted_s if measured_s > 0 and predicted_s > 0 else None


@dataclass
class _Part:
    began: Totals
    warm: Totals | None = None  # the end of warming up
    first: float | None = None
    states: deque[Totals] = field(default_factory=lambda: deque(maxlen=_KEPT))


class Drift:
    """Slowdown of each part of a model since the start, relative to its prediction.

    The ratio at the start leaves warm-up out: the first `warm_up_s` seconds and `warm_up_number` requests. It covers
    the following `first_s` seconds and `first_number` requests, whichever takes longer.

    The recent ratio covers the shortest stretch before now with `lately_s` seconds and `lately_number` requests. The
    stretch is shorter than a usual interval between scrapes, so a slowdown is seen whole in the first interval that it
    fills: at the latest two intervals after it began. Both ratios are of sums of seconds, so long requests have more
    weight.

    Memory is bounded, and all methods may be called from any thread.

    Args:
        warm_up_s: Seconds of warming up, from the first prediction of a part.
        warm_up_number: Requests (or tokens) of it.
        first_s: Seconds of the start.
        first_number: Requests of it.
        lately_s: Least seconds of the stretch called lately.
        lately_number: Least requests of it.

    Raises:
        DriftError: A setting is out of range.
    """

    def __init__(
        self,
        *,
        warm_up_s: float = 10.0,
        warm_up_number: float = 10,
        first_s: float = 60.0,
        first_number: float = 30,
        lately_s: float = 10.0,
        lately_number: float = 5,
    ) -> None:
        self._warm_up_s = number(warm_up_s, "warm_up_s", _SECONDS, DriftError)
        self._warm_up_number = number(warm_up_number, "warm_up_number", _NUMBER, DriftError)
        self._first_s = number(first_s, "first_s", _SECONDS, DriftError)
        self._first_number = number(first_number, "first_number", _NUMBER, DriftError)
        self._lately_s = number(lately_s, "lately_s", _LATELY, DriftError)
        self._lately_number = number(lately_number, "lately_number", _NUMBER, DriftError)
        self._lock = threading.Lock()
        self._parts: dict[str, _Part] = {}

    def gauges(
        self, values: Mapping[Series, float], at_s: float, numbers: Mapping[str, float] = _NONE
    ) -> dict[Series, float]:
        """Add the state of the counters, and return `measured_to_first` of the parts that have it.

        Args:
            values: Series of counters -> totals since the start; `measured_s` and `predicted_s` are read.
            at_s: Time of a monotonic clock.
            numbers: Part -> requests or tokens since the start, as for `update`.
        """
        found = {}
        for each, predicted_s in values.items():
            if each.figure != "predicted_s":
                continue
            part = dict(each.labels)["part"]
            measured_s = values.get(series("measured_s", part=part), 0.0)
            ratio = self.update(part, measured_s, predicted_s, at_s, numbers.get(part))
            if ratio is not None:
                found[series("measured_to_first", part=part)] = ratio
        return found

    def update(
        self, part: str, measured_s: float, predicted_s: float, at_s: float, number: float | None = None
    ) -> float | None:
        """Add the state of the counters of a part, and return its recent ratio over the ratio at the start.

        Args:
            part: Name of the part.
            measured_s: Measured seconds since the start of the observer.
            predicted_s: Predicted seconds of the same.
            at_s: Time of a monotonic clock.
            number: How many requests or tokens these are of. If it is None, only seconds count.

        Returns:
            The ratio; 1.5 if the part now takes 1.5 times as long as at the start. None while there is no ratio of the
            start, or if nothing, or too little, was measured lately.
        """
        if not all(isfinite(each) for each in (measured_s, predicted_s, at_s)) or predicted_s <= 0:
            return None
        is_known = number is not None and isfinite(number)
        now = Totals(at_s, measured_s, predicted_s, number if is_known and number is not None else 0.0)
        with self._lock:
            if part not in self._parts and len(self._parts) >= _MOST_PARTS:
                return None
            known = self._parts.setdefault(part, _Part(now))
            self._advance(known, now, is_known)
            ratio = None if known.first is None else self._lately(known, now, is_known)
            if not known.states or at_s - known.states[-1].at_s >= self._lately_s / _SPACING:
                known.states.append(now)
            return None if ratio is None or known.first is None else ratio / known.first

    def _advance(self, part: _Part, now: Totals, is_known: bool) -> None:
        """Take the ratio of the start, once it is over."""
        if part.warm is None:
            is_enough = not is_known or now.number >= self._warm_up_number
            if is_enough and now.at_s - part.began.at_s >= self._warm_up_s:
                part.warm = now
        elif part.first is None:
            is_enough = not is_known or now.number - part.warm.number >= self._first_number
            if is_enough and now.at_s - part.warm.at_s >= self._first_s:
                part.first = now.ratio_since(part.warm)

    def _lately(self, part: _Part, now: Totals, is_known: bool) -> float | None:
        for state in reversed(part.states):
            if now.at_s - state.at_s >= self._lately_s and (
                not is_known or now.number - state.number >= self._lately_number
            ):
                return now.ratio_since(state)
        return None

"""Cumulative counts of a distribution at few bounds, for systems that store one series for each."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import frexp, inf
from typing import NamedTuple

from ...results.live import Distribution

# Edges for durations in seconds, from 0.1 ms to 17 minutes, and for whole numbers such as tokens, to a million.
_SECONDS = tuple(2.0**power for power in range(-13, 11))
_WHOLE = tuple(2.0**power for power in range(21))
_PARTS = 2**7  # the intervals of a sketch of this package begin at multiples of 2^k / 64
_SMALLEST = 2.0**-13


class Cumulative(NamedTuple):
    """Values of a distribution that are at most each bound.

    Attributes:
        bounds: Finite bounds, ascending.
        counts: Values at most each bound, and the count of all.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]


def cumulative(distribution: Distribution, *, seconds: bool) -> Cumulative:
    """Return cumulative counts, all of them exact.

    A sketch of this package has thousands of intervals, which come and go with the values. Its counts are taken at
    powers of two, which are always edges of its intervals. An interval has its lower edge and not its upper one, so the
    whole numbers below 2^k are those at most 2^k - 1. A histogram that came from elsewhere keeps its own bounds.

    Args:
        distribution: Counts of values in intervals.
        seconds: Whether values are durations.
    """
    below = tuple(accumulate(distribution.counts))
    if _is_sketch(distribution.bounds):
        edges = _SECONDS if seconds else _WHOLE
        counts = [_exact(distribution, below, edge) for edge in edges]
        exact = [count for count in counts if count is not None]
        if len(exact) == len(edges):
            bounds = edges if seconds else tuple(edge - 1.0 for edge in edges)
            return Cumulative(bounds, (*exact, below[-1]))
    return Cumulative(distribution.bounds, below)


def _is_sketch(bounds: tuple[float, ...]) -> bool:
    """Return whether bounds may be of a sketch: each has seven bits, and not all are powers of two."""
    parts = [frexp(bound)[0] * _PARTS for bound in bounds]
    return all(part == int(part) for part in parts) and (
        not bounds or bounds[-1] < _SMALLEST or any(part != _PARTS / 2 for part in parts)
    )


def _exact(distribution: Distribution, below: tuple[int, ...], bound: float) -> int | None:
    """Return the number of values that are at most a bound; None if it lies inside of an interval with values."""
    place = bisect_left(distribution.bounds, bound)
    upper = distribution.bounds[place] if place < len(distribution.bounds) else inf
    if upper == bound:
        return below[place]
    return (below[place - 1] if place else 0) if distribution.counts[place] == 0 else None

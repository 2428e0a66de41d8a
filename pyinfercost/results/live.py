"""Measurements of a live model: cumulative figures at a moment, and what changed between two of them.

Whatever observes a model, in its process or from outside, makes a `Snapshot`. Exporters, pages, logs and reports read
snapshots and know no observer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from ..errors import InputError
from .live_figures import COUNTER, LIVE_FIGURES

Labels = tuple[tuple[str, str], ...]
"""Names and values of labels, in the order of `LiveFigure.labels`."""


class Series(NamedTuple):
    """A figure of `LIVE_FIGURES` with the values of its labels: `Series("requests", (("outcome", "ok"),))`."""

    figure: str
    labels: Labels = ()


@dataclass(frozen=True)
class Distribution:
    """Counts of values in intervals.

    Attributes:
        bounds: Upper bounds of the intervals, ascending, finite; a value that equals a bound lies below it.
        counts: Values in each interval; one more than `bounds`, the last one for values above all bounds.
        total: Sum of the values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @classmethod
    def of_cumulative(cls, bounds: Sequence[float], cumulative: Sequence[float], total: float) -> Distribution:
        """Return the distribution of a Prometheus histogram.

        Args:
            bounds: The finite `le`, ascending.
            cumulative: Values at most each bound, and the count of all.
            total: Sum of the values.

        Raises:
            InputError: Lengths do not fit, or a count falls.
        """
        if len(cumulative) != len(bounds) + 1:
            raise InputError(f"a histogram has {len(bounds)} bounds and {len(cumulative)} counts; expected one more")
        counts = [round(after - before) for before, after in pairwise([0.0, *cumulative])]
        if any(count < 0 for count in counts):
            raise InputError("the cumulative counts of a histogram fall; expected ascending ones")
        return cls(tuple(bounds), tuple(counts), total)

    @classmethod
    def merged(cls, distributions: Sequence[Distribution]) -> Distribution:
        """Return the values of several distributions together.

        Bounds may differ: values of an interval that another distribution divides are counted in its last part.
        """
        bounds = distributions[0].bounds if distributions else ()
        total = sum(each.total for each in distributions)
        if all(each.bounds == bounds for each in distributions):
            columns = zip(*(each.counts for each in distributions), strict=True)
            return cls(bounds, tuple(map(sum, columns)) or (0,), total)
        counts: dict[float, int] = {float("inf"): 0}
        for each in distributions:
            for bound, count in zip((*each.bounds, float("inf")), each.counts, strict=True):
                counts[bound] = counts.get(bound, 0) + count
        ordered = sorted(counts)
        return cls(tuple(ordered[:-1]), tuple(counts[bound] for bound in ordered), total)

    def compact(self) -> Distribution:
        """Return the same values without bounds between empty intervals; percentiles stay the same."""
        kept = [
            place for place in range(len(self.bounds)) if self.counts[place] or self.counts[place + 1]
        ]  # bounds on either side of an interval with values
        counts = [0] * (len(kept) + 1)
        for number, place in enumerate(kept):
            counts[number] = self.counts[place]
        counts[-1] = self.counts[-1]
        return Distribution(tuple(self.bounds[place] for place in kept), tuple(counts), self.total)

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Mean; not a number without values."""
        return self.total / self.count if self.count else float("nan")

    def percentile(self, percent: float) -> float:
        """Return a percentile, linear inside of its interval; not a number without values.

        Values above the last bound are taken as that bound. The error is at most the width of an interval.
        """
        rank = self.count * percent / 100.0
        if not self.count:
            return float("nan")
        below, lower = 0, 0.0
        for upper, count in zip(self.bounds, self.counts, strict=False):
            if count and below + count >= rank:
                return lower + (upper - lower) * max(0.0, rank - below) / count
            below, lower = below + count, upper
        return lower

    def at_most(self, value: float) -> float:
        """Return the number of values that are at most `value`, linear inside of its interval."""
        place = bisect_left(self.bounds, value)
        below = float(sum(self.counts[:place]))
        if place == len(self.bounds):
            return below
        lower = self.bounds[place - 1] if place else 0.0
        return below + self.counts[place] * (value - lower) / (self.bounds[place] - lower)

    def since(self, earlier: Distribution | None) -> Distribution:
        """Return the values that were added after an earlier state of the same distribution.

        Intervals may have been split since: an earlier bound is a bound still.
        """
        if earlier is None:
            return self
        counts = dict(zip((*self.bounds, float("inf")), self.counts, strict=True))
        for bound, count in zip((*earlier.bounds, float("inf")), earlier.counts, strict=True):
            if count:
                counts[bound] = counts.get(bound, 0) - count
        if any(count < 0 for count in counts.values()):
            raise InputError("a distribution has fewer values than before; it was started again")
        counts.setdefault(float("inf"), 0)
        bounds = tuple(sorted(counts))
        return Distribution(bounds[:-1], tuple(counts[bound] for bound in bounds), self.total - earlier.total)

    def plus(self, other: Distribution) -> Distribution:
        """Return the values of both; where intervals differ, they have the bounds of both."""
        counts = dict(zip((*self.bounds, float("inf")), self.counts, strict=True))
        for bound, count in zip((*other.bounds, float("inf")), other.counts, strict=True):
            counts[bound] = counts.get(bound, 0) + count
        bounds = tuple(sorted(counts))
        return Distribution(bounds[:-1], tuple(counts[bound] for bound in bounds), self.total + other.total)


@dataclass(frozen=True)
class Snapshot:
    """Figures of one observed model at a moment. Counters and distributions are totals since the observer started.

    Attributes:
        time_s: Unix time.
        values: Series of a counter or gauge -> value. Unknown series are absent; `notes` give the reason.
        distributions: Series of a histogram -> values.
        info: What does not change: `model`, `hardware`, `engine`, `precision`, `layout`, `observer`, `run`. `run`
            identifies the observer since its start: totals of two snapshots are comparable if it is the same.
        notes: Reasons of missing figures, and assumptions.
    """

    time_s: float
    values: Mapping[Series, float]
    distributions: Mapping[Series, Distribution] = field(default_factory=lambda: MappingProxyType({}))
    info: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()

    def value(self, figure: str, **labels: str) -> float | None:
        """Return a value; None if it is unknown. Without labels it is the sum over the series of the figure."""
        if labels:
            return self.values.get(series(figure, **labels))
        found = [value for each, value in self.values.items() if each.figure == figure]
        return sum(found) if found else None

    def distribution(self, figure: str, **labels: str) -> Distribution | None:
        """Return a distribution; None if it is unknown."""
        return self.distributions.get(series(figure, **labels))

    def since(self, earlier: Snapshot) -> Snapshot:
        """Return what was counted after an earlier snapshot of the same run; gauges stay as they are here.

        Raises:
            InputError: The observer was started again in between.
        """
        if self.info.get("run") != earlier.info.get("run"):
            raise InputError("two snapshots are of different runs of an observer; their totals have no difference")
        values = {
            each: value - earlier.values.get(each, 0.0) if LIVE_FIGURES[each.figure].kind == COUNTER else value
            for each, value in self.values.items()
        }
        distributions = {
            each: value.since(earlier.distributions.get(each)) for each, value in self.distributions.items()
        }
        return replace(self, values=values, distributions=distributions)


def series(figure: str, **labels: str) -> Series:
    """Return a series, with its labels in the order of the catalog."""
    return Series(figure, tuple((name, labels[name]) for name in LIVE_FIGURES[figure].labels))

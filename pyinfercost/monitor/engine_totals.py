"""Totals of an engine over the processes that served it: counters of pages, added so that nothing counts twice.

Each series of a page is followed by itself, so that one that is missing for a while, as on a page that was cut off,
goes on where it was. A process that began again counts from 0: its counts are added. It is recognized by

- the time at which the process started, if the page has it; if that is the same, a counter that fell is damaged, and
  its value is ignored;
- the times at which its counters were created, if all of them are later than before;
- a counter that fell. Then the series of the same engine and model began again, and all series if the server did not
  answer in between;
- names of which none was on the page before.

Counts between the last page of a process and its end are unknown and not added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import NamedTuple, TypeVar

from .._escapes import visible
from ..results.live import Distribution, Series
from .engines.metric import MEAN, START, Engine, Metric, Sources, created_name
from .scraping import LabelSet, Page

_SAME_S, _LATER_S = 0.05, 2.0
"""Two starts are of one process below the first, and of two beyond the second: some servers compute theirs anew."""
_MOST_UNKNOWN = 3  # pages in a row that are left out
_KEPT_NOTES = 20
_ROUNDING = 1e-9  # of sums of seconds over threads, whose last digits may differ

_Key = tuple[str, LabelSet]
_Which = Callable[[LabelSet], bool]
_Each = TypeVar("_Each", Series, str)


class Change(NamedTuple):
    """Increments of a page over the page before.

    Attributes:
        counters: Series of the catalog -> increase.
        parts: Inputs of estimates -> increase.
        restarted: Whether a process, or an engine in it, began again.
    """

    counters: dict[Series, float]
    parts: dict[str, float]
    restarted: bool


@dataclass(frozen=True)
class _Histogram:
    """The buckets of one set of labels: cumulative counts over ascending bounds, and the sum of the values."""

    heights: dict[float, float]
    total: float

    @property
    def is_whole(self) -> bool:
        return inf in self.heights and all(one <= other for one, other in pairwise(self.heights.values()))

    def fell_below(self, earlier: _Histogram) -> bool:
        return any(height < earlier.heights.get(bound, 0.0) for bound, height in self.heights.items())

    def continues(self, earlier: _Histogram) -> bool:
        """Return whether it may be a later state of the same one; else it is damaged, if its process went on."""
        return earlier.heights.keys() <= self.heights.keys() and not self.fell_below(earlier)


_NONE = _Histogram({}, 0.0)


@dataclass
class _Bins:
    counts: dict[float, int] = field(default_factory=dict)
    total: float = 0.0

    def distribution(self) -> Distribution:
        bounds = tuple(sorted(bound for bound in self.counts if bound != inf))
        counts = (*(self.counts[bound] for bound in bounds), self.counts.get(inf, 0))
        return Distribution(bounds, counts, self.total)


@dataclass(frozen=True)
class _Reader:
    """Reads what an engine counts from a page; of one model, or of all of them."""

    engine: Engine
    model: str | None

    def created(self, page: Page, now: Mapping[_Key, float]) -> list[float]:
        """Return the times at which the counters of a page were created."""
        return [
            value
            for name in {created_name(key[0]) for key in now}
            for labels, value in page.samples.get(name, {}).items()
            if self._is_ours(labels)
        ]

    def identity(self, labels: LabelSet) -> LabelSet:
        return frozenset(pair for pair in labels if pair[0] in self.engine.identity)

    def _is_ours(self, labels: LabelSet) -> bool:
        label = self.engine.model_label
        return self.model is None or all(value == self.model for name, value in labels if name == label)

    def counted(self, page: Page) -> Iterator[tuple[_Key, float]]:
        """Yield the series of all counters, also of names that are not preferred."""
        tables = (self.engine.counters.values(), self.engine.parts.values())
        names = {metric.name for table in tables for sources in table for source in sources for metric in source}
        for name in names:
            for labels, value in page.samples.get(name, {}).items():
                if self._is_ours(labels):
                    yield (name, labels), value

    def histograms(self, page: Page) -> Iterator[tuple[_Key, _Histogram]]:
        """Yield histograms that are whole, by name and labels."""
        tables = (self.engine.histograms.values(), self.engine.shapes.values())
        names = {metric.name for table in tables for sources in table for source in sources for metric in source}
        for name in names:
            heights: dict[LabelSet, dict[float, float]] = {}
            for labels, value in page.samples.get(f"{name}_bucket", {}).items():
                bound = _bound(labels)
                if bound is not None and self._is_ours(labels):
                    heights.setdefault(frozenset(pair for pair in labels if pair[0] != "le"), {})[bound] = value
            for labels, found in heights.items():
                total = page.samples.get(f"{name}_sum", {}).get(labels)
                shape = _Histogram(dict(sorted(found.items())), total or 0.0)
                if total is not None and shape.is_whole:
                    yield (name, labels), shape

    def samples(self, metric: Metric, page: Page, suffix: str = "") -> Iterator[tuple[LabelSet, float]]:
        """Yield the samples of a metric."""
        for labels, value in page.samples.get(f"{metric.name}{suffix}", {}).items():
            if not self._is_ours(labels):
                continue
            if metric.only or metric.without:
                known = dict(labels)
                if any(known.get(name) not in values for name, values in metric.only.items()):
                    continue
                if any(known.get(name) in values for name, values in metric.without.items()):
                    continue
            yield labels, value

    def one(self, metric: Metric, values: Mapping[LabelSet, float]) -> float:
        total = sum(values.values()) * metric.scale
        if metric.combine == MEAN and values:
            return total / len({self.identity(labels) for labels in values})
        return total


class EngineTotals:
    """Totals since the observer started. Not safe to use from several threads.

    Attributes:
        counters: Series -> total.
        gauges: Series -> value on the last page.
        started_s: Unix time at which the process of the last page started; None if pages lack it.
        ready_s: Unix time at which the first of its counters was created, when it became ready; None likewise.
    """

    def __init__(self, engine: Engine, model: str | None = None) -> None:
        """Begin without a page.

        Args:
            engine: Table of the engine.
            model: Value of the label of the model; None to add all models of the page.
        """
        self._engine = engine
        self._reader = _Reader(engine, model)
        self.counters: dict[Series, float] = {}
        self.gauges: dict[Series, float] = {}
        self.started_s: float | None = None
        self.ready_s: float | None = None
        self._newest_s: float | None = None  # creation of a counter
        self._bins: dict[Series, _Bins] = {}
        self._shape_bins: dict[str, _Bins] = {}
        self._last: dict[_Key, float] = {}
        self._last_shapes: dict[_Key, _Histogram] = {}
        self._chosen: dict[Series | str, int] = {}
        self._seen = False
        self._unknown = 0  # pages in a row without times of their process
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Omissions, with their reasons."""
        return tuple(self._notes)

    @property
    def distributions(self) -> dict[Series, Distribution]:
        """Distributions since the observer started."""
        return {each: bins.distribution() for each, bins in self._bins.items()}

    @property
    def shapes(self) -> dict[str, Distribution]:
        """Distributions that estimates need, likewise."""
        return {each: bins.distribution() for each, bins in self._shape_bins.items()}

    def read(self, page: Page, *, from_zero: bool = False, after_gap: bool = False) -> Change | None:
        """Add the increments of a page over the page before.

        Args:
            page: The page.
            from_zero: Whether a first page counts from the start of its process, instead of from now on.
            after_gap: Whether the server did not answer since the page before.

        Returns:
            The increments; None for a first page that is not whole, whose missing series would later count as new.
        """
        if not self._seen and not page.is_whole:
            return None
        now, shapes = dict(self._reader.counted(page)), dict(self._reader.histograms(page))
        if self._is_of_unknown_process(page, now):
            return Change({}, {}, False)
        began = self._began(page, now, shapes, after_gap)
        if not self._seen:
            self._last = {} if from_zero else now
            self._last_shapes = {} if from_zero else shapes
            self._seen = True
            began = None
        elif began is not None:
            self._last = {key: value for key, value in self._last.items() if not began(key[1])}
            self._last_shapes = {key: shape for key, shape in self._last_shapes.items() if not began(key[1])}
            if not self._last:
                self._chosen.clear()
        increase = {key: max(0.0, value - self._last.get(key, 0.0)) for key, value in now.items()}
        counters = self._sums(self._engine.counters, page, increase)
        parts = self._sums(self._engine.parts, page, increase)
        for each, value in counters.items():
            self.counters[each] = self.counters.get(each, 0.0) + value
        self._add_histograms(page, shapes)
        self._last.update({key: max(value, self._last.get(key, 0.0)) for key, value in now.items()})
        self.gauges = {
            each: sum(self._reader.one(metric, dict(self._reader.samples(metric, page))) for metric in source)
            for each, sources in self._engine.gauges.items()
            if (source := self._source(each, sources, page)) is not None
        }
        return Change(counters, parts, began is not None)

    # ---- restarts ----

    def _is_of_unknown_process(self, page: Page, now: Mapping[_Key, float]) -> bool:
        """Return whether a page lacks all times of its process, which pages before had.

        Its counts may be of a new process, and would count again on the next page. Counters go on there, so nothing
        is lost. If such pages follow one another, the server has stopped to publish times.
        """
        is_known = self.started_s is not None or self._newest_s is not None
        if not is_known or page.samples.get(START) or self._reader.created(page, now):
            self._unknown = 0
            return False
        self._unknown += 1
        if self._unknown > _MOST_UNKNOWN:
            return False
        self._note("a page lacked the times at which its process started; it was left out")
        return True

    def _began(
        self, page: Page, now: Mapping[_Key, float], shapes: Mapping[_Key, _Histogram], after_gap: bool
    ) -> _Which | None:
        """Return which labels are of series that began again; None if none did."""
        started_s = min(page.samples.get(START, {}).values(), default=None)
        created = self._reader.created(page, now)
        apart_s = None if None in (started_s, self.started_s) else abs((started_s or 0.0) - (self.started_s or 0.0))
        is_later = apart_s is not None and apart_s > _LATER_S
        is_later |= bool(created) and self._newest_s is not None and min(created) > self._newest_s
        is_later |= page.is_whole and bool(now) and bool(self._last) and not now.keys() & self._last.keys()
        if is_later:
            self._enter(started_s, created)
            return lambda labels: True
        self.started_s = self.started_s if started_s is None else started_s
        if created:
            self.ready_s = min(created)
            self._newest_s = max(*created, self._newest_s or 0.0)
        fell = {key for key, value in now.items() if value < self._last.get(key, 0.0) * (1.0 - _ROUNDING)}
        fell |= {
            key
            for key, shape in shapes.items()
            if key in self._last_shapes and shape.fell_below(self._last_shapes[key])
        }
        if not fell:
            return None
        if apart_s is not None and apart_s <= _SAME_S:
            self._note("a counter fell while its process went on; its value was ignored")
            return None
        self._enter(started_s, created)
        if after_gap:
            return lambda labels: True
        fallen = {self._reader.identity(key[1]) for key in fell}
        return lambda labels: self._reader.identity(labels) in fallen

    def _enter(self, started_s: float | None, created: list[float]) -> None:
        """Keep the times of a process that began. Those that its first page lacks would make the next one another."""
        self.started_s = started_s
        self.ready_s = min(created, default=None)
        self._newest_s = max(created, default=None)

    def _source(self, each: Series | str, sources: Sources, page: Page, suffix: str = "") -> tuple[Metric, ...] | None:
        """Select the metrics of a figure; keep the previous choice while they are exported."""

        def is_there(source: tuple[Metric, ...]) -> bool:
            return all(any(True for _ in self._reader.samples(metric, page, suffix)) for metric in source)

        known = self._chosen.get(each)
        if known is not None and (is_there(sources[known]) or not page.is_whole):
            return sources[known]
        name = each if isinstance(each, str) else each.figure
        for place, source in enumerate(sources):
            if is_there(source):
                if known is not None:
                    self._note(f"{name} is read from {source[0].name} since {sources[known][0].name} left the page")
                self._chosen[each] = place
                return source
        if known is not None:
            self._note(f"{name} is no longer read: {sources[known][0].name} left the page")
        return None

    def _sums(self, table: Mapping[_Each, Sources], page: Page, increase: Mapping[_Key, float]) -> dict[_Each, float]:
        found: dict[_Each, float] = {}
        for each, sources in table.items():
            source = self._source(each, sources, page)
            if source is not None:
                found[each] = sum(
                    self._reader.one(
                        metric, {at: increase[metric.name, at] for at, _ in self._reader.samples(metric, page)}
                    )
                    for metric in source
                )
        return found

    def _add_histograms(self, page: Page, shapes: Mapping[_Key, _Histogram]) -> None:
        """Add histograms that are whole; the others go on with the next page that has them whole."""
        self._fill(self._bins, self._engine.histograms, page, shapes)
        self._fill(self._shape_bins, self._engine.shapes, page, shapes)
        for key, shape in shapes.items():
            if shape.continues(self._last_shapes.get(key, _NONE)):
                self._last_shapes[key] = shape
            else:
                self._note(f"{key[0]} lacked values that it had before; it was left out once")

    def _fill(
        self, bins: dict[_Each, _Bins], table: Mapping[_Each, Sources], page: Page, shapes: Mapping[_Key, _Histogram]
    ) -> None:
        for each, sources in table.items():
            for metric in self._source(each, sources, page, "_bucket") or ():
                for key, shape in shapes.items():
                    if key[0] == metric.name:
                        _add(bins.setdefault(each, _Bins()), shape, self._last_shapes.get(key, _NONE), metric.scale)

    def _note(self, words: str) -> None:
        if len(self._notes) < _KEPT_NOTES:
            self._notes[visible(words)] = None


def _bound(labels: LabelSet) -> float | None:
    """Return the upper bound of a bucket."""
    for name, value in labels:
        if name == "le":
            try:
                return float(value)
            except ValueError:
                return None
    return None


def _risen(shape: _Histogram, known: _Histogram) -> Iterator[float]:
    """Yield how far each cumulative count rose.

    A bucket that was missing before has the rise of the one below it: values between them count in the next one above.
    """
    risen = 0.0
    for bound, height in shape.heights.items():
        if bound in known.heights or not known.heights:
            risen = height - known.heights.get(bound, 0.0)
        yield risen


def _add(bins: _Bins, shape: _Histogram, known: _Histogram, scale: float) -> None:
    heights = list(_risen(shape, known))
    if not shape.continues(known) or any(one > other for one, other in pairwise(heights)):
        return
    added = Distribution.of_cumulative([*shape.heights][:-1], heights, shape.total - known.total)
    for bound, count in zip((*added.bounds, inf), added.counts, strict=True):
        bins.counts[bound * scale] = bins.counts.get(bound * scale, 0) + count
    bins.total += max(0.0, added.total) * scale

"""Rows of the tables of engines: where a figure stands on the page of an engine, in whichever version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from ...results.live import Series

SUM, MEAN = "sum", "mean"
"""How samples of several engines are one value; the mean is over engines, by their labels of identity."""

_NONE: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True)
class Metric:
    """A metric of a page.

    Attributes:
        name: Name of its samples; of a histogram without `_bucket`.
        scale: Our unit of its unit: 1e-6 for microseconds.
        only: Label -> values of the samples that count.
        without: Label -> values of samples that do not count.
        combine: How its samples are one value.
    """

    name: str
    scale: float = 1.0
    only: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NONE)
    without: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NONE)
    combine: str = SUM


Sources: TypeAlias = tuple[tuple[Metric, ...], ...]
"""Alternative metrics of a figure, the preferred one first; metrics of one alternative are added."""


@dataclass(frozen=True)
class Engine:
    """The table of an engine.

    Attributes:
        name: Name of the engine.
        prefix: Prefix of the names of its metrics, by which it is recognized.
        predicted_as: Engine of deployments whose steps are predicted for it; None if its page has no times of steps.
        model_label: Label with the name of the model.
        identity: Labels that tell engines and models on one page apart: a counter that falls starts all of them again.
        counters: Series of the catalog -> alternatives; totals since the start of the process.
        gauges: Series -> alternatives.
        histograms: Series -> alternatives.
        parts: Counters that estimates need: `steps` of the engine; `decode_s` and `decode_tokens`, the sum and number
            of times between two tokens of a sequence; `decode_steps` and `decode_steps_s`, number and time of steps
            that only decode; `prefill_s`, time of requests from the queue to their first token; `busy_s`, time in
            which the device works; `batches`, `batch_requests` and `batch_s`, executions, the requests in them and the
            time of these requests.
        shapes: Histograms that estimates need: `step_tokens`, tokens of the steps of the engine.
        notes: Differences of its figures from the catalog.
        hint: Address of its page, and the requirements of one.
    """

    name: str
    prefix: str
    predicted_as: str | None
    model_label: str
    identity: tuple[str, ...]
    counters: Mapping[Series, Sources]
    gauges: Mapping[Series, Sources]
    histograms: Mapping[Series, Sources]
    parts: Mapping[str, Sources]
    shapes: Mapping[str, Sources] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()
    hint: str = ""

    def wanted(self) -> set[str]:
        """Return the names of all samples of its page that are read."""
        found = {START}
        for metric in self._metrics(self.counters, self.parts):
            found |= {metric.name, created_name(metric.name)}
        found |= {metric.name for metric in self._metrics(self.gauges)}
        for metric in self._metrics(self.histograms, self.shapes):
            found |= {f"{metric.name}{suffix}" for suffix in ("_bucket", "_sum", "_count", "_created")}
        return found

    @staticmethod
    def _metrics(*tables: Mapping[Series, Sources] | Mapping[str, Sources]) -> Iterator[Metric]:
        for table in tables:
            for sources in table.values():
                for source in sources:
                    yield from source


START = "process_start_time_seconds"
"""Unix time at which the process of a page started, in client libraries of Prometheus."""


def created_name(name: str) -> str:
    """Return the name of the time at which a counter was created."""
    for suffix in ("_total", "_sum", "_count"):
        if name.endswith(suffix):
            return f"{name.removesuffix(suffix)}_created"
    return f"{name}_created"


def named(
    *names: str,
    scale: float = 1.0,
    only: Mapping[str, tuple[str, ...]] = _NONE,
    without: Mapping[str, tuple[str, ...]] = _NONE,
    combine: str = SUM,
) -> Sources:
    """Return one alternative for each name, the preferred one first."""
    return tuple((Metric(name, scale, only, without, combine),) for name in names)


def counted(
    *names: str,
    only: Mapping[str, tuple[str, ...]] = _NONE,
    without: Mapping[str, tuple[str, ...]] = _NONE,
    combine: str = SUM,
) -> Sources:
    """Return the alternatives of counters, which have the suffix `_total` by the format and in some servers none."""
    both = [each for name in names for each in (f"{name}_total", name)]
    return named(*both, only=only, without=without, combine=combine)

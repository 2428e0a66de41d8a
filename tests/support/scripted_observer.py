"""An observer whose figures a test sets, and a process that serves one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import accumulate

from pyinfercost.results.live import Distribution, Series, Snapshot, series

EDGES = (0.25, 0.5, 1.0, 2.5, 5.0)
"""Bounds of a histogram of an engine."""


class ScriptedObserver:
    """An observer with exact totals: what a test adds is what its snapshots have."""

    def __init__(self, model: str = "small", *, run: str = "1") -> None:
        self.values: dict[Series, float] = {}
        self.distributions: dict[Series, Distribution] = {}
        self.info = {"model": model, "hardware": "l4", "engine": "vllm", "precision": "bf16", "run": run}
        self.time_s = 1_800_000_000.0
        self.fails: Exception | None = None
        self.snapshots = 0

    def add(self, figure: str, amount: float, **labels: str) -> None:
        """Increase a counter."""
        each = series(figure, **labels)
        self.values[each] = self.values.get(each, 0.0) + amount

    def set(self, figure: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self.values[series(figure, **labels)] = value

    def fill(self, figure: str, counts: Sequence[int], total: float, bounds: tuple[float, ...] = EDGES) -> None:
        """Set a distribution."""
        self.distributions[series(figure)] = Distribution(bounds, tuple(counts), total)

    def snapshot(self) -> Snapshot:
        """Return the figures, or fail."""
        self.snapshots += 1
        if self.fails is not None:
            raise self.fails
        return Snapshot(self.time_s, dict(self.values), dict(self.distributions), dict(self.info))


def busy_observer(model: str = "small") -> ScriptedObserver:
    """An observer with a value for every figure of the catalog, all of them different."""
    from pyinfercost.results.live_figures import HISTOGRAM, LIVE_FIGURES

    labels = {
        "use": ("busy", "idle", "cold"),
        "outcome": ("ok", "error"),
        "part": ("step",),
        "kind": ("requests",),
        "exporter": ("otel",),
    }
    observer = ScriptedObserver(model)
    for number, figure in enumerate(LIVE_FIGURES.values(), 1):
        if figure.kind == HISTOGRAM:
            counts = [number, 2, 3, 0, 1, 4]
            observer.fill(figure.key, counts, sum(accumulate(counts)) / 7)
        elif figure.labels:
            for place, text in enumerate(labels[figure.labels[0]], 1):
                observer.set(figure.key, number + place / 7, **{figure.labels[0]: text})
        else:
            observer.set(figure.key, number + 1 / 7)
    observer.set("up", 1.0)
    observer.time_s = time.time()
    return observer

"""Snapshots of an observer whose book-keeping is known, for tests of logs, exports and reports."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np

from pyinfercost.monitor.request_columns import RequestColumns
from pyinfercost.results.live import Distribution, Series, Snapshot, series

MONDAY_S = 1_767_571_200.0  # 2026-01-05T00:00:00Z
BOUNDS = tuple(float(f"{1e-4 * 1.05**step:.7g}") for step in range(300))
LENGTH_BOUNDS = tuple(float(2**power) for power in range(14))


class Observed:
    """An observer that counts what it is told."""

    def __init__(self, run: str = "one", start_s: float = MONDAY_S, **info: str) -> None:
        self.now_s = start_s
        self.info = {"model": "small", "hardware": "l4", "engine": "vllm", "run": run, **info}
        self.values: dict[Series, float] = {}
        self.notes: tuple[str, ...] = ()
        self._samples: dict[Series, tuple[tuple[float, ...], list[int], list[float]]] = {}

    def count(self, figure: str, value: float = 1.0, **labels: str) -> None:
        name = series(figure, **labels)
        self.values[name] = self.values.get(name, 0.0) + value

    def gauge(self, figure: str, value: float, **labels: str) -> None:
        self.values[series(figure, **labels)] = value

    def sample(self, figure: str, *values: float, bounds: Sequence[float] = BOUNDS) -> None:
        name = series(figure)
        edges, counts, total = self._samples.setdefault(name, (tuple(bounds), [0] * (len(bounds) + 1), [0.0]))
        for value in values:
            counts[bisect_left(edges, value)] += 1
            total[0] += value

    def snapshot(self, passed_s: float = 0.0) -> Snapshot:
        self.now_s += passed_s
        found: Mapping[Series, Distribution] = {
            name: Distribution(edges, tuple(counts), total[0]) for name, (edges, counts, total) in self._samples.items()
        }
        return Snapshot(self.now_s, dict(self.values), found, dict(self.info), self.notes)


def requests_at(arrival_s: Sequence[float] | np.ndarray, seed: int = 0) -> RequestColumns:
    """Requests with lengths and times that are drawn."""
    rng = np.random.default_rng(seed)
    arrival = np.asarray(arrival_s, dtype=np.float64)
    count = len(arrival)
    first = arrival + rng.uniform(0.01, 0.2, count)
    return RequestColumns.of(
        arrival,
        prompt_tokens=rng.integers(16, 512, count),
        output_tokens=rng.integers(2, 128, count),
        first_token_s=first,
        end_s=first + rng.uniform(0.1, 2.0, count),
    )

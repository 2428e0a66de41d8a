"""Pareto fronts of a sweep's rows on one core, for different shares of rows on the front."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pyinfercost._core import pareto_front

from .interleaved import alone, race
from .parameters import FRONT_NUMPY_ROWS, FRONT_ROWS, MAX_FRONT_S, SLOW_ROUNDS

Columns = list[NDArray[np.float64]]
GRID = 2**20
"""Values are integers, so that sums of three, and therefore the expected results, are exact."""


def front(columns: Columns) -> NDArray[np.int64]:
    """Compute the front; this is the measured function."""
    return pareto_front(columns, [False] * len(columns))


def by_sorting(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
    """Front of two objectives in numpy, with equal rows kept."""
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    lowest = np.minimum.accumulate(y)
    first = np.concatenate(([True], y[1:] < lowest[:-1]))
    # A row that equals the previous one is on the front if that one is.
    repeats = np.concatenate(([False], (x[1:] == x[:-1]) & (y[1:] == y[:-1])))
    starts = np.maximum.accumulate(np.where(repeats, 0, np.arange(x.size)))
    return np.sort(order[first[starts]])


def independent(columns: Columns) -> NDArray[np.int64]:
    """Few rows on the front: the row with the smallest sum is on it, and the rows it dominates are dropped."""
    rows = np.arange(columns[0].size)
    left = list(columns)
    found = []
    while rows.size:
        best = int(np.argmin(sum(left)))
        same = np.logical_and.reduce([column == column[best] for column in left])
        better = np.logical_or.reduce([column < column[best] for column in left])
        found.append(rows[same])
        kept = better & ~same
        rows, left = rows[kept], [column[kept] for column in left]
    return np.sort(np.concatenate(found))


def everything(columns: Columns) -> NDArray[np.int64]:
    """All rows: the columns add up to a constant."""
    return np.arange(columns[0].size)


def uniform(rng: np.random.Generator, rows: int, objectives: int) -> Columns:
    return list(rng.random((objectives, rows)))


def correlated(rng: np.random.Generator, rows: int, objectives: int) -> Columns:
    return list(rng.random(rows) + 0.05 * rng.normal(size=(objectives, rows)))


def integers(rng: np.random.Generator, rows: int, objectives: int) -> Columns:
    return list(rng.integers(0, 51, (objectives, rows)).astype(np.float64))


def ascending(_rng: np.random.Generator, rows: int, objectives: int) -> Columns:
    return [np.arange(rows, dtype=np.float64)] * objectives


def descending(_rng: np.random.Generator, rows: int, objectives: int) -> Columns:
    return [np.arange(rows, dtype=np.float64)[::-1].copy()] * objectives


def one_sum(rng: np.random.Generator, rows: int, objectives: int) -> Columns:
    columns = list(rng.integers(0, GRID**2, (objectives, rows)).astype(np.float64))
    columns[-1] = -np.sum(columns[:-1], axis=0)
    return columns


def nearly_one_sum(rng: np.random.Generator, rows: int, objectives: int) -> Columns:
    columns = one_sum(rng, rows, objectives)
    columns[-1] += GRID * rng.random(rows)
    return columns


SHAPES: dict[str, tuple[Callable[..., Columns], Callable[[Columns], NDArray[np.int64]]]] = {
    "uniform": (uniform, independent),
    "correlated": (correlated, independent),
    "integers 0..50": (integers, independent),
    "ascending": (ascending, independent),
    "descending": (descending, independent),
    "all on the front": (one_sum, everything),
}


@pytest.mark.slow
@pytest.mark.parametrize("objectives", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def bench_front(benchmark: Any, shape: str, objectives: int) -> None:
    """Tables of ten million rows."""
    make, expect = SHAPES[shape]
    columns = make(np.random.default_rng(1), FRONT_ROWS, objectives)
    answers = race(
        benchmark,
        f"front of {FRONT_ROWS:,} x {objectives}, {shape}",
        lambda: front(columns),
        {},
        rounds=SLOW_ROUNDS,
    )
    np.testing.assert_array_equal(answers["ours"], expect(columns))
    if benchmark.enabled:
        title = f"front of {FRONT_ROWS:,} x {objectives}, {shape}"
        alone(title, benchmark.extra_info["ours_s"], MAX_FRONT_S[objectives])


@pytest.mark.slow
def bench_front_nearly_one_sum(benchmark: Any) -> None:
    """A front that a sample does not distinguish from all rows."""
    columns = nearly_one_sum(np.random.default_rng(1), FRONT_ROWS, 2)
    title = f"front of {FRONT_ROWS:,} x 2, nearly all on the front"
    answers = race(benchmark, title, lambda: front(columns), {}, rounds=SLOW_ROUNDS)
    np.testing.assert_array_equal(answers["ours"], by_sorting(*columns))
    if benchmark.enabled:
        alone(title, benchmark.extra_info["ours_s"], MAX_FRONT_S[2])


@pytest.mark.parametrize("make", [uniform, one_sum])
def bench_front_and_numpy(benchmark: Any, make: Callable[..., Columns]) -> None:
    """Two objectives, compared with sorting in numpy."""
    columns = make(np.random.default_rng(1), FRONT_NUMPY_ROWS, 2)
    answers = race(
        benchmark,
        f"front of {FRONT_NUMPY_ROWS:,} x 2, {make.__name__}",
        lambda: front(columns),
        {"numpy, sorted": lambda: by_sorting(*columns)},
        rounds=SLOW_ROUNDS,
    )
    np.testing.assert_array_equal(answers["ours"], answers["numpy, sorted"])

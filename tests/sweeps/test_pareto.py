"""Pareto fronts compared with the definition and with slower algorithms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pyinfercost._core import pareto_front

Columns = list[NDArray[np.float64]]

ROWS = 20_000
"""Enough for the filter, which looks at a sample first, and for sorting in buckets."""
MANY_ROWS = 1_300_000
"""Enough that candidates are reduced more than once."""

VALUES = st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, np.nan, np.inf, -np.inf])


def front(columns: Columns) -> NDArray[np.int64]:
    """The front with every objective minimized."""
    return pareto_front(columns, [False] * len(columns))


def by_definition(columns: Columns) -> list[int]:
    """All pairs of rows."""
    table = np.stack(columns, axis=1)
    ordered = ~np.isnan(table).any(axis=1)
    no_worse = (table[:, None] <= table[None]).all(axis=2)
    better = (table[:, None] < table[None]).any(axis=2)
    return np.flatnonzero(ordered & ~(no_worse & better).any(axis=0)).tolist()


def by_elimination(columns: Columns) -> NDArray[np.int64]:
    """Takes the row with the smallest sum, which none can dominate, and drops what it dominates: rows x front."""
    table = np.stack(columns, axis=1)
    rows = np.argsort(table.sum(axis=1), kind="stable")
    found = []
    while rows.size:
        best = table[rows[0]]
        same = (table[rows] == best).all(axis=1)
        found.append(rows[same])
        rows = rows[~same & (table[rows] < best).any(axis=1)]
    return np.sort(np.concatenate(found))


def by_sorting(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
    """Two objectives: no equal rows, in order of x, where y is below all before it."""
    order = np.lexsort((y, x))
    lowest = np.minimum.accumulate(y[order])
    return np.sort(order[np.concatenate(([True], y[order][1:] < lowest[:-1]))])


def simplex(rng: np.random.Generator, rows: int, objectives: int) -> NDArray[np.float64]:
    """Columns of shares that add up to one, nearly."""
    shares = rng.exponential(size=(objectives, rows))
    return shares / shares.sum(axis=0)


@given(data=st.data(), objectives=st.integers(1, 5), rows=st.integers(0, 60))
def test_small_tables_follow_the_definition(data: st.DataObject, objectives: int, rows: int) -> None:
    columns = [
        np.array(data.draw(st.lists(VALUES, min_size=rows, max_size=rows)), dtype=np.float64) for _ in range(objectives)
    ]
    maximize = data.draw(st.lists(st.booleans(), min_size=objectives, max_size=objectives))
    got = pareto_front(columns, maximize)
    assert got.dtype == np.int64
    turned = [-column if larger else column for column, larger in zip(columns, maximize, strict=True)]
    assert got.tolist() == by_definition(turned)


@given(
    seed=st.integers(0, 2**32 - 1),
    objectives=st.integers(2, 6),
    rows=st.integers(100, 600),
    distinct=st.sampled_from([2, 4, 10, 1000]),
)
def test_ties_in_tables_that_are_split(seed: int, objectives: int, rows: int, distinct: int) -> None:
    rng = np.random.default_rng(seed)
    columns = list(rng.integers(0, distinct, size=(objectives, rows)).astype(np.float64))
    # The last one trades against the others, so that fronts are large.
    columns[-1] = columns[-1] - np.sum(columns[:-1], axis=0)
    assert front(columns).tolist() == by_definition(columns)


SHAPES: dict[str, Callable[[np.random.Generator, int, int], Any]] = {
    "uniform": lambda rng, rows, d: rng.random((d, rows)),
    "correlated": lambda rng, rows, d: rng.random(rows) + 0.05 * rng.normal(size=(d, rows)),
    "lognormal": lambda rng, rows, d: np.exp(8 * rng.normal(size=(d, rows))),
    "integers": lambda rng, rows, d: rng.integers(0, 51, (d, rows)).astype(np.float64),
    "near a plane": lambda rng, rows, d: simplex(rng, rows, d) + 0.2 * rng.random((d, rows)),
    "one constant": lambda rng, rows, d: np.vstack([np.ones(rows), rng.random((d - 1, rows))]),
    "sorted": lambda rng, rows, d: np.sort(rng.random((d, rows)), axis=1),
    "reverse sorted": lambda rng, rows, d: np.sort(rng.random((d, rows)), axis=1)[:, ::-1],
    "first sorted": lambda rng, rows, d: np.vstack([np.arange(rows), rng.random((d - 1, rows))]),
    "all equal": lambda rng, rows, d: np.ones((d, rows)),
}


@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.sample(10)
def test_larger_tables(shape: str, objectives: int) -> None:
    columns = list(SHAPES[shape](np.random.default_rng(objectives), ROWS, objectives))
    np.testing.assert_array_equal(front(columns), by_elimination(columns))


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_rows_of_one_sum_are_all_on_the_front(objectives: int) -> None:
    rng = np.random.default_rng(7)
    columns = list(rng.integers(0, 10**6, (objectives, 2 * ROWS)).astype(np.float64))
    columns[-1] = -np.sum(columns[:-1], axis=0)
    np.testing.assert_array_equal(front(columns), np.arange(2 * ROWS))


@pytest.mark.parametrize("traded", [(0, 1), (0, 2), (1, 2)])
def test_two_of_three_objectives_trade_against_each_other(traded: tuple[int, int]) -> None:
    # Whatever the third is, no row dominates another; a staircase over these two would have a step for each row.
    columns = list(np.random.default_rng(3).random((3, 2 * ROWS)))
    columns[traded[1]] = -columns[traded[0]]
    np.testing.assert_array_equal(front(columns), np.arange(2 * ROWS))


@pytest.mark.slow
def test_a_long_staircase() -> None:
    # Every pair of objectives trades: first steps are added between others, then a few rows cover most of them.
    x = np.random.default_rng(5).permutation(6000).astype(np.float64)
    columns = [np.concatenate((column, np.full(3, -1.0))) for column in (x % 7, x, -x)]
    columns[0][-3:], columns[1][-3:], columns[2][-3:] = 7.0, [-5900, -4000, -1000], [3000, 1500, 200]
    np.testing.assert_array_equal(front(columns), by_elimination(columns))


@pytest.mark.slow
def test_candidates_are_reduced_on_the_way() -> None:
    rng = np.random.default_rng(11)
    x, y = simplex(rng, 3 * MANY_ROWS, 2)
    for noise in (1e-7, 0.05):
        noisy = y + noise * rng.random(x.size)
        np.testing.assert_array_equal(front([x, noisy]), by_sorting(x, noisy))
    third = rng.integers(0, 10**6, (3, MANY_ROWS)).astype(np.float64)
    third[2] = -third[0] - third[1]
    np.testing.assert_array_equal(front(list(third)), np.arange(MANY_ROWS))


def test_nan_and_infinities_in_a_large_table() -> None:
    rng = np.random.default_rng(13)
    columns = list(simplex(rng, ROWS, 3) + 0.2 * rng.random((3, ROWS)))
    for column in columns:
        column[rng.integers(0, ROWS, 500)] = np.nan
        column[rng.integers(0, ROWS, 50)] = np.inf
    columns[0][17], columns[1][17] = -np.inf, np.inf
    ordered = np.flatnonzero(~np.isnan(np.stack(columns)).any(axis=0))
    # Sums order rows only without infinities: ranks keep the order of each column.
    ranks = [np.unique(column[ordered], return_inverse=True)[1].astype(np.float64) for column in columns]
    np.testing.assert_array_equal(front(columns), ordered[by_elimination(ranks)])


def test_maximize_turns_an_objective_round() -> None:
    rng = np.random.default_rng(17)
    x, y, z = rng.random((3, ROWS))
    np.testing.assert_array_equal(pareto_front([x, y, z], [False, True, True]), front([x, -y, -z]))
    assert pareto_front([x], [True]).tolist() == [int(np.argmax(x))]


def test_other_arrays_are_converted() -> None:
    table = np.array([[3, 1], [1, 3], [3, 3]])
    assert front([table[:, 0], table[:, 1]]).tolist() == [0, 1]


def test_no_rows() -> None:
    for objectives in (1, 2, 3, 4):
        got = front([np.empty(0)] * objectives)
        assert got.dtype == np.int64
        assert got.size == 0


def test_only_nan() -> None:
    for objectives in (1, 2, 3, 4):
        assert front([np.full(10, np.nan)] * objectives).size == 0


def test_errors_say_got_and_expected() -> None:
    column = np.zeros(3)
    with pytest.raises(ValueError, match="got no columns; expected at least one"):
        pareto_front([], [])
    with pytest.raises(ValueError, match="column 1 has 2 rows; expected 3 as in column 0"):
        pareto_front([column, np.zeros(2)], [False, False])
    with pytest.raises(ValueError, match="maximize has 1 entries, expected 2"):
        pareto_front([column, column], [False])
    with pytest.raises(ValueError, match="column 1 has 2 dimensions, expected 1"):
        pareto_front([column, np.zeros((3, 1))], [False, False])

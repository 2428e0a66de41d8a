"""Knees of throughput against batch."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.sweeps.selection import knees

law = partial(settings, derandomize=True, deadline=None, database=None)


def knee(x: list[float] | np.ndarray, y: list[float] | np.ndarray) -> int:
    """The knee of one curve."""
    rows = knees(np.asarray(x), np.asarray(y), np.zeros(len(x), dtype=np.int64))
    assert rows.dtype == np.int64
    assert rows.shape == (1,)
    return int(rows[0])


def by_definition(x: list[float], y: list[float]) -> int | None:
    """The knee of one curve, step by step."""
    rows = [row for row in range(len(x)) if math.isfinite(x[row]) and math.isfinite(y[row])]
    curve: list[int] = []
    for row in sorted(rows, key=lambda row: (x[row], -y[row], row)):
        if not curve or x[curve[-1]] != x[row]:
            curve.append(row)
    if not curve:
        return None
    top, peaks = -math.inf, []
    for row in curve:
        top = max(top, y[row])
        peaks.append(top)
    best, where = 1e-9, None
    if len(curve) > 2 and peaks[-1] > peaks[0]:
        for row, peak in zip(curve, peaks, strict=True):
            bulge = (peak - peaks[0]) / (peaks[-1] - peaks[0])
            bulge -= (x[row] - x[curve[0]]) / (x[curve[-1]] - x[curve[0]])
            if y[row] == peak and bulge > best:
                best, where = bulge, row
    return where if where is not None else next(row for row in curve if y[row] == peaks[-1])


@pytest.mark.parametrize("half", [1, 4, 25, 300])
@pytest.mark.parametrize("last", [64, 1024])
def test_a_saturating_curve_bends_where_calculus_says(half: int, last: int) -> None:
    # y = x / (x + c) rises from 1 / (1 + c) at x = 1 to X / (X + c). The slope c / (x + c)**2 equals that of the chord,
    # (X / (X + c) - 1 / (1 + c)) / (X - 1) = c / ((X + c) (1 + c)), at x = sqrt((X + c) (1 + c)) - c.
    bend = math.sqrt((last + half) * (1 + half)) - half
    x = np.arange(1, last + 1)
    row = knee(x, x / (x + half))
    assert abs(x[row] - bend) <= 1
    assert row == by_definition(x.tolist(), (x / (x + half)).tolist())


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_units_do_not_matter(scale: float) -> None:
    x = np.arange(1, 101)
    assert knee(x * scale, x / (x + 9) * scale) == knee(x, x / (x + 9))


def test_a_sawtooth_bends_on_one_of_its_teeth() -> None:
    # 8 processors, each wave 1 s: a batch of b takes ceil(b / 8) waves behind 2 s that no batch saves.
    x = np.arange(1, 65)
    y = x / (2 + np.ceil(x / 8))
    row = knee(x, y)
    assert y[row] == y[: row + 1].max()
    # Full waves alone, b = 8 w, bring 8 w / (2 + w): 2.67, 4, 4.8, 5.33 and so on to 6.4, from 1/3 at b = 1. As parts
    # of 6.07, less the part of the way from 1 to 64: 0.385 - 0.111, 0.604 - 0.238 = 0.366, 0.736 - 0.365 = 0.371,
    # 0.824 - 0.492.
    assert x[row] == 24


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([5], [3.0], 0),
        ([1, 2], [1.0, 3.0], 1),
        ([1, 2], [3.0, 1.0], 0),
        ([2, 1, 2], [1.0, 2.0, 3.0], 2),  # two distinct x
        ([1, 2, 3, 4], [2.0, 2.0, 2.0, 2.0], 0),  # flat
        ([4, 3, 2, 1], [2.0, 2.0, 2.0, 2.0], 3),
        ([1, 2, 3, 4], [4.0, 3.0, 2.0, 1.0], 0),  # falling
        ([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4], 3),  # straight, but for rounding
        ([1, 2, 3, 4], [1.0, 4.0, 9.0, 16.0], 3),  # bends upwards
        ([1, 2, 3, 4], [0.0, 9.0, 10.0, 10.0], 1),  # 0.9 - 1/3 beats 1 - 2/3
        ([4, 3, 2, 1], [10.0, 10.0, 9.0, 0.0], 2),  # in another order
        ([1, 2, 3, 4, 5], [0.0, 6.0, 8.5, 8.5, 8.0], 2),  # 1 - 0.5 beats 0.706 - 0.25; the end falls
        ([1, 2, 2, 3, 4], [0.0, 9.0, 1.0, 10.0, 10.0], 1),  # of equal x the greatest y
        ([1, 2, 2, 3, 4], [0.0, 9.0, 9.0, 10.0, 10.0], 1),  # and of equal y the first
        ([0, 1, 2, 3, 4], [0.0, 2.0, 3.0, 4.0, 4.0], 1),  # 0.5 - 0.25 = 0.75 - 0.5 = 1 - 0.75: the first
        ([1, 2, 3, 4], [math.nan, 9.0, 10.0, math.inf], 2),  # two points are left
        ([1, 2, 3, math.inf], [0.0, 9.0, 10.0, 11.0], 1),
    ],
)
def test_single_curves(x: list[float], y: list[float], expected: int) -> None:
    assert knee(x, y) == expected


def test_each_group_has_its_knee() -> None:
    x = np.array([1, 2, 3, 1, 2, 3, 7, 1, 2, 3])
    y = np.array([0.0, 9.0, 10.0, 2.0, 1.0, 1.0, np.nan, 1.0, 2.0, 3.0])
    groups = np.array([7, 7, 7, 2, 2, 2, 5, -1, -1, -1])
    assert knees(x, y, groups).tolist() == [9, 3, 1]  # in the order of groups -1, 2, 7; 5 has nothing but nan


def test_no_rows_and_rows_that_do_not_match() -> None:
    assert knees(np.array([]), np.array([]), np.array([], dtype=np.int64)).tolist() == []
    with pytest.raises(ValueError, match="x, y and groups have 1, 2 and 1 rows"):
        knees(np.ones(1), np.ones(2), np.zeros(1, dtype=np.int64))


@law(max_examples=examples(400))
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.one_of(st.integers(1, 6), st.just(math.nan)),
            st.one_of(st.integers(-3, 9).map(float), st.floats(-5, 5), st.sampled_from([math.nan, math.inf])),
        ),
        max_size=24,
    )
)
def test_knees_are_those_of_the_definition(rows: list[tuple[int, float, float]]) -> None:
    expected = []
    for group in sorted({row[0] for row in rows}):
        members = [index for index, row in enumerate(rows) if row[0] == group]
        place = by_definition([rows[index][1] for index in members], [rows[index][2] for index in members])
        expected += [] if place is None else [members[place]]
    groups, x, y = (np.array([row[place] for row in rows]) for place in range(3))
    assert knees(x, y, groups.astype(np.int64)).tolist() == expected


def test_a_tradeoff_has_ends_doublings_and_knees() -> None:
    grid = ic.sweep(blocks(), hardware=["t4", "l4"], precision=["fp32", "fp16"], batch=range(1, 301), price=1)
    table = grid.batch_tradeoff()
    knee = grid.knee()
    assert list(table.columns) == [*grid.columns, "throughput_share", "latency_ratio", "knee"]
    assert table.identity() == grid.identity()
    for hardware in ("t4", "l4"):
        for precision in ("fp32", "fp16"):
            curve = f"hardware == '{hardware}' and precision == '{precision}'"
            rows, bend = table.where(curve), knee.where(curve)["batch"].tolist()
            expected = sorted({1, 2, 4, 8, 16, 32, 64, 128, 256, 300, *bend})
            assert rows["batch"].tolist() == expected
            assert rows.where("knee")["batch"].tolist() == bend
            whole = grid.where(curve)
            assert rows["throughput_share"].tolist() == pytest.approx(
                rows["throughput_per_s"] / whole["throughput_per_s"].max()
            )
            assert rows["latency_ratio"].tolist() == pytest.approx(rows["latency_s"] / whole["latency_s"].min())
    few = ic.sweep(blocks(), hardware="t4", batch=[9, 3, 1, 5]).batch_tradeoff()
    assert few["batch"].tolist() == [1, 3, 5, 9]
    assert len(grid.batch_tradeoff(where="latency_s < 0")) == 0
    assert "throughput_share" in grid.batch_tradeoff().to_csv().splitlines()[0]

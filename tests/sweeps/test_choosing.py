"""Selection of rows: objectives, the best row, the best of each group, groups."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from pyinfercost.sweeps.columns import QUANTITIES
from pyinfercost.sweeps.conditions import Condition, ConditionError
from pyinfercost.sweeps.selection import (
    DIRECTIONS,
    NothingFitsError,
    ObjectiveError,
    best_row,
    best_rows,
    group_codes,
    objectives,
)

COLUMNS: dict[str, np.ndarray] = {
    "hardware": np.array(["t4", "t4", "t4", "l4", "l4", "l4"]),
    "batch": np.array([1, 8, 64, 1, 8, 64]),
    "latency_s": np.array([0.004, 0.016, 0.128, 0.002, 0.008, np.nan]),
    "throughput_per_s": np.array([250.0, 500.0, 500.0, 500.0, 1000.0, np.nan]),
    "fits_in_memory": np.array([True, True, True, True, True, False]),
}

law = partial(settings, derandomize=True, deadline=None, database=None)

# ---- objectives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "maximize", "minimize", "expected"),
    [
        ("latency_s", (), (), [("latency_s", False)]),
        (["throughput_per_s", "latency_s"], (), (), [("throughput_per_s", True), ("latency_s", False)]),
        (iter(["batch", "latency_s"]), "batch", (), [("batch", True), ("latency_s", False)]),
        ("latency_s", ("batch",), (), [("latency_s", False), ("batch", True)]),
        ((), ["fits_in_memory"], ["batch"], [("fits_in_memory", True), ("batch", False)]),
        ("latency_s", "latency_s", (), [("latency_s", True)]),  # what is said comes before what is usual
    ],
)
def test_objectives_have_directions(names: Any, maximize: Any, minimize: Any, expected: list[Any]) -> None:
    assert objectives(names, maximize=maximize, minimize=minimize, known=COLUMNS) == expected


@pytest.mark.parametrize(
    ("names", "maximize", "minimize", "message"),
    [
        ((), (), (), "no objective is given"),
        ("latency", (), (), "unknown column 'latency'; the columns are latency_s, hardware, batch"),
        ("latency_s", "bach", (), "unknown column 'bach'; the columns are batch, "),
        ("batch", (), (), r"more or less of 'batch' is better is not known; pass maximize=\('batch',\) or minimize="),
        ("hardware", (), (), "objective 'hardware' is a column of text"),
        ((), (), "hardware", "objective 'hardware' is a column of text"),
        (["latency_s", "latency_s"], (), (), "'latency_s' is named twice"),
        ((), "batch", "batch", "'batch' is named twice"),
        ("batch", ["batch", "batch"], (), "'batch' is named twice"),
    ],
)
def test_objectives_that_are_refused(names: Any, maximize: Any, minimize: Any, message: str) -> None:
    with pytest.raises(ObjectiveError, match=message):
        objectives(names, maximize=maximize, minimize=minimize, known=COLUMNS)


def test_each_quantity_of_a_sweep_has_a_direction() -> None:
    assert set(QUANTITIES) - set(DIRECTIONS) == {"fits_in_memory"}
    assert [name for name, maximize in DIRECTIONS.items() if maximize] == [
        "throughput_per_s",
        "tokens_per_s",
        "machine_memory_bytes",
        "max_sequences",
    ]


# ---- the best row ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "maximize", "where", "ties", "expected"),
    [
        ("latency_s", False, None, "first", 3),
        ("latency_s", True, None, "first", 2),
        ("throughput_per_s", True, None, "first", 4),
        ("throughput_per_s", True, "latency_s <= 0.004", "first", 3),
        ("throughput_per_s", True, "hardware == 't4'", "first", 1),
        ("throughput_per_s", True, "hardware == 't4'", "last", 2),
        ("batch", True, "fits_in_memory", "first", 2),
        ("fits_in_memory", False, None, "first", 5),
        ("fits_in_memory", True, "batch > 1", "first", 1),
    ],
)
def test_the_best_row(objective: str, maximize: bool, where: str | None, ties: Any, expected: int) -> None:
    assert best_row(COLUMNS, objective, maximize, Condition.all_of(where), ties=ties) == expected


def test_where_nothing_fits_the_terms_say_why() -> None:
    condition = Condition.parse("fits_in_memory and latency_s <= 0.001")
    with pytest.raises(NothingFitsError) as caught:
        best_row(COLUMNS, "throughput_per_s", True, condition)
    assert str(caught.value).split("\n") == [
        "none of 6 points satisfies fits_in_memory and latency_s <= 0.001",
        "fits_in_memory: 5 of 6 points",
        "latency_s <= 0.001: 0 of 6 points; the least is 0.002",
    ]


def test_rows_of_nan_are_no_choice() -> None:
    with pytest.raises(NothingFitsError, match="latency_s is nan at each of 1 points with not fits_in_memory"):
        best_row(COLUMNS, "latency_s", False, Condition.parse("not fits_in_memory"))
    with pytest.raises(NothingFitsError, match="a is nan at each of 2 points"):
        best_row({"a": np.array([np.nan, np.nan])}, "a", False, None)
    with pytest.raises(NothingFitsError, match="there are no points"):
        best_row({"a": np.array([])}, "a", False, Condition.parse("a < 1"))


def test_wrong_arguments_of_best_row() -> None:
    with pytest.raises(ObjectiveError, match="unknown column 'latency'"):
        best_row(COLUMNS, "latency", False, None)
    with pytest.raises(ObjectiveError, match="a column of text"):
        best_rows(COLUMNS, "hardware", False, None, ["batch"])
    with pytest.raises(ConditionError, match="unknown column 'bach'"):
        best_row(COLUMNS, "latency_s", False, Condition.parse("bach < 3"))
    with pytest.raises(ObjectiveError, match="unknown column 'bach'; the columns are batch"):
        best_rows(COLUMNS, "latency_s", False, None, ["bach"])
    with pytest.raises(ValueError, match="ties is 'all'; expected 'first' or 'last'"):
        best_row(COLUMNS, "latency_s", False, None, ties="all")  # type: ignore[arg-type]


def test_whole_numbers_are_compared_exactly() -> None:
    columns = {"n": np.array([2**62, 2**62 + 1, -(2**63)])}  # doubles are 512 apart at 2**62
    assert best_row(columns, "n", True, None) == 1
    assert best_row(columns, "n", False, None) == 2
    assert best_rows(columns, "n", True, None, []).tolist() == [1]


# ---- the best of each group ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "maximize", "where", "per", "expected"),
    [
        ("throughput_per_s", True, None, ["hardware"], [1, 4]),
        ("latency_s", False, None, ("hardware",), [0, 3]),
        ("latency_s", False, None, ["batch"], [3, 4, 2]),
        ("latency_s", False, "latency_s <= 0.01", ["batch"], [3, 4]),
        ("latency_s", False, "hardware == 'l4'", ["hardware"], [3]),
        ("latency_s", False, None, ["batch", "hardware"], [0, 1, 2, 3, 4]),
        ("latency_s", False, None, [], [3]),
        ("latency_s", False, "batch > 100", ["hardware"], []),
        ("fits_in_memory", False, None, ["hardware"], [0, 5]),
    ],
)
def test_the_best_row_of_each_group(
    objective: str, maximize: bool, where: str | None, per: list[str], expected: list[int]
) -> None:
    rows = best_rows(COLUMNS, objective, maximize, Condition.all_of(where), per)
    assert rows.dtype == np.int64
    assert rows.tolist() == expected


points = st.lists(
    st.tuples(
        st.sampled_from(["t4", "l4", "a100"]),
        st.integers(-2, 2),
        st.sampled_from([0.0, -0.0, 1.5, -2.0, math.nan, math.inf, -math.inf]),
        st.integers(0, 3),
    ),
    max_size=12,
)


@law(max_examples=examples(300))
@given(rows=points, objective=st.sampled_from(["n", "v"]), maximize=st.booleans(), limit=st.integers(0, 3))
def test_the_best_is_what_a_loop_finds(rows: list[Any], objective: str, maximize: bool, limit: int) -> None:
    types = {"hardware": "U4", "n": np.int64, "v": np.float64, "c": np.int64}
    columns = {name: np.array([row[i] for row in rows], dtype=types[name]) for i, name in enumerate(types)}
    condition = Condition.parse(f"c < {limit}")

    def first_best(candidates: list[int]) -> int | None:
        best = None
        for row in candidates:
            value = columns[objective][row]
            if columns["c"][row] < limit and not math.isnan(value):
                better = best is None or (value > columns[objective][best]) == maximize
                if better and (best is None or value != columns[objective][best]):
                    best = row
        return best

    expected = first_best(list(range(len(rows))))
    if expected is None:
        with pytest.raises(NothingFitsError):
            best_row(columns, objective, maximize, condition)
    else:
        assert best_row(columns, objective, maximize, condition) == expected

    groups: dict[Any, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault((row[3], row[0]), []).append(index)
    of_groups = [best for candidates in groups.values() if (best := first_best(candidates)) is not None]
    assert best_rows(columns, objective, maximize, condition, ["c", "hardware"]).tolist() == of_groups


# ---- groups ----------------------------------------------------------------------------------------------------------


@law(max_examples=examples(200))
@given(rows=points, names=st.lists(st.sampled_from(["hardware", "n", "v", "c"]), unique=True))
def test_codes_number_combinations_as_they_appear(rows: list[Any], names: list[str]) -> None:
    types = {"hardware": "U4", "n": np.int64, "v": np.float64, "c": np.int64}
    columns = {name: np.array([row[i] for row in rows], dtype=types[name]) for i, name in enumerate(types)}
    seen: dict[tuple[Any, ...], int] = {}
    expected = []
    for row in rows:
        # A nan of Python equals nothing; here all are one group.
        key = tuple("nan" if row[i] != row[i] else row[i] for i, name in enumerate(types) if name in names)
        expected.append(seen.setdefault(key, len(seen)))
    codes = group_codes(columns, names)
    assert codes.dtype == np.int64
    assert codes.tolist() == expected


def test_codes_of_many_distinct_columns_do_not_overflow() -> None:
    rows = 2000  # 2000**8 combinations are possible, 2.56e26, and 2000 there
    random = np.random.default_rng(0)
    columns = {f"c{index}": random.permutation(rows) for index in range(8)}
    assert group_codes(columns, columns).tolist() == list(range(rows))
    twice = {name: np.concatenate([column, column]) for name, column in columns.items()}
    assert group_codes(twice, twice).tolist() == [*range(rows), *range(rows)]


def test_codes_of_one_name_and_of_none() -> None:
    assert group_codes(COLUMNS, "hardware").tolist() == [0, 0, 0, 1, 1, 1]
    assert group_codes(COLUMNS, ()).tolist() == [0] * 6
    assert group_codes({}, ()).tolist() == []

"""Conditions: the same meaning as in Python, and errors."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from pyinfercost.sweeps.conditions import Condition, ConditionError, row_count

COLUMNS: dict[str, np.ndarray] = {
    "hardware": np.array(["a100", "a100", "l4", "l4"]),
    "batch": np.array([1, 8, 1, 8]),
    "latency_s": np.array([0.001, 0.004, 0.002, 0.016]),
    "fits_in_memory": np.array([True, True, True, False]),
    "peak_memory_bytes": np.array([10**9, 4 * 10**9, 10**9, 4 * 10**9]),
    "roi_heads.nms": np.array([0, 100, 0, 7]),
    "layers.1.nonzero": np.array([0, 0, 5, 6]),
    "gap": np.array([np.nan, 1.0, np.nan, 0.0]),
}

law = partial(settings, derandomize=True, deadline=None, database=None)


class Lazy(Mapping[str, np.ndarray]):
    """Columns that note which of them were asked for, and how often."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getitem__(self, name: str) -> np.ndarray:
        self.asked.append(name)
        return COLUMNS[name]

    def __contains__(self, name: object) -> bool:
        return name in COLUMNS

    def __iter__(self) -> Iterator[str]:
        return iter(COLUMNS)

    def __len__(self) -> int:
        return len(COLUMNS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latency_s < 0.004", [1, 0, 1, 0]),
        ("latency_s <= 4e-3", [1, 1, 1, 0]),
        ("latency_s > 0.004", [0, 0, 0, 1]),
        ("latency_s >= 0.004", [0, 1, 0, 1]),
        ("batch == 8", [0, 1, 0, 1]),
        ("batch != 8", [1, 0, 1, 0]),
        ("0.001 < latency_s <= 0.004", [0, 1, 1, 0]),
        ("1 == batch < 8 != 9", [1, 0, 1, 0]),
        ("hardware == 'l4'", [0, 0, 1, 1]),
        ('"l4" != hardware', [1, 1, 0, 0]),
        ("hardware < 'b'", [1, 1, 0, 0]),
        ("hardware in ('l4', 't4')", [0, 0, 1, 1]),
        ("hardware not in ['l4', 't4']", [1, 1, 0, 0]),
        ("batch in (8, 16)", [0, 1, 0, 1]),
        ("-batch in (-1,)", [1, 0, 1, 0]),
        ("batch in ()", [0, 0, 0, 0]),
        ("batch not in ()", [1, 1, 1, 1]),
        ("2 > batch in (1, 8)", [1, 0, 1, 0]),
        ("hardware == 'a' 'ex.y'", [0, 0, 0, 0]),
        ("fits_in_memory", [1, 1, 1, 0]),
        ("not fits_in_memory", [0, 0, 0, 1]),
        ("fits_in_memory == False", [0, 0, 0, 1]),
        ("True", [1, 1, 1, 1]),
        ("batch", [1, 1, 1, 1]),
        ("gap", [1, 1, 1, 0]),  # nan is not 0
        ("gap == gap", [0, 1, 0, 1]),
        ("gap < 5", [0, 1, 0, 1]),
        ("fits_in_memory and batch == 8", [0, 1, 0, 0]),
        ("batch == 1 or latency_s > 0.01", [1, 0, 1, 1]),
        ("batch == 1 or batch == 8 and hardware == 'l4'", [1, 0, 1, 1]),
        ("(batch == 1 or batch == 8) and hardware == 'l4'", [0, 0, 1, 1]),
        ("not batch == 1 and fits_in_memory", [0, 1, 0, 0]),
        ("(batch == 1) == fits_in_memory", [1, 0, 1, 1]),
        ("fits_in_memory + fits_in_memory == 2", [1, 1, 1, 0]),
        ("-fits_in_memory < 0", [1, 1, 1, 0]),
        ("(not fits_in_memory) + 1 > 1", [0, 0, 0, 1]),
        ("latency_s / batch <= 0.001", [1, 1, 0, 0]),  # 1, 0.5, 2 and 2 ms
        ("batch + 1 - 2 * batch == -7", [0, 1, 0, 1]),
        ("batch // 3 == 2 and batch % 3 == 2", [0, 1, 0, 1]),
        ("-batch // 3 == -3 and -batch % 3 == 1", [0, 1, 0, 1]),  # rounds down, as in Python
        ("batch ** 2 == 64", [0, 1, 0, 1]),
        ("-batch ** 2 < 0", [1, 1, 1, 1]),
        ("2 ** -batch == 0.5", [1, 0, 1, 0]),
        ("peak_memory_bytes <= 2 * 2**30", [1, 0, 1, 0]),
        ("roi_heads.nms >= 7", [0, 1, 0, 1]),
        ("layers.1.nonzero > 5 and roi_heads.nms", [0, 0, 0, 1]),
        ("1 < 2", [1, 1, 1, 1]),
        ("'a' == 'b'", [0, 0, 0, 0]),
        ("1 > 2 or batch == 8", [0, 1, 0, 1]),
        ("  batch\n  == 8\t", [0, 1, 0, 1]),
        # What leaves 64 bits, in a result or a literal, and what is divided by zero.
        ("peak_memory_bytes * peak_memory_bytes > 5e18", [0, 1, 0, 1]),
        ("peak_memory_bytes ** 3 > 0", [1, 1, 1, 1]),
        ("batch < 100000000000000000000", [1, 1, 1, 1]),
        ("batch < 1" + "0" * 400, [1, 1, 1, 1]),
        ("batch / (batch - 1) > 100", [1, 0, 1, 0]),
        ("batch // (batch - 1) > 100", [1, 0, 1, 0]),
        ("batch % (batch - 1) < 100", [0, 1, 0, 1]),
    ],
)
def test_what_a_condition_holds_for(text: str, expected: list[int]) -> None:
    mask = Condition.parse(text).mask(COLUMNS)
    assert mask.dtype == np.bool_
    assert mask.tolist() == [bool(value) for value in expected]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.uint64, np.float32])
def test_narrow_columns_do_not_wrap_around(dtype: type) -> None:
    columns = {"n": np.array([1, 100], dtype=dtype)}
    assert Condition.parse("n * n - 200 > 9000").mask(columns).tolist() == [False, True]
    assert Condition.parse("1 - n < 0").mask(columns).tolist() == [False, True]


def test_the_ends_of_64_bits() -> None:
    columns = {"n": np.array([-(2**63), 2**63 - 1]), "u": np.array([0, 2**64 - 1], dtype=np.uint64)}
    assert Condition.parse("-n > 0").mask(columns).tolist() == [True, False]
    assert Condition.parse("n // -1 > 0").mask(columns).tolist() == [True, False]
    assert Condition.parse("n + 1 > 0").mask(columns).tolist() == [False, True]
    assert Condition.parse("u > 1e19").mask(columns).tolist() == [False, True]


def test_text_columns_may_hold_objects() -> None:
    columns = {"hardware": np.array(["l4", "a100"], dtype=object)}
    assert Condition.parse("hardware in ('l4',)").mask(columns).tolist() == [True, False]


def test_only_named_columns_are_asked_for_and_each_once() -> None:
    columns = Lazy()
    Condition.parse("batch == 8 or batch == 1 and latency_s < 1").mask(columns)
    assert columns.asked == ["batch", "latency_s"]
    columns = Lazy()
    assert Condition.parse("1 < 2").mask(columns, rows=3).tolist() == [True] * 3
    assert Condition.parse("batch in ()").mask(columns).tolist() == [False] * 4
    assert set(columns.asked) == {"batch"}


def test_no_rows_and_no_columns() -> None:
    assert Condition.parse("batch + 1 < 2").mask({"batch": np.array([], dtype=np.int64)}).tolist() == []
    assert Condition.parse("1 < 2").mask({}).tolist() == []
    assert row_count({}) == 0
    assert Condition.parse("n < 2").shortfall({"n": np.array([])}) == "n < 2: 0 of 0 points"


def test_names_are_the_columns_in_order() -> None:
    condition = Condition.parse("roi_heads.nms > 1 and a < b or not a and x.0.y in (1, 2) and 'c.d' == z")
    assert condition.names == ("roi_heads.nms", "a", "b", "x.0.y", "z")


def test_a_condition_is_a_value() -> None:
    condition = Condition.parse(" batch  ==\n8 ")
    assert condition.text == str(condition) == "batch == 8"
    assert condition == Condition.parse("batch == 8")
    assert hash(condition) == hash(Condition.parse("batch == 8"))
    assert condition != Condition.parse("batch == 9")
    assert repr(condition) == "Condition(text='batch == 8')"
    copy = pickle.loads(pickle.dumps(condition))
    assert copy == condition
    assert copy.mask(COLUMNS).tolist() == condition.mask(COLUMNS).tolist()
    with pytest.raises(FrozenInstanceError):
        condition.text = "batch == 9"  # type: ignore[misc]


def test_several_conditions_are_one() -> None:
    first = Condition.parse("batch == 8")
    assert Condition.all_of(None) is None
    assert Condition.all_of([]) is None
    assert Condition.all_of(first) is first
    assert Condition.all_of("batch == 8") == first
    assert Condition.all_of(["batch == 8"]) == first
    both = Condition.all_of(text for text in ("fits_in_memory or batch == 1", "batch == 8"))
    assert both is not None
    assert both.text == "(fits_in_memory or batch == 1) and batch == 8"
    assert both.mask(COLUMNS).tolist() == [False, True, False, False]
    assert Condition.all_of([first, "gap"]) == Condition.parse("batch == 8 and gap")
    assert Condition.all_of(["gap and batch", "not gap"]) == Condition.parse("gap and batch and not gap")


@pytest.mark.parametrize("where", [3, [None], [3], [["batch == 8"]]])
def test_several_conditions_are_texts(where: Any) -> None:
    with pytest.raises(TypeError, match="expected a condition as text"):
        Condition.all_of(where)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a condition is empty; expected one like"),
        ("batch <", r"'batch <': invalid syntax at its end; expected one like"),
        ("batch = 8", "at character .* expected one like .*latency_s <= 0.05"),
        ("roi_heads.nms nms", "at character"),
        ("(batch > 1", "was never closed at character 1"),
        ("batch > 1) or (batch < 2", "unmatched"),
        ("hardware == 'l4", "unterminated string literal"),
        ("batch > 1\0", "null bytes"),
        ("batch > 1 # as ever", "'#' does not begin a comment"),
        ("(" * 5000 + "batch" + ")" * 5000, "too many nested parentheses|cannot be read"),
        ("not " * 150 + "batch", "more than 100 levels deep"),
        ("not " * 900 + "batch < 1", "more than 100 levels deep"),
        ("batch < " + "-" * 900 + "1", "more than 100 levels deep"),
        ("batch" + " + batch" * 150 + " > 1", "more than 100 levels deep"),
        ("latency_s + 1", r"'latency_s \+ 1' is a value and neither true nor false; .*'latency_s \+ 1 > 0'"),
        ("batch == 1 or 8", "'8' is a value and neither true nor false"),
        ("not 'l4'", r"\"'l4'\" is a value and neither"),
        ("-batch", "'-batch' is a value"),
        ("(batch or fits_in_memory) == 8", "'batch or fits_in_memory' is true or false and cannot be compared"),
        ("len(hardware) > 2", r"a call is not supported, got 'len\(hardware\)'"),
        ("__import__('os').system('ls')", "a call is not supported"),
        ("batch[0] > 1", r"a subscript is not supported, got 'batch\[0\]'"),
        ("(batch).real > 1", "an attribute is not supported"),
        ("(batch > 1) & (batch < 9)", "'&' \\(write 'and'\\) is not supported"),
        ("batch | 1 > 1", "'|' \\(write 'or'\\)"),
        ("batch ^ 2 > 1", r"a power is written '\*\*'"),
        ("~fits_in_memory", "write 'not'"),
        ("+batch > 1", "without a left side"),
        ("batch @ 2 > 1", "'@' is not"),
        ("batch >> 2 > 1", "'>>' is not"),
        ("batch << 2 > 1", "'<<' is not"),
        ("hardware is 'l4'", "'is' \\(write '=='\\)"),
        ("batch is not 3", "write '!='"),
        ("1 if batch else 2", "'if ... else' is not"),
        ("(b := batch) > 1", "':=' is not"),
        ("lambda: batch", "'lambda' is not"),
        ("[b for b in batch] == 1", "a comprehension is not"),
        ("{1: batch} == 1", "a dict is not"),
        ("{1} == batch", "a set"),
        ("(1, 2) == batch", "a tuple that does not follow 'in'"),
        ("[1] == batch", "a list that does not follow 'in'"),
        ("f'{hardware}' == 'l4'", "an f-string is not"),
        ("hardware == b'l4'", "b'l4'\" is not supported; expected a number or a text"),
        ("gap == None", "'None' is not supported"),
        ("gap == ...", "is not supported; expected a number"),
        ("gap == 1j", "'1j' is not supported"),
        ("hardware in 'l4'", "'in' takes a tuple .* got \"'l4'\""),
        ("hardware in ('l4')", "'in' takes a tuple"),
        ("batch in batch", "got 'batch'"),
        ("batch in (1, batch)", "has numbers and texts only, got 'batch'"),
        ("batch in (1, 2 + 3)", r"got '2 \+ 3'"),
        ("batch in (*batch,)", "has numbers and texts only"),
        ("batch in (1, None)", "'None' is not supported"),
        ("hardware in (-'l4',)", "calculates with text"),
        ("batch in (1, 2) == fits_in_memory", "'in' ends a chain"),
    ],
)
def test_what_no_condition_can_be(text: str, message: str) -> None:
    with pytest.raises(ConditionError, match=message):
        Condition.parse(text)


def test_a_name_behind_letters_of_several_bytes_is_quoted_right() -> None:
    with pytest.raises(ConditionError, match=r"got 'f\(a\.b\)'"):
        Condition.parse("größe == 'ü·.' and f(a.b)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latencies < 1", "unknown column 'latencies'; the columns are latency_s, hardware, batch, fits"),
        ("roi_heads.nsm < 1", "unknown column 'roi_heads.nsm'; the columns are roi_heads.nms, "),
        ("hardware == l4", "unknown column 'l4'; .*; a text stands in quotes: 'l4'"),
        ("batch == 8 and (batch or zzz > 2)", "unknown column 'zzz'; the columns are hardware, batch"),
        ("hardware == 4", "'hardware' is text and '4' a number; they do not compare"),
        ("1 < batch <= 'l4'", "\"'l4'\" is text and 'batch' a number"),
        ("batch in (1, 'l4')", "\"'l4'\" is text and 'batch' a number"),
        ("hardware not in ('l4', 4)", "'hardware' is text and '4' a number"),
        ("hardware + 1 > 2", "'hardware' is text, which cannot be calculated with"),
        ("-hardware > 2", "'hardware' is text, which"),
        ("batch * 'l4' > 2", "\"'l4'\" is text, which"),
        ("hardware", "'hardware' is text and neither true nor false; compare it with a text in quotes"),
        ("batch == 1 and not hardware", "'hardware' is text and neither"),
    ],
)
def test_what_does_not_suit_the_columns(text: str, message: str) -> None:
    condition = Condition.parse(text)
    with pytest.raises(ConditionError, match=message):
        condition.mask(COLUMNS)
    with pytest.raises(ConditionError, match=message):
        condition.shortfall(COLUMNS)


def test_without_columns_an_unknown_one_says_so() -> None:
    with pytest.raises(ConditionError, match="unknown column 'a'; there are no columns"):
        Condition.parse("a").mask({})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latency_s <= 0.0005", ["latency_s <= 0.0005: 0 of 4 points; the least is 0.001"]),
        ("0.0005 > latency_s", ["0.0005 > latency_s: 0 of 4 points; the least is 0.001"]),
        ("batch > 2 * 4", ["batch > 2 * 4: 0 of 4 points; the greatest is 8"]),
        ("batch == 6", ["batch == 6: 0 of 4 points; the nearest is 8"]),
        ("gap >= 1.5", ["gap >= 1.5: 0 of 4 points; the greatest is 1"]),
        ("hardware == 't4'", ["hardware == 't4': 0 of 4 points; there is a100, l4"]),
        ("hardware in ('t4',)", ["hardware in ('t4',): 0 of 4 points; there is a100, l4"]),
        ("hardware > 'z'", ["hardware > 'z': 0 of 4 points"]),
        ("batch in (2, 4)", ["batch in (2, 4): 0 of 4 points"]),
        ("batch < latency_s", ["batch < latency_s: 0 of 4 points"]),
        ("1 > 2", ["1 > 2: 0 of 4 points"]),
        (
            # Of the two l4 rows the faster has 2 ms; of the three rows of at most 1.5 ms none is an l4.
            "hardware == 'l4' and (latency_s <= 0.0015 and fits_in_memory)",
            [
                "hardware == 'l4': 2 of 4 points; there is a100 where the rest is true",
                "latency_s <= 0.0015: 1 of 4 points; the least is 0.002 where the rest is true",
                "fits_in_memory: 3 of 4 points",
            ],
        ),
        (
            "batch == 8 and latency_s < 0.0001",
            ["batch == 8: 2 of 4 points", "latency_s < 0.0001: 0 of 4 points; the least is 0.001"],
        ),
    ],
)
def test_a_shortfall_says_what_each_term_comes_to(text: str, expected: list[str]) -> None:
    assert Condition.parse(text).shortfall(COLUMNS).split("\n") == expected


def test_a_shortfall_of_many_values() -> None:
    columns = {"hardware": np.array([f"m{index:02}" for index in range(10)] * 200), "gap": np.full(2000, np.nan)}
    assert Condition.parse("hardware == 'x' and gap < 3").shortfall(columns).split("\n") == [
        "hardware == 'x': 0 of 2,000 points; there is m00, m01, m02, m03, m04, m05, m06, m07 and 2 more",
        "gap < 3: 0 of 2,000 points; each value is nan",
    ]


# ---- the same as Python, row by row ----------------------------------------------------------------------------------

numbers = st.one_of(
    st.sampled_from(["a", "b", "x.y", "f"]),
    st.integers(0, 9).map(str),
    st.sampled_from(["0.5", "2.0", "1e-3"]),
)
values = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(inner, st.sampled_from(["//", "%", "/"]), st.sampled_from(["3", "-2", "0.25"])).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        inner.map(lambda text: f"-{text}"),
        inner.map(lambda text: f"({text}) ** 2"),
    ),
    max_leaves=5,
)
comparisons = st.one_of(
    st.tuples(values, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), values).map(" ".join),
    st.tuples(values, values, values).map(lambda parts: f"{parts[0]} < {parts[1]} <= {parts[2]}"),
    st.tuples(values, st.sampled_from(["in", "not in"]), st.sampled_from(["(0, 1, -2)", "(3,)", "[0.5, 2]"])).map(
        " ".join
    ),
    st.tuples(st.sampled_from(["t", "'fp16'"]), st.sampled_from(["==", "<", "!="]), st.just("t")).map(" ".join),
    st.sampled_from(["t in ('fp16', 'bf16')", "a", "x.y", "f", "True"]),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join),
        inner.map(lambda text: f"not ({text})"),
        inner.map(lambda text: f"({text})"),
    ),
    max_leaves=4,
)
points = st.tuples(
    st.integers(-5, 5),
    st.sampled_from([-1.5, 0.0, 0.5, 2.0, math.nan, math.inf]),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from(["fp16", "fp32"]),
)


class Attributes:
    """What Python sees behind `x` in `x.y`."""

    def __init__(self, y: int) -> None:
        self.y = y


@law(max_examples=examples(300))
@given(text=conditions, rows=st.lists(points, min_size=1, max_size=6))
def test_a_condition_means_what_python_means(text: str, rows: list[tuple[Any, ...]]) -> None:
    columns = {name: np.array([row[place] for row in rows]) for place, name in enumerate(("a", "b", "x.y", "f", "t"))}
    expected = [
        bool(eval(text, {"__builtins__": {}}, {"a": a, "b": b, "x": Attributes(y), "f": f, "t": t}))
        for a, b, y, f, t in rows
    ]
    assert Condition.parse(text).mask(columns).tolist() == expected


@pytest.mark.parametrize(
    "text",
    [
        "h" + "+batch" * 20_000,  # deeper than Python parses
        "'" + "a" * 50_000 + "'",
        "batch + '" + "a" * 50_000 + "'",
        "batch " + "a" * 50_000,
        "batch > 1 # " + "a" * 50_000,
        "batch in " + "a" * 50_000,
        "f(" + "a" * 50_000 + ")",
        "not (" + "batch > 1 or " * 3000 + "batch < 0) > 3",
    ],
)
def test_a_message_quotes_the_ends_of_a_long_condition(text: str) -> None:
    with pytest.raises(ConditionError) as caught:
        Condition(text)
    assert len(str(caught.value)) < 2000  # 200 characters of each quoted text


def test_a_name_that_is_no_column_is_quoted_in_part() -> None:
    with pytest.raises(ConditionError, match="unknown column 'aaa") as caught:
        Condition(f"{'a' * 50_000} > 1").mask(COLUMNS)
    assert len(str(caught.value)) < 2000


# ---- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("latency_s < 0.02", True),
        ("fits_in_memory and latency_s <= 0.02", True),
        ("0.02 > latency_s", True),
        ("0.001 < latency_s < 0.02", True),
        ("1000 * latency_s < 20", True),
        ("latency_s > 0.02", False),
        ("0.02 <= latency_s", False),
        ("latency_s < 0.02 or batch > 1", False),
        ("latency_high_s < 0.02", False),
        ("batch < 8", False),
    ],
)
def test_a_condition_limits_a_column_from_above(text: str, limits: bool) -> None:
    assert Condition.parse(text).limits("latency_s") is limits


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("latency < 20", "write 20ms or 20s, or latency_s for a number in s"),
        ("20 > ttft", "write 20ms or 20s, or ttft_s for a number in s"),
        ("peak_memory <= 80 and batch > 1", "write 80MB or 80GB, or peak_memory_bytes for a number in B"),
    ],
)
def test_a_name_without_a_unit_needs_a_number_with_one(text: str, words: str) -> None:
    with pytest.raises(ConditionError, match=re.escape(words)):
        Condition(text)


def test_a_name_with_its_unit_and_zero_need_none() -> None:
    for text in ("latency_s < 20", "latency > 0", "throughput > 100", "cost < 2", "latency < 20ms"):
        Condition(text)

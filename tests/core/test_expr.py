"""Size expressions: canonical form, conversion to text and back, evaluation, and 64-bit overflow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyinfercost import Expr

A, B = Expr.size("a"), Expr.size("b")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (A + B, B + A),
        ((A + B) * (A - B), A * A - B * B),
        (A * 2 + A, 3 * A),
        (A - A, 0),
        (A * 0, 0),
        ((A * B * 64) // A, 64 * B),
        ((6 * A + 3) // 3, 2 * A + 1),
        ((6 * A) // 4, A + (2 * A) // 4),
        ((A * B) % B, 0),
        ((8 * A + 3) % 8, 3),
        (A * -1 * -1, A),
        (Expr.maximum(A, A), A),
        (Expr.maximum(A, 1), A),  # named sizes are at least 1
        (Expr.maximum(A + 2, A), A + 2),
        (Expr.minimum(A + 2, A), A),
        (Expr.maximum(A, Expr.maximum(B, 7)), Expr.maximum(Expr.maximum(7, A), B)),
        (Expr.minimum(Expr.minimum(A, B), A), Expr.minimum(B, A)),
        (Expr.ceil_div(8 * A, 8), A),
        (Expr.ceil_div(7, 2), 4),
        (A // A, 1),
        (A % A, 0),
        (A % 1, 0),
    ],
)
def test_equal_values_have_one_form(left: Expr | int, right: Expr | int) -> None:
    assert left == right
    assert str(left) == str(right)
    assert hash(left) == hash(right)


def test_different_values_differ() -> None:
    assert A != B
    assert A + 1 != A
    assert A * A != A
    assert A != "a"


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-3",
        "a",
        "2*a*b + a - 7",
        "-a",
        "a*a*b",
        "((a + 3)//4)",
        "2*((a + 3)//4)*b + 1",
        "((a + 1)%b)",
        "max(3, a*b, b)",
        "a*min(a, max(3, b))",
        "-((7*a)//8) + a",
    ],
)
def test_text_is_canonical_and_reads_back(text: str) -> None:
    expression = Expr(text)
    assert str(expression) == text
    assert Expr(str(expression)) == expression


def test_nested_functions_read_back() -> None:
    expression = (A * B) // ((B + 1) // 2) % Expr.maximum(A // 3, Expr.minimum(B, A % 5))
    assert Expr(str(expression)) == expression


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("a + a", 2 * A),
        ("2 * (a + b)", 2 * A + 2 * B),
        ("a - b - a", -B),
        ("a//4*4", (A // 4) * 4),
        ("a%4 + 1", A % 4 + 1),
        ("ceil_div(a, 8)", Expr.ceil_div(A, 8)),
        ("--a", A),
        ("max(a, b, 3)", Expr.maximum(Expr.maximum(A, B), 3)),
    ],
)
def test_what_people_write_is_understood(text: str, means: Expr) -> None:
    assert Expr(text) == means


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 +", "expected a number, a size or '(' at position 3"),
        ("", "expected a number, a size or '(' at position 0"),
        ("max(a", "expected ')' at position 5"),
        ("(a", "expected ')'"),
        ("a b", "expected an operator at position 2"),
        ("sin(a)", "expected one of max, min, ceil_div, gcd, n_log2_n"),
    ],
)
def test_text_that_cannot_be_read(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match="size expression") as error:
        Expr(text)
    assert expected in str(error.value)
    assert repr(text)[1:-1] in str(error.value)


@pytest.mark.parametrize("text", ["a//0", "a%0", "a//(0 - 2)"])
def test_a_divisor_is_positive(text: str) -> None:
    with pytest.raises(ValueError, match="divides by"):
        Expr(text)


def test_division_rounds_down_like_python() -> None:
    sizes = {"a": 3, "b": 5}
    for divisor in (2, 4, 7):
        assert ((A - B) // divisor).evaluate(sizes) == (3 - 5) // divisor
        assert ((A - B) % divisor).evaluate(sizes) == (3 - 5) % divisor
    assert (A // (A - B)).evaluate(sizes) == 3 // -2
    assert (A % (A - B)).evaluate(sizes) == 3 % -2
    with pytest.raises(ValueError, match="division by zero"):
        (A // (A - B)).evaluate({"a": 3, "b": 3})


def test_evaluation_needs_every_size() -> None:
    expression = A * B + 1
    assert expression.names == ["a", "b"]
    assert not expression.is_constant
    assert expression.evaluate({"a": 2, "b": 3, "unused": 9}) == 7
    with pytest.raises(ValueError, match="size 'b' is not given"):
        expression.evaluate({"a": 2})
    with pytest.raises(ValueError, match="depends on sizes that are not given: a, b"):
        int(expression)
    bound = expression.substitute({"a": 2})
    assert bound == 2 * B + 1
    assert bound.substitute({"b": 3}) == 7
    assert int(bound.substitute({"b": 3})) == 7


def test_columns_are_evaluated_point_by_point() -> None:
    expression = Expr("max(a*b, 40) - ((a + b)%3)*((a*7)//b)")
    a, b = np.arange(1, 50), np.arange(50, 1, -1)
    columns = expression.evaluate_columns({"a": a, "b": b})
    assert columns.dtype == np.int64
    assert columns.tolist() == [expression.evaluate({"a": int(x), "b": int(y)}) for x, y in zip(a, b, strict=True)]
    assert columns.tolist() == [max(x * y, 40) - ((x + y) % 3) * ((x * 7) // y) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "needs at least one size"),
        ({"a": np.ones((2, 2), dtype=np.int64)}, "'a' must be a one-dimensional array"),
        (
            {"a": np.ones(2, dtype=np.int64), "b": np.ones(3, dtype=np.int64)},
            "'b' has 3 values; the sizes before it have 2",
        ),
        ({"b": np.ones(3, dtype=np.int64)}, "size 'a' is not given"),
    ],
)
def test_columns_that_do_not_fit(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        A.evaluate_columns(columns)


# 2**63 - 1 is the largest 64-bit integer.
@pytest.mark.parametrize(
    "make",
    [
        lambda: Expr(2**63),
        lambda: Expr("9223372036854775808"),
        lambda: Expr(2**63 - 1) + 1,
        lambda: Expr(-(2**63)) - 1,
        lambda: -Expr(-(2**63)),
        lambda: Expr(2**32) * 2**31,
        lambda: 2**62 * A + 2**62 * A,
        lambda: (2**40 * A) * (2**40 * B),
        lambda: (A * A * A).evaluate({"a": 2**22}),
        lambda: (2**62 * A).substitute({"a": 2}),
        lambda: (A * B).evaluate_columns({"a": np.array([1, 2**40]), "b": np.array([1, 2**40])}),
    ],
)
def test_what_does_not_fit_64_bits_is_an_error(make: Any) -> None:
    with pytest.raises(OverflowError, match="64 bits"):
        make()


def test_the_largest_values_still_fit() -> None:
    assert int(Expr(2**63 - 1)) == 2**63 - 1
    assert (A * A).evaluate({"a": 3037000499}) == 3037000499**2 < 2**63

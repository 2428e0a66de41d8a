"""Rarer functions and complex operators compared with definitions that count their own operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.element_checks import check_element_by_element, named
from support.reference import Scalar, Tally, apply, numbers
from support.reference_elements import Definition
from support.reference_special import SPECIAL
from support.single_node import T, work_of

from pyinfercost import _core

SHAPE = (2, 3)
OF_COMPLEX = {"aten.angle", "aten.conj_physical", "aten._conj_physical", "aten.polar"}  # below


@pytest.mark.parametrize("definition", SPECIAL, ids=named)
def test_special(definition: Definition) -> None:
    check_element_by_element(definition)


def test_every_row_has_a_definition() -> None:
    rows = {rule.op for rule in _core.rules() if rule.family == "special"}
    assert rows == {d.op for d in SPECIAL} | OF_COMPLEX


Complex = tuple[Scalar, Scalar]


def product(x: Complex, y: Complex) -> Complex:
    (a, b), (c, d) = x, y
    return a * c - b * d, a * d + b * c


def quotient(x: Complex, y: Complex) -> Complex:
    (a, b), (c, d) = x, y
    # The sign of d is taken into the sums of the product.
    size = c * c + d * d
    return (a * c + b * d) / size, (b * c - a * d) / size


def exponential(x: Complex) -> Complex:
    size = apply("exp", x[0])
    return size * apply("cos", x[1]), size * apply("sin", x[1])


COMPLEX: dict[str, tuple[int, Callable[..., Any], str]] = {
    "add": (2, lambda x, y: (x[0] + y[0], x[1] + y[1]), "complex64"),
    "sub": (2, lambda x, y: (x[0] - y[0], x[1] - y[1]), "complex64"),
    "neg": (1, lambda x: (-x[0], -x[1]), "complex64"),
    "mul": (2, product, "complex64"),
    "multiply": (2, product, "complex64"),
    "div": (2, quotient, "complex64"),
    "exp": (1, exponential, "complex64"),
    "abs": (1, lambda x: apply("sqrt", x[0] * x[0] + x[1] * x[1]), "float32"),
    "absolute": (1, lambda x: apply("sqrt", x[0] * x[0] + x[1] * x[1]), "float32"),
    "angle": (1, lambda x: apply("atan2", x[1], x[0]), "float32"),
    "conj_physical": (1, lambda x: (x[0], -x[1]), "complex64"),
    "_conj_physical": (1, lambda x: (x[0], -x[1]), "complex64"),
}


@pytest.mark.parametrize("op", COMPLEX)
def test_complex_numbers(op: str) -> None:
    operands, function, result = COMPLEX[op]
    tally = Tally()
    drawn = numbers(tally, (operands, 2))
    function(*(tuple(pair) for pair in drawn))
    given = {name: T(SHAPE, "complex64") for name in ("self", "other")[:operands]}
    assert work_of(f"aten.{op}", given, T(SHAPE, result)).pointwise_flops == 6 * tally.pointwise


def test_complex_and_real() -> None:
    tally = Tally()
    a, b, x = numbers(tally, (3,))
    _ = (a * x, b * x)
    work = work_of("aten.mul", {"self": T(SHAPE, "complex64"), "other": T(SHAPE)}, T(SHAPE, "complex64"))
    assert work.pointwise_flops == 6 * tally.pointwise
    tally = Tally()
    size, angle = numbers(tally, (2,))
    _ = (size * apply("cos", angle), size * apply("sin", angle))
    work = work_of("aten.polar", {"abs": T(SHAPE), "angle": T(SHAPE)}, T(SHAPE, "complex64"))
    assert work.pointwise_flops == 6 * tally.pointwise
    tally = Tally()
    (x,) = numbers(tally, (1,))
    apply("select", x < 0, 3.14159, 0.0)
    assert work_of("aten.angle", {"self": T(SHAPE)}, T(SHAPE)).pointwise_flops == 6 * tally.pointwise


def test_complex_products_are_four_real_ones() -> None:
    tally = Tally()
    for _ in range(2 * 3 * 4):
        (a, b), (c, d) = numbers(tally, (2, 2))
        _ = (a * c - b * d, a * d + b * c)
    work = work_of("aten.mm", {"self": T((2, 3), "complex64"), "mat2": T((3, 4), "complex64")}, T((2, 4), "complex64"))
    assert work.contraction_flops == 2 * tally.done["pointwise"]["multiply"]
    d = work.dimensions
    assert 2 * d["batch"] * d["m"] * d["n"] * d["k"] == work.contraction_flops


def test_a_sum_of_complex_numbers_is_two_sums() -> None:
    assert work_of("aten.sum", {"self": T((5, 6), "complex64")}, T((), "complex64")).pointwise_flops == 2 * 30

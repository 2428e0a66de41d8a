"""Definitions of quantization in arithmetic on counting numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from support.reference import Array, Scalar, Tally, apply, numbers

from pyinfercost import _core


def rows_of(family: str) -> set[str]:
    """Return the operators of one table."""
    return {rule.op for rule in _core.rules() if rule.family == family}


def quantize(x: Scalar) -> Scalar:
    """Convert to an integer: scale, round, add the zero point, and clamp to the range of its type."""
    return apply("minimum", apply("maximum", apply("round", x / 0.5) + 3, 0), 255)


def dequantize(x: Scalar) -> Scalar:
    """Convert back to a real number."""
    return (x - 3) * 0.5


def extremes(x: Any) -> None:
    """Compute the minimum and maximum, from which a scale and a zero point are chosen."""
    low, high = x.flat[0] * 1, x.flat[0] * 1  # a copy that belongs to the row
    for value in x.flat:
        low, high = apply("minimum", low, value), apply("maximum", high, value)


def each(function: Any, values: Array) -> Array:
    """Apply a function to each element."""
    return np.array([function(v) for v in values.flat], dtype=object).reshape(values.shape)


def counted(function: Any, *shapes: tuple[int, ...]) -> int:
    """Return the number of operations of a function of arrays of these shapes."""
    tally = Tally()
    function(*(numbers(tally, shape, seed) for seed, shape in enumerate(shapes)))
    return tally.pointwise


QUANTIZE = counted(lambda x: each(quantize, x), (1,))
DEQUANTIZE = counted(lambda x: each(dequantize, x), (1,))
CHOOSE = counted(extremes, (1,)) - 2  # without the two copies

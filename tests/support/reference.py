"""Definitions of operators in arithmetic on numbers that count their operations.

There are no cost formulas here: a matrix product is `np.matmul`, a convolution is its loops. The operations of a
definition are read from its `Tally` afterwards and compared with the row of the operator tables.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.object_]


class Tally:
    """Counts of each elementary operation, by part.

    Parts are "contraction" (products and their sums), "pointwise" (operations per element), and "row" (operations that
    are done once for many elements, which no convention counts).
    """

    def __init__(self, part: str = "pointwise") -> None:
        self.done: dict[str, Counter[str]] = {"contraction": Counter(), "pointwise": Counter(), "row": Counter()}
        self.current = part

    def add(self, operation: str) -> None:
        """Count one operation."""
        self.done[self.current][operation] += 1

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count operations under another part within the context."""
        before, self.current = self.current, name
        try:
            yield
        finally:
            self.current = before

    @property
    def multiplications(self) -> int:
        """Number of multiplications of contractions: each is one multiply-accumulate."""
        return self.done["contraction"]["multiply"]

    @property
    def pointwise(self) -> int:
        """Number of operations per element."""
        return self.done["pointwise"].total()


def _erfinv(x: float) -> float:
    return statistics.NormalDist().inv_cdf((x + 1) / 2) / math.sqrt(2)


def _choose(condition: float, chosen: float, other: float) -> float:
    return chosen if condition else other


# Operations that count as one each, in addition to + - * / and comparisons.
ELEMENTARY: dict[str, Callable[..., float]] = {
    "abs": abs,
    "acos": math.acos,
    "asin": math.asin,
    "atan": math.atan,
    "atan2": math.atan2,
    "ceil": math.ceil,
    "cos": math.cos,
    "cosh": math.cosh,
    "erf": math.erf,
    "erfinv": _erfinv,
    "exp": math.exp,
    "exp2": lambda x: 2.0**x,
    "expm1": math.expm1,
    "floor": math.floor,
    "isfinite": math.isfinite,
    "isinf": math.isinf,
    "isnan": math.isnan,
    "log": math.log,
    "log10": math.log10,
    "log1p": math.log1p,
    "log2": math.log2,
    "maximum": max,
    "minimum": min,
    "pow": pow,
    "round": round,
    "select": _choose,
    "sign": lambda x: (x > 0) - (x < 0),
    "sin": math.sin,
    "sinh": math.sinh,
    "sqrt": math.sqrt,
    "tan": math.tan,
    "tanh": math.tanh,
    "trunc": math.trunc,
    "and": lambda a, b: bool(a) and bool(b),
    "or": lambda a, b: bool(a) or bool(b),
    "xor": lambda a, b: bool(a) != bool(b),
    "not": lambda a: not a,
    # Gamma, Bessel, zeta and similar functions have no elementary definition, so they count as one by convention.
    "function": lambda a, *_: a,
}


class Scalar:
    """A number that counts its operations."""

    __slots__ = ("tally", "value")

    def __init__(self, value: float, tally: Tally) -> None:
        self.value = value
        self.tally = tally

    def _with(self, operation: str, function: Callable[..., float], *others: Any) -> Scalar:
        self.tally.add(operation)
        return Scalar(function(self.value, *(o.value if isinstance(o, Scalar) else o for o in others)), self.tally)

    def __add__(self, other: Any) -> Scalar:
        return self._with("add", lambda a, b: a + b, other)

    def __radd__(self, other: Any) -> Scalar:
        return self._with("add", lambda a, b: b + a, other)

    def __sub__(self, other: Any) -> Scalar:
        return self._with("subtract", lambda a, b: a - b, other)

    def __rsub__(self, other: Any) -> Scalar:
        return self._with("subtract", lambda a, b: b - a, other)

    def __mul__(self, other: Any) -> Scalar:
        return self._with("multiply", lambda a, b: a * b, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Scalar:
        return self._with("divide", lambda a, b: a / b, other)

    def __rtruediv__(self, other: Any) -> Scalar:
        return self._with("divide", lambda a, b: b / a, other)

    def __neg__(self) -> Scalar:
        return self._with("negate", lambda a: -a)

    def __lt__(self, other: Any) -> Scalar:  # type: ignore[override]
        return self._with("compare", lambda a, b: a < b, other)

    def __le__(self, other: Any) -> Scalar:
        return self._with("compare", lambda a, b: a <= b, other)

    def __gt__(self, other: Any) -> Scalar:
        return self._with("compare", lambda a, b: a > b, other)

    def __ge__(self, other: Any) -> Scalar:
        return self._with("compare", lambda a, b: a >= b, other)

    def equals(self, other: Any) -> Scalar:
        """`==` under another name, so that arrays of scalars can still be compared as objects."""
        return self._with("compare", lambda a, b: a == b, other)

    def __bool__(self) -> bool:
        raise TypeError("a definition must not branch on a value; use select, which counts the choice")


def apply(operation: str, x: Scalar, *others: Any) -> Scalar:
    """Apply one elementary operation."""
    return x._with(operation, ELEMENTARY[operation], *others)


def numbers(tally: Tally, shape: Sequence[int], seed: int = 0) -> Array:
    """Return an array of counting numbers between 0.1 and 0.9."""
    draw = random.Random(f"{seed} {tuple(shape)}")
    result = np.empty(tuple(shape), dtype=object)
    for index in np.ndindex(*shape):
        result[index] = Scalar(draw.uniform(0.1, 0.9), tally)
    return result


def values(array: Any) -> NDArray[np.float64]:
    """Return the plain numbers of a result."""
    return np.vectorize(lambda s: float(s.value), otypes=[np.float64])(np.asarray(array, dtype=object))


# ---- sums over windows and rows --------------------------------------------------------------------------------------


def convolution(
    x: Array,
    weight: Array,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """Sum over the channels of a group and the window; padding consists of zeros that count like other elements."""
    batch, channels, *lengths = x.shape
    outputs, per_group, *window = weight.shape
    zero = Scalar(0.0, x.flat[0].tally)
    padded = np.full((batch, channels, *(n + 2 * p for n, p in zip(lengths, padding, strict=True))), zero, dtype=object)
    padded[(..., *(slice(p, p + n) for n, p in zip(lengths, padding, strict=True)))] = x
    sides = [
        (n + 2 * p - d * (w - 1) - 1) // s + 1
        for n, p, d, w, s in zip(lengths, padding, dilation, window, stride, strict=True)
    ]
    result = np.empty((batch, outputs, *sides), dtype=object)
    for b, out, *at in np.ndindex(*result.shape):
        group = out // (outputs // groups)
        terms = [
            padded[
                (
                    b,
                    group * per_group + c,
                    *(a * s + o * d for a, s, o, d in zip(at, stride, offset, dilation, strict=True)),
                )
            ]
            * weight[(out, c, *offset)]
            for c in range(per_group)
            for offset in np.ndindex(*window)
        ]
        result[(b, out, *at)] = np.sum(terms)
    return result


def transposed_convolution(
    x: Array,
    weight: Array,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """Spread every element over a window of results; the padding is cut off afterwards."""
    batch, channels, *lengths = x.shape
    per_group, *window = weight.shape[1:]
    full = [
        (n - 1) * s + d * (w - 1) + 1 + extra
        for n, s, d, w, extra in zip(lengths, stride, dilation, window, output_padding, strict=True)
    ]
    result = np.full((batch, per_group * groups, *full), Scalar(0.0, x.flat[0].tally), dtype=object)
    for b, c, *at in np.ndindex(*x.shape):
        group = c // (channels // groups)
        for out, *offset in np.ndindex(*weight.shape[1:]):
            place = [a * s + o * d for a, s, o, d in zip(at, stride, offset, dilation, strict=True)]
            target = (b, group * per_group + out, *place)
            result[target] = result[target] + x[(b, c, *at)] * weight[(c, out, *offset)]
    return result[(..., *(slice(p, n - p) for n, p in zip(full, padding, strict=True)))]


def einsum(equation: str, *operands: Array) -> Array:
    """Join operands from left to right; each join is one loop over all letters of both."""
    sources, _, result = equation.partition("->")
    letters = sources.split(",")
    joined, left = operands[0], letters[0]
    for position, (operand, right) in enumerate(zip(operands[1:], letters[1:], strict=True), start=2):
        later = result + "".join(letters[position:])
        kept = "".join(c for c in dict.fromkeys(left + right) if c in later)
        whole = joined, left
        joined, left = _summed_alone(joined, left, operand, right, kept)
        joined, left = _join(joined, left, *_summed_alone(operand, right, *whole, kept), kept), kept
    order = [left.index(c) for c in result]
    return np.transpose(joined, order) if order else joined


def _diagonal(a: Array, letters: str) -> tuple[Array, str]:
    """Reduce repeated letters to one each."""
    distinct = "".join(dict.fromkeys(letters))
    shape = tuple(a.shape[letters.index(c)] for c in distinct)
    result = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        at = dict(zip(distinct, index, strict=True))
        result[index] = a[tuple(at[c] for c in letters)]
    return result, distinct


def _summed_alone(a: Array, letters: str, other: Array, others: str, kept: str) -> tuple[Array, str]:
    """Sum over letters that no other operand has (except with length 1) before the product."""
    a, letters = _diagonal(a, letters)
    longer = {c for c, n in zip(others, other.shape, strict=True) if n > 1}
    alone = [c for c, n in zip(letters, a.shape, strict=True) if n > 1 and c not in kept and c not in longer]
    if not alone:
        return a, letters
    tally = a.flat[0].tally
    left = "".join(c for c in letters if c not in alone)
    result = np.empty(tuple(n for c, n in zip(letters, a.shape, strict=True) if c in left), dtype=object)
    with tally.part("pointwise"):
        for index in np.ndindex(*result.shape):
            at = iter(index)
            place = tuple(next(at) if c in left else slice(None) for c in letters)
            result[index] = np.sum(a[place], initial=Scalar(0.0, tally))
    return result, left


def _join(a: Array, a_letters: str, b: Array, b_letters: str, kept: str) -> Array:
    length: dict[str, int] = {}
    for c, n in zip(a_letters + b_letters, a.shape + b.shape, strict=True):
        length[c] = max(n, length.get(c, 1))
    summed = [c for c in length if c not in kept]
    result = np.empty(tuple(length[c] for c in kept), dtype=object)
    tally = a.flat[0].tally
    for outer in np.ndindex(*result.shape):
        terms = []
        for inner in itertools.product(*(range(length[c]) for c in summed)):
            at = dict(zip([*kept, *summed], [*outer, *inner], strict=True))
            a_at = tuple(at[c] if n > 1 else 0 for c, n in zip(a_letters, a.shape, strict=True))
            b_at = tuple(at[c] if n > 1 else 0 for c, n in zip(b_letters, b.shape, strict=True))
            # Without a sum, it is an elementwise product.
            with tally.part(tally.current if any(length[c] > 1 for c in summed) else "pointwise"):
                terms.append(a[a_at] * b[b_at])
        result[outer] = np.sum(terms)
    return result


def attention(
    query: Array, key: Array, value: Array, *, mask: Array | None = None, seen: Callable[[int, int], bool] | None = None
) -> Array:
    """softmax(q k / sqrt(width) + mask) v for [batch, heads, length, width]; fewer key heads are shared in turn.

    `seen(row, column)` excludes scores, for implementations that never compute masked ones.
    """
    tally = query.flat[0].tally
    batch, heads, rows, width = query.shape
    shared = heads // key.shape[1]
    result = np.empty((batch, heads, rows, value.shape[-1]), dtype=object)
    for b, h, i in np.ndindex(batch, heads, rows):
        columns = [j for j in range(key.shape[2]) if seen is None or seen(i, j)]
        scores = [np.matmul(query[b, h, i], key[b, h // shared, j]) for j in columns]
        with tally.part("pointwise"):
            scores = [score * (1 / math.sqrt(width)) for score in scores]
            if mask is not None:
                scores = [score + mask[i, j] for score, j in zip(scores, columns, strict=True)]
            shares = softmax(scores)
        result[b, h, i] = np.matmul(np.array(shares, dtype=object), value[b, h // shared, columns])
    return result


def softmax(row: Sequence[Scalar]) -> list[Scalar]:
    """Softmax of a row. Each reduction starts from its neutral element, so it is one operation per element."""
    tally = row[0].tally
    largest, total = Scalar(-math.inf, tally), Scalar(0.0, tally)
    for x in row:
        largest = apply("maximum", largest, x)
    grown = [apply("exp", x - largest) for x in row]
    for x in grown:
        total = total + x
    return [x / total for x in grown]


def pooling(
    x: Array, window: Sequence[int], stride: Sequence[int], pool: Callable[[Sequence[Scalar]], Scalar]
) -> Array:
    """Apply `pool` to every window over the last dimensions."""
    axes = len(window)
    sides = [(n - w) // s + 1 for n, w, s in zip(x.shape[-axes:], window, stride, strict=True)]
    result = np.empty((*x.shape[:-axes], *sides), dtype=object)
    for index in np.ndindex(*result.shape):
        at = index[-axes:]
        place = tuple(slice(a * s, a * s + w) for a, s, w in zip(at, stride, window, strict=True))
        result[index] = pool(list(x[(*index[:-axes], *place)].flat))
    return result

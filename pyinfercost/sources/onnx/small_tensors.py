"""Evaluation of operators on the content of small tensors: arithmetic of shapes, in numbers and in named sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyinfercost._core import Expr

from .values import MOST_KNOWN, Size, Value, symbolic

Array = NDArray[Any]

_LARGEST_DENOMINATOR = 10**6
_MOST_FLOATS = 64  # elements of a float result that are tracked
_SLICE_OF_TENSORS = 10  # operator set since which the bounds of a slice are operands


class Ratio:
    """A quotient of sizes before it is rounded: `0.5 * height`.

    Args:
        numerator: Its numerator.
        denominator: Its denominator, a number.
    """

    __slots__ = ("denominator", "numerator")

    def __init__(self, numerator: Size, denominator: int) -> None:
        self.numerator = numerator
        self.denominator = denominator

    def floor(self) -> Size:
        """Return the largest whole number up to it."""
        return self.numerator // self.denominator

    def ceil(self) -> Size:
        """Return the smallest whole number from it."""
        if isinstance(self.numerator, int):
            return -(-self.numerator // self.denominator)
        return Expr.ceil_div(self.numerator, self.denominator)


class _NotFoldedError(Exception):
    """An operator on contents has no result in sizes."""


def _ratio(value: Any) -> Ratio:
    if isinstance(value, Ratio):
        return value
    if isinstance(value, (Expr, int)):
        return Ratio(value, 1)
    if isinstance(value, float) and math.isfinite(value):
        # A scale factor such as 0.5 or 1/3: the intended fraction, since exact powers of two would overflow.
        fraction = Fraction(value).limit_denominator(_LARGEST_DENOMINATOR)
        return Ratio(fraction.numerator, fraction.denominator)
    raise _NotFoldedError


def _reduced(numerator: Size, denominator: int) -> Any:
    if denominator == 0:
        raise _NotFoldedError
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    if isinstance(numerator, int):
        return numerator / denominator if numerator % denominator else numerator // denominator
    return numerator if denominator == 1 else Ratio(numerator, denominator)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, bool))


def _add(a: Any, b: Any) -> Any:
    if not (isinstance(a, (Ratio, float)) or isinstance(b, (Ratio, float))) or (_is_number(a) and _is_number(b)):
        return a + b
    x, y = _ratio(a), _ratio(b)
    return _reduced(x.numerator * y.denominator + y.numerator * x.denominator, x.denominator * y.denominator)


def _negative(a: Any) -> Any:
    return Ratio(-a.numerator, a.denominator) if isinstance(a, Ratio) else -a


def _multiply(a: Any, b: Any) -> Any:
    if not (isinstance(a, (Ratio, float)) or isinstance(b, (Ratio, float))) or (_is_number(a) and _is_number(b)):
        return a * b
    x, y = _ratio(a), _ratio(b)
    return _reduced(x.numerator * y.numerator, x.denominator * y.denominator)


def _divide(a: Any, b: Any, *, whole: bool) -> Any:
    if not whole and _is_number(a) and _is_number(b):
        if b == 0:
            raise _NotFoldedError
        return a / b
    if whole:
        if isinstance(b, int) and b == 0:
            raise _NotFoldedError
        if isinstance(a, int) and isinstance(b, int):  # truncated, as in C
            return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        return a // b
    x, y = _ratio(a), _ratio(b)
    if not isinstance(y.numerator, int):
        if x.denominator == y.denominator == 1:
            quotient = x.numerator // y.numerator
            if quotient * y.numerator == x.numerator:
                return quotient
        raise _NotFoldedError
    return _reduced(x.numerator * y.denominator, x.denominator * y.numerator)


def _compare(relation: Callable[[Any, Any], bool], *, equality: bool) -> Callable[[Any, Any], bool]:
    def compared(a: Any, b: Any) -> bool:
        if _is_number(a) and _is_number(b):
            return relation(a, b)
        if isinstance(a, Ratio) or isinstance(b, Ratio):
            raise _NotFoldedError
        # Sizes are at least 1, and equal where they are the same expression.
        if equality:
            return relation(a, b)
        difference = a - b
        if isinstance(difference, Expr) and not difference.is_constant:
            values = [difference.evaluate(dict.fromkeys(difference.names, n)) for n in (1, 2, 1009)]
            found = {relation(value, 0) for value in values}
            if len(found) > 1:
                raise _NotFoldedError
            return found.pop()
        return relation(int(difference), 0)

    return compared


def _extreme(expression: Callable[[Any, Any], Expr], plain: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def found(a: Any, b: Any) -> Any:
        if _is_number(a) and _is_number(b):
            return plain(a, b)
        if isinstance(a, (Ratio, float)) or isinstance(b, (Ratio, float)):
            raise _NotFoldedError
        result = expression(a, b)
        return int(result) if result.is_constant else result

    return found


def _elementwise(function: Callable[..., Any], inputs: int) -> Callable[..., Array]:
    ufunc = np.frompyfunc(function, inputs, 1)

    def applied(*arrays: Array) -> Array:
        return _tidy(ufunc(*(_objects(array) for array in arrays)))

    return applied


def _objects(array: Array) -> Array:
    # Python's numbers, because numpy's wrap around.
    result = np.empty(array.shape, dtype=object)
    result.reshape(-1)[:] = array.reshape(-1).tolist()
    return result


def _tidy(found: Any) -> Array:
    array = np.asarray(found, dtype=object)
    items = array.reshape(-1).tolist()
    if all(isinstance(item, bool) for item in items):
        return array.astype(bool)
    if all(isinstance(item, int) and abs(item) < 2**63 for item in items):
        return array.astype(np.int64)
    if all(_is_number(item) for item in items):
        return array.astype(np.float64)
    return array


_BINARY: Mapping[str, Callable[..., Array]] = {
    "Add": _elementwise(_add, 2),
    "Sub": _elementwise(lambda a, b: _add(a, _negative(b)), 2),
    "Mul": _elementwise(_multiply, 2),
    "Max": _elementwise(_extreme(Expr.maximum, max), 2),
    "Min": _elementwise(_extreme(Expr.minimum, min), 2),
    "Equal": _elementwise(_compare(lambda a, b: a == b, equality=True), 2),
    "Less": _elementwise(_compare(lambda a, b: a < b, equality=False), 2),
    "LessOrEqual": _elementwise(_compare(lambda a, b: a <= b, equality=False), 2),
    "Greater": _elementwise(_compare(lambda a, b: a > b, equality=False), 2),
    "GreaterOrEqual": _elementwise(_compare(lambda a, b: a >= b, equality=False), 2),
    "And": _elementwise(lambda a, b: bool(a) and bool(b), 2),
    "Or": _elementwise(lambda a, b: bool(a) or bool(b), 2),
}


def _floor(a: Any) -> Any:
    return a.floor() if isinstance(a, Ratio) else math.floor(a) if _is_number(a) else a


def _ceil(a: Any) -> Any:
    return a.ceil() if isinstance(a, Ratio) else math.ceil(a) if _is_number(a) else a


def _sqrt(a: Any) -> Any:
    if not _is_number(a) or a < 0:
        raise _NotFoldedError
    return math.sqrt(a)


def _not(a: Any) -> bool:
    if not _is_number(a):
        raise _NotFoldedError
    return not a


_UNARY: Mapping[str, Callable[..., Array]] = {
    "Neg": _elementwise(_negative, 1),
    "Floor": _elementwise(_floor, 1),
    "Ceil": _elementwise(_ceil, 1),
    "Sqrt": _elementwise(_sqrt, 1),
    "Not": _elementwise(_not, 1),
    "Abs": _elementwise(lambda a: a if isinstance(a, Expr) else abs(a), 1),
}


def _cast(array: Array, dtype: str) -> Array:
    if dtype.startswith(("int", "uint")):
        return _elementwise(lambda a: a.floor() if isinstance(a, Ratio) else int(a) if _is_number(a) else a, 1)(array)
    if dtype == "bool":
        return _elementwise(lambda a: bool(a) if _is_number(a) else True, 1)(array)
    if dtype.startswith("float"):
        return _elementwise(lambda a: float(a) if _is_number(a) else a, 1)(array)
    raise _NotFoldedError


def _where(condition: Array, a: Array, b: Array) -> Array:
    return _tidy(np.where(condition.astype(bool), _objects(a), _objects(b)))


def _slice(array: Array, bounds: Sequence[Array | None]) -> Array:
    starts, ends, axes, steps = ([] if part is None else _whole(part) for part in bounds)
    places = [slice(None)] * array.ndim
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        step = steps[index] if steps else 1
        axis = axes[index] if axes else index
        if step == 0:
            raise _NotFoldedError
        last: int | None = None if step < 0 and end < -array.shape[axis] else end
        places[axis] = slice(start, last, step)
    return array[tuple(places)]


def _whole(array: Array) -> list[int]:
    items = array.reshape(-1).tolist()
    if not all(isinstance(item, (int, bool)) for item in items):
        raise _NotFoldedError
    return [int(item) for item in items]


def _gather(array: Array, indices: Array, axis: int) -> Array:
    return np.take(array, np.asarray(_whole(indices), dtype=np.int64).reshape(indices.shape), axis=axis)


def _reshape(array: Array, shape: Array, *, allow_zero: bool) -> Array:
    lengths = _whole(shape)
    if not allow_zero:
        lengths = [array.shape[place] if length == 0 else length for place, length in enumerate(lengths)]
    return array.reshape(lengths)


def _reduce(name: str, array: Array, axes: tuple[int, ...] | None, *, keep: bool) -> Array:
    if array.dtype == object and name in ("ReduceMax", "ReduceMin") and array.size > 1:
        raise _NotFoldedError
    reductions: Mapping[str, Callable[..., Any]] = {
        "ReduceSum": np.sum,
        "ReduceProd": np.prod,
        "ReduceMax": np.max,
        "ReduceMin": np.min,
    }
    return np.asarray(reductions[name](array, axis=axes, keepdims=keep))


_NOT_FOLDED = (IndexError, ValueError, TypeError, AttributeError, ZeroDivisionError, OverflowError, KeyError)


def folded(op: Any) -> list[Value] | None:
    """Return the results of an operator on small operands of known content.

    Returns:
        The results; None if the operator is none of those that compute shapes, or has no result in sizes.
    """
    # Only the dtype of the second operand of CastLike matters.
    values = op.inputs[:1] if op.type == "CastLike" else op.inputs
    if op.domain or not values or not all(isinstance(v, Value) for v in values if v is not None):
        return None
    present = [v for v in values if v is not None]
    floats = [v for v in present if v.dtype.startswith(("float", "bfloat"))]
    if any(v.stored is not None and v.stored.elements > 1 for v in floats):
        return None
    # Contents of the file are read last.
    if any(v.stored is None and v.data is None for v in present) or any(v.data is None for v in present):
        return None
    arrays = _contents(op)
    if arrays is None:
        return None
    dtype = _result_dtype(op)
    if dtype.startswith("float") and sum(a.size for a in arrays) > _MOST_FLOATS:
        return None
    return [Value(dtype, tuple(int(n) for n in array.shape), data=array) for array in arrays]


def _result_dtype(op: Any) -> str:
    if op.type in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Not"):
        return "bool"
    dtype: str = op.dtype_attribute("to") if op.type == "Cast" else op[op.type in ("CastLike", "Where")].dtype
    return dtype


def _contents(op: Any) -> list[Array] | None:
    values = op.inputs[:1] if op.type == "CastLike" else op.inputs
    arrays = [None if value is None else value.data for value in values]
    try:
        with np.errstate(all="ignore"):
            results: list[Any] | None = _evaluate(op, arrays)
    except (_NotFoldedError, *_NOT_FOLDED):
        return None
    if results is None:
        return None
    # Numpy returns an element instead of an array of no dimension.
    found = [np.asarray(item) if isinstance(item, (np.ndarray, np.generic)) else _tidy(item) for item in results]
    return found if sum(array.size for array in found) <= MOST_KNOWN else None


def _evaluate(op: Any, arrays: Sequence[Any]) -> list[Array] | None:
    name: str = op.type
    if name in _BINARY:
        result = arrays[0]
        for array in arrays[1:]:
            result = _BINARY[name](result, array)
        return [result]
    if name in _UNARY:
        return [_UNARY[name](arrays[0])]
    match name:
        case "Identity":
            return [arrays[0]]
        case "Div":
            whole = op[0].dtype.startswith(("int", "uint"))
            return [_elementwise(lambda a, b: _divide(a, b, whole=whole), 2)(*arrays)]
        case "Mod":
            return [_elementwise(lambda a, b: a % b, 2)(*arrays)]
        case "Cast":
            return [_cast(arrays[0], op.dtype_attribute("to"))]
        case "CastLike":
            return [_cast(arrays[0], op[1].dtype)]
        case "Where":
            return [_where(*arrays)]
        case "Concat":
            return [_tidy(np.concatenate([_objects(a) for a in arrays], axis=op.integer("axis")))]
        case "Gather":
            return [_gather(arrays[0], arrays[1], op.integer("axis", 0))]
        case "Reshape":
            return [_reshape(arrays[0], arrays[1], allow_zero=bool(op.integer("allowzero", 0)))]
        case "Unsqueeze":
            axes = _axes(op, arrays)
            return [np.expand_dims(arrays[0], tuple(axes or ()))]
        case "Squeeze":
            axes = _axes(op, arrays)
            return [np.squeeze(arrays[0], axis=None if axes is None else tuple(axes))]
        case "Slice":
            if op.version < _SLICE_OF_TENSORS:
                return None
            return [_slice(arrays[0], [arrays[i] if i < len(arrays) else None for i in range(1, 5)])]
        case "Range":
            start, end, step = (_whole(a)[0] for a in arrays)
            if step == 0 or abs(end - start) > abs(step) * MOST_KNOWN:
                return None
            return [np.arange(start, end, step, dtype=np.int64)]
        case "Expand":
            shape = np.broadcast_shapes(arrays[0].shape, tuple(_whole(arrays[1])))
            return [np.broadcast_to(arrays[0], shape)] if math.prod(shape) <= MOST_KNOWN else None
        case "Tile":
            repeats = _whole(arrays[1])
            # Numpy repeats one axis after the other: a later 0 does not make the arrays between smaller.
            if arrays[0].size * math.prod(max(1, each) for each in repeats) > MOST_KNOWN:
                return None
            return [np.tile(arrays[0], repeats)]
        case "Transpose":
            return [np.transpose(arrays[0], op.integers("perm") or None)]
        case "Flatten":
            return [arrays[0].reshape(math.prod(arrays[0].shape[: op.integer("axis", 1)]), -1)]
        case "ReduceSum" | "ReduceProd" | "ReduceMax" | "ReduceMin":
            axes = _axes(op, arrays)
            if axes is None and op.integer("noop_with_empty_axes", 0):
                return [arrays[0]]
            keep = bool(op.integer("keepdims", 1))
            return [_tidy(_reduce(name, _tidy(_objects(arrays[0])), None if axes is None else tuple(axes), keep=keep))]
        case "CumSum":
            return [_tidy(np.cumsum(_objects(arrays[0]), axis=_whole(arrays[1])[0]))]
        case "Split":
            return _split(op, arrays)
    return None


def _axes(op: Any, arrays: Sequence[Any]) -> list[int] | None:
    if len(arrays) > 1 and arrays[1] is not None:
        return _whole(arrays[1])
    axes: list[int] | None = op.integers("axes")
    return axes


def _split(op: Any, arrays: Sequence[Any]) -> list[Array] | None:
    axis = op.integer("axis", 0)
    parts = _whole(arrays[1]) if len(arrays) > 1 and arrays[1] is not None else op.integers("split")
    if parts is None:
        return [np.asarray(a) for a in np.array_split(arrays[0], len(op.output_names), axis=axis)]
    places = np.cumsum(parts)[:-1]
    return [np.asarray(a) for a in np.split(arrays[0], places, axis=axis)]


def shape_content(lengths: Sequence[Size]) -> Array:
    """Return the content of a tensor of a shape."""
    return symbolic(lengths)

"""Arithmetic of lengths and strides: broadcasting, windows, slices and views, in numbers and in named sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyinfercost._core import Expr

from .stored import OnnxError
from .values import Shape, Size

Guard = Callable[[Size, str, Size], None]
"""Takes a condition on sizes that the model's shapes imply."""

_MOST = 2**63 - 1  # elements of a tensor
_END = 2**31 - 1  # a slice that ends here or later ends with its dimension


def product(lengths: Sequence[Size]) -> Size:
    """Return the product of lengths.

    Raises:
        OnnxError: It is beyond 64 bits.
    """
    total: Size = 1
    for length in lengths:
        total = total * length
        if isinstance(total, int) and total > _MOST:
            raise OnnxError(f"has a shape of {total:.3e} elements; expected at most 2^63 - 1")
    return total


def plain(size: Size) -> Size:
    """Return a constant expression as a number."""
    return int(size) if isinstance(size, Expr) and size.is_constant else size


def is_one(size: Size) -> bool:
    """Return whether a length is the number 1."""
    return isinstance(size, int) and size == 1


def ceil_div(a: Size, b: Size) -> Size:
    """Return the quotient, rounded up."""
    if isinstance(a, int) and isinstance(b, int):
        return -(-a // b)
    return plain(Expr.ceil_div(a, b))


def smaller(a: Size, b: Size) -> Size:
    """Return the minimum."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    return plain(Expr.minimum(a, b))


def larger(a: Size, b: Size) -> Size:
    """Return the maximum."""
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return plain(Expr.maximum(a, b))


def axis_of(axis: int, rank: int) -> int:
    """Return an axis counted from the first dimension.

    Raises:
        OnnxError: There is no such axis.
    """
    if not -rank <= axis < max(rank, 1):
        raise OnnxError(f"axis {axis} is not one of a tensor of {rank} dimensions")
    return axis + rank if axis < 0 else axis


def same(a: Size, b: Size, guard: Guard) -> Size:
    """Return a length that two dimensions have, a number if one of them is known."""
    if isinstance(a, int) and isinstance(b, int):
        if a != b:
            raise OnnxError(f"lengths {a} and {b} differ; expected equal ones")
        return a
    if a == b:
        return a
    guard(a, "==", b)
    return a if isinstance(a, int) else b


def broadcast(shapes: Sequence[Shape], guard: Guard) -> Shape:
    """Return the shape of an elementwise result, as numpy's rules give it.

    Raises:
        OnnxError: Two lengths differ, and neither is 1.
    """
    rank = max(map(len, shapes), default=0)
    result: list[Size] = [1] * rank
    for shape in shapes:
        for place, length in enumerate(shape, rank - len(shape)):
            known = result[place]
            if is_one(known):
                result[place] = length
            elif not is_one(length) and known != length:
                result[place] = _broadcast_pair(known, length, guard)
    return tuple(result)


def _broadcast_pair(a: Size, b: Size, guard: Guard) -> Size:
    if isinstance(a, int) and isinstance(b, int):
        raise OnnxError(f"lengths {a} and {b} do not broadcast; expected equal ones, or one of them 1")
    guard(a, "==", b)
    return a if isinstance(a, int) else b


def row_major(shape: Sequence[Size]) -> Shape:
    """Return the strides of a tensor without gaps."""
    strides: list[Size] = []
    step: Size = 1
    for length in reversed(shape):
        strides.append(step)
        # A dimension of length 0 has the stride of one of length 1, as torch has it.
        step = step * (1 if isinstance(length, int) and length == 0 else length)
    return tuple(reversed(strides))


def viewed(shape: Shape, strides: Shape, wanted: Sequence[Size]) -> Shape | None:
    """Return the strides of a reshaped tensor that shares the memory; None if its elements must be copied.

    Each run of dimensions that is dense in memory must be divided into whole dimensions of the new shape, as in
    `torch.Tensor.view`.
    """
    if any(isinstance(length, int) and length == 0 for length in shape):
        return row_major(wanted)
    old = [(length, stride) for length, stride in zip(shape, strides, strict=True) if not is_one(length)]
    result: list[Size] = [1] * len(wanted)
    place = len(wanted) - 1
    run: Size = 1
    last: Size = 1
    for index in range(len(old) - 1, -1, -1):
        length, stride = old[index]
        if is_one(run):
            last = stride  # of the innermost dimension of the run
        run = run * length
        if index > 0 and old[index - 1][1] == length * stride:
            continue
        covered: Size = 1
        while place >= 0 and covered != run:
            result[place] = last * covered
            covered = covered * wanted[place]
            place -= 1
        if covered != run:
            return None
        run = 1
    while place >= 0:
        if not is_one(wanted[place]):
            return None
        result[place] = product(wanted[place + 1 :])
        place -= 1
    return tuple(result)


def window_length(length: Size, kernel: Size, stride: int, dilation: int, pads: Size, *, ceil: bool = False) -> Size:
    """Return the number of windows along an axis.

    Args:
        length: Length of the axis.
        kernel: Length of a window.
        stride: Step between windows.
        dilation: Step between the elements of a window.
        pads: Elements that are added at both ends.
        ceil: Whether a last window may start within the padded axis and end behind it.
    """
    if stride < 1 or dilation < 1:
        raise OnnxError(f"stride {stride} and dilation {dilation} are given; expected 1 or more")
    free = length + pads - (dilation * (kernel - 1) + 1)
    return plain(ceil_div(free, stride) + 1 if ceil else free // stride + 1)


def slice_length(length: Size, start: Size, end: Size, step: int, guard: Guard) -> tuple[Size, Size]:
    """Return the first element and the number of elements of a slice.

    A bound in named sizes is taken to lie within the dimension, and a number within one in named sizes; the condition
    is a guard.
    """
    if step == 0:
        raise OnnxError("a slice has the step 0; expected another number")
    if step < 0:
        first = _bound(length, start, guard, most=_minus_one(length))
        last = -1 if isinstance(end, int) and end < -_END else _bound(length, end, guard, least=-1)
        return first, _at_least_zero(ceil_div(first - last, -step))
    first = _bound(length, start, guard)
    last = _bound(length, end, guard)
    count = last - first
    return first, _at_least_zero(plain(count) if step == 1 else ceil_div(count, step))


def _minus_one(length: Size) -> Size:
    return plain(length - 1)


def _at_least_zero(count: Size) -> Size:
    return max(count, 0) if isinstance(count, int) else count


def _bound(length: Size, at: Size, guard: Guard, *, most: Size | None = None, least: int = 0) -> Size:
    most = length if most is None else most
    if isinstance(at, int) and at < 0:
        if isinstance(length, int):
            return max(at + length, least)
        guard(length, ">=", -at)
        return plain(length + at)
    if isinstance(at, int) and isinstance(most, int):
        return min(at, most)
    if isinstance(at, int):
        if at >= _END:
            return most
        if at > 1:
            guard(length, ">=", at)
        return at
    # Sizes that count back from the end, such as -(window): the expression is negative for all sizes.
    if is_negative(at):
        guard(length, ">=", -at)
        return plain(length + at)
    if at != most:
        guard(at, "<=", length)
    return at


def is_negative(size: Size) -> bool:
    """Return whether a size is below zero where all named sizes are 1 and where all are large."""
    if isinstance(size, int):
        return size < 0
    names = size.names
    return all(size.evaluate(dict.fromkeys(names, value)) < 0 for value in (1, 2, 1009))

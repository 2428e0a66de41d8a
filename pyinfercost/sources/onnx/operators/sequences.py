"""Sequences of tensors and optional tensors: they hold values, and move none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..op import NotKnownError, Op, Result, handles
from ..shapes import axis_of, ceil_div, plain
from ..stored import OnnxError
from ..values import Sequenced, Size, Value
from .movement import joined, part_of, reshaped

_MOST_PARTS = 4096


def _place(op: Op, at: int, count: int, otherwise: int) -> int:
    """Return a position in a sequence; the position of an item of the same shape where it is data."""
    value = op.get(at)
    if value is None:
        return otherwise
    number = value.scalar()
    return int(number) if isinstance(number, (int, float)) else min(otherwise, max(count - 1, 0))


@handles("SequenceConstruct")
def construct(op: Op) -> Result:
    return Sequenced(op.all(), op[0].dtype)


@handles("SequenceEmpty")
def empty(op: Op) -> Result:
    return Sequenced([], op.dtype_attribute("dtype"))


@handles("SequenceAt")
def at(op: Op) -> Result:
    sequence = op.sequence(0)
    place = _place(op, 1, len(sequence.items), 0)
    if not -len(sequence.items) <= place < len(sequence.items):
        raise OnnxError(f"reads item {place} of a sequence of {len(sequence.items)}")
    return sequence.items[place]


@handles("SequenceInsert")
def insert(op: Op) -> Result:
    sequence = op.sequence(0)
    items = list(sequence.items)
    items.insert(_place(op, 2, len(items), len(items)), op[1])
    return Sequenced(items, sequence.dtype)


@handles("SequenceErase")
def erase(op: Op) -> Result:
    sequence = op.sequence(0)
    items = list(sequence.items)
    if items:
        del items[_place(op, 1, len(items), len(items) - 1)]
    return Sequenced(items, sequence.dtype)


@handles("SequenceLength")
def length(op: Op) -> Result:
    return Value("int64", (), data=np.array(len(op.sequence(0).items), dtype=np.int64))


@handles("SplitToSequence")
def split_to_sequence(op: Op) -> Result:
    x = op[0]
    axis = op.axis(0, x.rank)
    whole = x.shape[axis]
    given = op.get(1)
    if given is None:
        parts: Sequence[Size] = [1] * whole if isinstance(whole, int) and whole <= _MOST_PARTS else []
        if not parts:
            raise NotKnownError
    else:
        sizes = op.sizes(1)
        if given.shape:
            parts = sizes
        else:
            each = sizes[0]
            if not isinstance(whole, int) or not isinstance(each, int) or each < 1 or whole > each * _MOST_PARTS:
                raise NotKnownError
            count = int(ceil_div(whole, each))
            parts = [each] * (count - 1) + [whole - each * (count - 1)]
    values = []
    start: Size = 0
    for each in parts:
        values.append(part_of(op, x, axis, start, each))
        start = plain(start + each)
    if given is None and not op.integer("keepdims", 1):
        shape = [*x.shape[:axis], *x.shape[axis + 1 :]]
        values = [reshaped(op, value, shape, inner=True) for value in values]
    return Sequenced(values, x.dtype)


@handles("ConcatFromSequence")
def concat_from_sequence(op: Op) -> Result:
    values = [value for value in op.sequence(0).items if isinstance(value, Value)]
    if not values:
        raise OnnxError("joins an empty sequence")
    rank = values[0].rank
    if not op.integer("new_axis"):
        return joined(op, values, axis_of(op.integer("axis"), rank))
    axis = axis_of(op.integer("axis"), rank + 1)
    shape = [*values[0].shape[:axis], len(values), *values[0].shape[axis:]]
    return op.new("aten.stack.default", {"tensors": values, "dim": axis}, values[0].dtype, shape)


@handles("OptionalGetElement")
def get_element(op: Op) -> Result:
    value = op.inputs[0]
    if value is None:
        raise OnnxError("reads an absent optional value")
    found: Result = value
    return found


@handles("OptionalHasElement")
def has_element(op: Op) -> Result:
    present = bool(op.inputs) and op.inputs[0] is not None
    return Value("bool", (), data=np.array(present))

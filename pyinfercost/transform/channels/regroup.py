"""Views that cut dimensions into parts and join parts: `view`, `reshape`, `flatten`, `unflatten` and their kin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ..edit import Node, operand, operands
from .layers import SMALL
from .units import Axis, LockedError
from .walk import Walk, given

if TYPE_CHECKING:
    from .units import Ids


@dataclass(frozen=True)
class Part:
    """A run of elements that is a whole factor of one dimension before and of one after.

    Attributes:
        before: the dimension that it is cut from.
        after: the dimension that it is joined into.
        length: as a number.
    """

    before: int
    after: int
    length: int


def regroup(walk: Walk, node: Node) -> None:
    """The rule: both shapes are known, so that the op's own arguments need not be read."""
    found = operand(node, "self", "input")
    source = operands(node)[0] if found is None else found
    result = node["outputs"][0]
    before, after = walk.lengths[source], walk.lengths[result]
    named = [not isinstance(length, int) for length in walk.tensors[result]["shape"]]
    parts = parts_of(before, after)
    axes: list[Axis] = [walk.fixed("there is one of them, which may broadcast")] * len(after)
    cut: dict[Part, Axis] = {}
    open_dim = _open_dim(node, len(after))
    for dim in range(len(before)):
        own = [part for part in parts if part.before == dim]
        for part, axis in zip(own, _cut(walk, walk.axes(source)[dim], own, named, open_dim), strict=True):
            cut[part] = axis
    for dim in range(len(after)):
        own = [part for part in parts if part.after == dim]
        if own:
            axes[dim] = _joined(walk, [cut[part] for part in own], [part.length for part in own], named[dim])
    walk.set(result, axes)
    kept = {part.after: part.before for part in parts if before[part.before] == part.length == after[part.after]}
    walk.follows(result, source, [kept.get(dim) for dim in range(len(after))])
    for name in ("size", "shape"):
        if isinstance(given(node, name), list):
            walk.argument(node, name, axes)


def parts_of(before: Sequence[int], after: Sequence[int]) -> list[Part]:
    """The common factors of two shapes, in order; lengths of 1 have none.

    Raises:
        LockedError: where a dimension straddles two of the other shape.
    """
    if prod(before) != prod(after):
        raise LockedError("a view has another number of elements")
    if 0 in before:
        raise LockedError("a tensor is empty")
    parts: list[Part] = []
    i = j = 0
    left = right = 1
    while True:
        while left == 1 and i < len(before):
            left, i = before[i], i + 1
        while right == 1 and j < len(after):
            right, j = after[j], j + 1
        if left == 1 and right == 1:
            return parts
        step = min(left, right)
        if max(left, right) % step:
            raise LockedError("a view joins dimensions that it cuts elsewhere")
        parts.append(Part(i - 1, j - 1, step))
        left, right = left // step, right // step


def _open_dim(node: Node, rank: int) -> int | None:
    """The dimension after a view whose length is given as -1."""
    for name in ("size", "shape", "sizes"):
        lengths = given(node, name)
        if isinstance(lengths, list) and -1 in lengths:
            first = int(given(node, "dim", 0)) if name == "sizes" else 0
            return (first if first >= 0 else first + rank - len(lengths) + 1) + lengths.index(-1)
    return None


def _cut(walk: Walk, axis: Axis, own: list[Part], named: list[bool], open_dim: int | None) -> list[Axis]:
    """One part of a dimension keeps the units, the others are of fixed length: what goes together lies across them.

    A part that already has them keeps them (a view that undoes another); else that whose length the forward leaves open
    (-1), so that it runs with fewer; else the outermost that is more than structure; else the innermost. A part that is
    joined with a named size can keep none, since such a product is no list of elements.
    """
    if isinstance(axis, int) or len(own) == 1:
        return [axis] * len(own)
    lengths = [part.length for part in own]
    table = axis.reshape(lengths)
    fixed = walk.fixed("they are the inner structure of a channel")
    chosen = _with_units(table)
    if chosen is None:
        alone = [at for at, part in enumerate(own) if not named[part.after]]
        large = [at for at in alone if lengths[at] > SMALL]
        inferred = [at for at in alone if own[at].after == open_dim and lengths[at] > 1]
        chosen = inferred[0] if inferred else large[0] if large else alone[-1] if alone else len(own) - 1
        rows = np.moveaxis(table, chosen, 0).reshape(lengths[chosen], -1)
        walk.units.equal(np.repeat(rows[:, 0], rows.shape[1] - 1), rows[:, 1:].reshape(-1))
    kept = np.moveaxis(table, chosen, 0).reshape(lengths[chosen], -1)[:, 0].copy()
    return [kept if at == chosen else fixed for at in range(len(own))]


def _with_units(table: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> int | None:
    """The only axis along which units differ; None where there are several."""
    differing = [
        at for at in range(table.ndim) if table.shape[at] > 1 and bool((table != table.take([0], axis=at)).any())
    ]
    return differing[0] if len(differing) == 1 else None


def _joined(walk: Walk, axes: list[Axis], lengths: list[int], named: bool) -> Axis:
    """A dimension of several parts: each element goes with the unit of its part, where only one part has units."""
    with_units = [at for at, axis in enumerate(axes) if not isinstance(axis, int)]
    if not with_units:
        return axes[0]
    text = "a view joins them with a named size" if named else "a view joins them with other channels"
    if named or len(with_units) > 1:
        reason = walk.fixed(text)
        for at in with_units:
            walk.units.fix(axes[at], reason)
        return reason
    at = with_units[0]
    axis = axes[at]
    if len(axes) == 1 or isinstance(axis, int):
        return axis
    shape = [length if i == at else 1 for i, length in enumerate(lengths)]
    spread: Ids = np.broadcast_to(axis.reshape(shape), lengths).reshape(-1).copy()
    return spread

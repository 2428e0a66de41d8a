"""Rules for operators that move elements: transposes, slices, splits, concatenations, expansions, and reshapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from .layers import SMALL
from .pointwise import broadcast, tie
from .units import Axis, LockedError, repeated, tiled
from .walk import Walk, need, whole

if TYPE_CHECKING:
    from ..._core import NodeInfo
    from .units import Ids


def _turned(walk: Walk, node: NodeInfo, order: Sequence[int]) -> None:
    source = need(node, "self", "input")
    axes = walk.axes(source)
    walk.set(node.results[0], [axes[dim] for dim in order])
    walk.follows(node.results[0], source, order)


def turn(walk: Walk, node: NodeInfo) -> None:
    """`permute`, `transpose`, `t`, `movedim` and aliases."""
    name = node.op.rstrip("_")
    rank = len(walk.lengths[need(node, "self", "input")])
    order = list(range(rank))
    if name == "aten.permute":
        order = [dim % rank for dim in whole(node.argument("dims"))]
    elif name in ("aten.t", "aten.numpy_T"):
        order.reverse()
    elif name in ("aten.mT", "aten.mH", "aten.adjoint"):
        order[-2:] = order[:-3:-1]
    elif name in ("aten.movedim", "aten.moveaxis"):
        source = [dim % rank for dim in whole(node.argument("source"))]
        target = [dim % rank for dim in whole(node.argument("destination"))]
        rest = iter([dim for dim in order if dim not in source])
        order = [source[target.index(at)] if at in target else next(rest) for at in range(rank)]
    else:
        ends = [node.argument(key) for key in ("dim0", "dim1")]
        if None in ends:
            ends = [node.argument(key) for key in ("axis0", "axis1")]
        one, two = (dim % rank for dim in whole(ends))
        order[one], order[two] = order[two], order[one]
    _turned(walk, node, order)


def unsqueeze(walk: Walk, node: NodeInfo) -> None:
    """One more dimension of length 1."""
    source = need(node, "self", "input")
    axes: list[Axis] = list(walk.axes(source))
    dim = int(node.argument("dim", 0)) % (len(axes) + 1)
    axes.insert(dim, walk.fixed("their length is 1, which may broadcast"))
    walk.set(node.results[0], axes)
    kept: list[int | None] = list(range(len(axes) - 1))
    walk.follows(node.results[0], source, [*kept[:dim], None, *kept[dim:]])


def squeeze(walk: Walk, node: NodeInfo) -> None:
    """Remove dimensions of length 1: all of them, or the given ones."""
    source = need(node, "self", "input")
    lengths, dims = walk.lengths[source], node.argument("dim")
    rank = len(lengths)
    chosen = range(rank) if dims is None else [dim % rank for dim in whole(dims)]
    order = [dim for dim in range(rank) if dim not in chosen or lengths[dim] != 1]
    _turned(walk, node, order)


def cut(walk: Walk, node: NodeInfo) -> None:
    """`slice` and `narrow`: a range of a dimension."""
    source = need(node, "self", "input")
    axes, result = list(walk.axes(source)), node.results[0]
    dim = int(node.argument("dim", 0)) % len(axes)
    axis, length = axes[dim], walk.lengths[result][dim]
    start, step = node.argument("start", 0), node.argument("step", 1)
    if not isinstance(axis, int) and length != len(axis):
        if isinstance(start, int) and step == 1:
            start = max(start + len(axis), 0) if start < 0 else start
            axes[dim] = axis[start : start + length]
        else:
            axes[dim] = walk.units.fix(axis, walk.fixed("a slice selects some of them by index"))
    walk.set(result, axes)


def split(walk: Walk, node: NodeInfo) -> None:
    """`chunk` and `split` into equal parts keep them equal; parts of given lengths are independent."""
    source = need(node, "self", "input")
    dim = int(node.argument("dim", 0)) % len(walk.lengths[source])
    axis = walk.axes(source)[dim]
    results = node.results
    lengths = [walk.lengths[t][dim] for t in results]
    equal_parts = not isinstance(node.argument("split_sizes", node.argument("indices")), list)
    if not isinstance(axis, int) and equal_parts and len(set(lengths)) > 1:
        axis = walk.units.fix(axis, walk.fixed("they are split into parts of different lengths"))
    ends = np.cumsum([0, *lengths])
    parts: list[Axis] = [axis if isinstance(axis, int) else axis[ends[i] : ends[i + 1]] for i in range(len(results))]
    if equal_parts:
        tie(walk, parts)
    for t, part in zip(results, parts, strict=True):
        axes = list(walk.axes(source))
        axes[dim] = part
        walk.set(t, axes)
    sizes = node.argument("split_sizes")
    if isinstance(sizes, list) and len(sizes) == len(parts):
        walk.argument(node, "split_sizes", parts)


def take_out(walk: Walk, node: NodeInfo) -> None:
    """`select` and `unbind` take single elements by index, so the dimension is fixed."""
    source = need(node, "self", "input")
    dim = int(node.argument("dim", 0)) % len(walk.lengths[source])
    walk.units.fix(walk.axes(source)[dim], walk.fixed("some of them are selected by index"))
    axes = walk.axes(source)
    for t in node.results:
        walk.set(t, [*axes[:dim], *axes[dim + 1 :]])


def concatenate(walk: Walk, node: NodeInfo) -> None:
    """`cat`: concatenated dimensions of all operands; other dimensions are equal."""
    tensors = [t for t in node.argument("tensors", []) if t is not None]
    result = node.results[0]
    rank = len(walk.lengths[result])
    tensors = [t for t in tensors if len(walk.lengths[t]) == rank]  # torch allows empty vectors among the operands
    dim = int(node.argument("dim", 0)) % rank
    axes = list(walk.axes(tensors[0]))
    for t in tensors[1:]:
        for at in range(rank):
            if at != dim:
                axes[at] = walk.units.equal(axes[at], walk.axes(t)[at])
    along = [walk.axes(t)[dim] for t in tensors]
    if len(along) > 1 and any(not isinstance(axis, int) for axis in along):
        if all(isinstance(walk.shapes[t][dim], int) for t in tensors):
            counts = [walk.lengths[t][dim] for t in tensors]
            axes[dim] = np.concatenate([walk.units.elements(*pair) for pair in zip(along, counts, strict=True)])
        else:
            reason = walk.fixed("they are concatenated with others along a named size")
            axes[dim] = reason
            for axis in along:
                walk.units.fix(axis, reason)
    walk.set(result, axes)


def stack(walk: Walk, node: NodeInfo) -> None:
    """`stack`: a new dimension; the others are equal in all operands."""
    tensors = [t for t in node.argument("tensors", []) if t is not None]
    axes = broadcast(walk, tensors, len(walk.lengths[tensors[0]]))
    dim = int(node.argument("dim", 0)) % (len(axes) + 1)
    axes.insert(dim, walk.fixed("they number the stacked tensors"))
    walk.set(node.results[0], axes)


def expand(walk: Walk, node: NodeInfo) -> None:
    """`expand`: a length of 1 becomes the length of another tensor, or a fixed one."""
    source, other, result = need(node, "self", "input"), node.operand("other"), node.results[0]
    rank = len(walk.lengths[result])
    if other is not None:
        walk.set(result, broadcast(walk, [source, other], rank))
        return
    axes = broadcast(walk, [source], rank)
    walk.set(result, axes)
    new = rank - len(walk.lengths[source])
    walk.follows(result, source, [dim - new if dim >= new else None for dim in range(rank)])
    if isinstance(node.argument("size"), list):
        walk.argument(node, "size", axes)


def repeat(walk: Walk, node: NodeInfo) -> None:
    """A whole tensor repeated along its dimensions."""
    source, result = need(node, "self", "input"), node.results[0]
    times = node.argument("repeats", node.argument("dims"))
    rank = len(walk.lengths[result])
    axes: list[Axis] = [walk.fixed("they number the copies")] * (rank - len(walk.lengths[source]))
    axes += walk.axes(source)
    if not isinstance(times, list):
        raise LockedError("a number of copies is not given")
    for back, count in enumerate(reversed(times), 1):
        axis = axes[-back]
        if not isinstance(axis, int) and count != 1:
            axes[-back] = tiled(axis, whole(count)[0])
    walk.set(result, axes)


def repeat_interleave(walk: Walk, node: NodeInfo) -> None:
    """Each element of a dimension repeated."""
    source, dim, times = need(node, "self", "input"), node.argument("dim"), node.argument("repeats")
    if not isinstance(dim, int) or not isinstance(times, int):
        raise LockedError("elements are repeated by a tensor of numbers")
    axes = list(walk.axes(source))
    axis = axes[dim]
    if not isinstance(axis, int):
        axes[dim] = repeated(axis, times)
    walk.set(node.results[0], axes)


def pad(walk: Walk, node: NodeInfo) -> None:
    """Padding is fixed; padded elements keep their units if the padding is constant."""
    source, result = need(node, "self", "input"), node.results[0]
    axes, amounts = list(walk.axes(source)), node.argument("pad", node.argument("padding", []))
    constant = node.op == "aten.constant_pad_nd" or node.argument("mode", "constant") == "constant"
    reason = walk.fixed("they are padded")
    for back in range(1, len(amounts) // 2 + 1):
        before, after = amounts[2 * back - 2 : 2 * back]
        axis = axes[-back]
        if isinstance(axis, int) or (before == 0 and after == 0):
            continue
        if not constant or not all(isinstance(each, int) and each >= 0 for each in (before, after)):
            axes[-back] = walk.units.fix(axis, reason)
            continue
        ends = [walk.units.elements(reason, count) for count in (before, after)]
        axes[-back] = np.concatenate([ends[0], axis, ends[1]])
    walk.set(result, axes)


def shuffle(walk: Walk, node: NodeInfo) -> None:
    """Pixel and channel shuffles of [batch, channels, ...]: channels stay whole."""
    source, name = need(node, "self", "input"), node.op
    axes = list(walk.axes(source))
    axis, result = axes[-3 if "pixel" in name else 1], node.results[0]
    made: Axis = axis
    if not isinstance(axis, int):
        if name == "aten.pixel_shuffle":
            rows = axis.reshape(walk.lengths[result][-3], -1)
            walk.units.equal(repeated(rows[:, 0], rows.shape[1]), axis)
            made = rows[:, 0].copy()
        elif name == "aten.pixel_unshuffle":
            made = repeated(axis, walk.lengths[result][-3] // len(axis))
        else:
            rows = axis.reshape(int(node.argument("groups")), -1)
            tie(walk, list(rows))
            made = rows.T.reshape(-1).copy()
    axes[-3 if "pixel" in name else 1] = made
    for dim in range(2, len(axes)) if "pixel" not in name else (-2, -1):
        axes[dim] = walk.units.fix(axes[dim], walk.fixed("they are positions of an image"))
    walk.set(result, axes)


@dataclass(frozen=True)
class Part:
    """A common factor of one dimension before a view and one after it.

    Attributes:
        before: The dimension that the view splits.
        after: The dimension that the view merges.
        length: Length of the part.
    """

    before: int
    after: int
    length: int


def regroup(walk: Walk, node: NodeInfo) -> None:
    """Views that split and merge dimensions. Both shapes are known, so the operator's arguments are not needed."""
    found = node.operand("self", "input")
    source = node.operands[0] if found is None else found
    result = node.results[0]
    before, after = walk.lengths[source], walk.lengths[result]
    named = [not isinstance(length, int) for length in walk.shapes[result]]
    parts = parts_of(before, after)
    axes: list[Axis] = [walk.fixed("their length is 1, which may broadcast")] * len(after)
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
        if isinstance(node.argument(name), list):
            walk.argument(node, name, axes)


def parts_of(before: Sequence[int], after: Sequence[int]) -> list[Part]:
    """Return the common factors of two shapes, in order; lengths of 1 have none.

    Raises:
        LockedError: A dimension straddles two dimensions of the other shape.
    """
    if prod(before) != prod(after):
        raise LockedError("a view has a different number of elements")
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
            raise LockedError("a view merges parts of dimensions that it splits elsewhere")
        parts.append(Part(i - 1, j - 1, step))
        left, right = left // step, right // step


def _open_dim(node: NodeInfo, rank: int) -> int | None:
    """Return the dimension after a view whose length is given as -1."""
    for name in ("size", "shape", "sizes"):
        lengths = node.argument(name)
        if isinstance(lengths, list) and -1 in lengths:
            first = int(node.argument("dim", 0)) if name == "sizes" else 0
            return (first if first >= 0 else first + rank - len(lengths) + 1) + lengths.index(-1)
    return None


def _cut(walk: Walk, axis: Axis, own: list[Part], named: list[bool], open_dim: int | None) -> list[Axis]:
    """Choose the part of a dimension that keeps the units; other parts are structure of fixed length.

    A part along which units already differ keeps them (a view that undoes another); else the part with length -1 in the
    forward, so that it runs with fewer; else the outermost longer than `SMALL`; else the innermost. A part that is
    merged with a named size keeps none, since such a product has no list of elements.
    """
    if isinstance(axis, int) or len(own) == 1:
        return [axis] * len(own)
    lengths = [part.length for part in own]
    table = axis.reshape(lengths)
    fixed = walk.fixed("they are the internal structure of a channel")
    chosen = _with_units(table)
    if chosen is None:
        alone = [at for at, part in enumerate(own) if not named[part.after]]
        large = [at for at in alone if lengths[at] > SMALL]
        inferred = [at for at in alone if own[at].after == open_dim and lengths[at] > 1]
        chosen = inferred[0] if inferred else large[0] if large else alone[-1] if alone else len(own) - 1
        rows = np.moveaxis(table, chosen, 0).reshape(lengths[chosen], -1)
        walk.units.equal(repeated(rows[:, 0], rows.shape[1] - 1), rows[:, 1:].reshape(-1))
    kept = np.moveaxis(table, chosen, 0).reshape(lengths[chosen], -1)[:, 0].copy()
    return [kept if at == chosen else fixed for at in range(len(own))]


def _with_units(table: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> int | None:
    """Return the only axis along which units differ; None for several."""
    differing = [
        at for at in range(table.ndim) if table.shape[at] > 1 and bool((table != table.take([0], axis=at)).any())
    ]
    return differing[0] if len(differing) == 1 else None


def _joined(walk: Walk, axes: list[Axis], lengths: list[int], named: bool) -> Axis:
    """Merge parts into a dimension: each element has the unit of its part, if only one part has units."""
    with_units = [at for at, axis in enumerate(axes) if not isinstance(axis, int)]
    if not with_units:
        return axes[0]
    text = "a view merges them with a named size" if named else "a view merges them with other channels"
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

"""Rules of ops that move elements: turns, slices, splits, concatenations, expansions, repetitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..edit import Node, operand
from .pointwise import broadcast, tie
from .units import Axis, LockedError
from .walk import Walk, base_name, given, need, whole


def _turned(walk: Walk, node: Node, order: Sequence[int]) -> None:
    source = need(node, "self", "input")
    axes = walk.axes(source)
    walk.set(node["outputs"][0], [axes[dim] for dim in order])
    walk.follows(node["outputs"][0], source, order)


def turn(walk: Walk, node: Node) -> None:
    """`permute`, `transpose`, `t`, `movedim` and their kin."""
    name = base_name(node).rstrip("_")
    rank = len(walk.lengths[need(node, "self", "input")])
    order = list(range(rank))
    if name == "aten.permute":
        order = [dim % rank for dim in whole(given(node, "dims"))]
    elif name in ("aten.t", "aten.numpy_T"):
        order.reverse()
    elif name in ("aten.mT", "aten.mH", "aten.adjoint"):
        order[-2:] = order[:-3:-1]
    elif name in ("aten.movedim", "aten.moveaxis"):
        source = [dim % rank for dim in whole(given(node, "source"))]
        target = [dim % rank for dim in whole(given(node, "destination"))]
        rest = iter([dim for dim in order if dim not in source])
        order = [source[target.index(at)] if at in target else next(rest) for at in range(rank)]
    else:
        ends = [given(node, key) for key in ("dim0", "dim1")]
        if None in ends:
            ends = [given(node, key) for key in ("axis0", "axis1")]
        one, two = (dim % rank for dim in whole(ends))
        order[one], order[two] = order[two], order[one]
    _turned(walk, node, order)


def unsqueeze(walk: Walk, node: Node) -> None:
    """A dimension of length 1 more."""
    source = need(node, "self", "input")
    axes: list[Axis] = list(walk.axes(source))
    dim = int(given(node, "dim", 0)) % (len(axes) + 1)
    axes.insert(dim, walk.fixed("there is one of them, which may broadcast"))
    walk.set(node["outputs"][0], axes)
    kept: list[int | None] = list(range(len(axes) - 1))
    walk.follows(node["outputs"][0], source, [*kept[:dim], None, *kept[dim:]])


def squeeze(walk: Walk, node: Node) -> None:
    """Dimensions of length 1 less: all of them, or those that are named."""
    source = need(node, "self", "input")
    lengths, dims = walk.lengths[source], given(node, "dim")
    rank = len(lengths)
    chosen = range(rank) if dims is None else [dim % rank for dim in whole(dims)]
    order = [dim for dim in range(rank) if dim not in chosen or lengths[dim] != 1]
    _turned(walk, node, order)


def cut(walk: Walk, node: Node) -> None:
    """`slice` and `narrow`: a stretch of a dimension."""
    source = need(node, "self", "input")
    axes, result = list(walk.axes(source)), node["outputs"][0]
    dim = int(given(node, "dim", 0)) % len(axes)
    axis, length = axes[dim], walk.lengths[result][dim]
    start, step = given(node, "start", 0), given(node, "step", 1)
    if not isinstance(axis, int) and length != len(axis):
        if isinstance(start, int) and step == 1:
            start = max(start + len(axis), 0) if start < 0 else start
            axes[dim] = axis[start : start + length]
        else:
            axes[dim] = walk.units.fix(axis, walk.fixed("a slice takes some of them by their numbers"))
    walk.set(result, axes)


def split(walk: Walk, node: Node) -> None:
    """`chunk` and `split` into equal parts keep them equal; parts that a list of lengths gives go on their own."""
    source = need(node, "self", "input")
    dim = int(given(node, "dim", 0)) % len(walk.lengths[source])
    axis = walk.axes(source)[dim]
    results = node["outputs"]
    lengths = [walk.lengths[t][dim] for t in results]
    equal_parts = not isinstance(given(node, "split_sizes", given(node, "indices")), list)
    if not isinstance(axis, int) and equal_parts and len(set(lengths)) > 1:
        axis = walk.units.fix(axis, walk.fixed("they are cut into parts of different lengths"))
    ends = np.cumsum([0, *lengths])
    parts: list[Axis] = [axis if isinstance(axis, int) else axis[ends[i] : ends[i + 1]] for i in range(len(results))]
    if equal_parts:
        tie(walk, parts)
    for t, part in zip(results, parts, strict=True):
        axes = list(walk.axes(source))
        axes[dim] = part
        walk.set(t, axes)
    sizes = given(node, "split_sizes")
    if isinstance(sizes, list) and len(sizes) == len(parts):
        walk.argument(node, "split_sizes", parts)


def take_out(walk: Walk, node: Node) -> None:
    """`select` and `unbind`: single elements by their numbers, which therefore stay."""
    source = need(node, "self", "input")
    dim = int(given(node, "dim", 0)) % len(walk.lengths[source])
    walk.units.fix(walk.axes(source)[dim], walk.fixed("some of them are taken out by their numbers"))
    axes = walk.axes(source)
    for t in node["outputs"]:
        walk.set(t, [*axes[:dim], *axes[dim + 1 :]])


def concatenate(walk: Walk, node: Node) -> None:
    """Dimensions one after the other; all others are the same in every operand."""
    tensors = [t for t in given(node, "tensors", []) if t is not None]
    result = node["outputs"][0]
    rank = len(walk.lengths[result])
    tensors = [t for t in tensors if len(walk.lengths[t]) == rank]  # an empty list of numbers may stand among them
    dim = int(given(node, "dim", 0)) % rank
    axes = list(walk.axes(tensors[0]))
    for t in tensors[1:]:
        for at in range(rank):
            if at != dim:
                axes[at] = walk.units.equal(axes[at], walk.axes(t)[at])
    along = [walk.axes(t)[dim] for t in tensors]
    if len(along) > 1 and any(not isinstance(axis, int) for axis in along):
        if all(isinstance(walk.tensors[t]["shape"][dim], int) for t in tensors):
            counts = [walk.lengths[t][dim] for t in tensors]
            axes[dim] = np.concatenate([walk.units.elements(*pair) for pair in zip(along, counts, strict=True)])
        else:
            reason = walk.fixed("they are set beside others of a named number")
            axes[dim] = reason
            for axis in along:
                walk.units.fix(axis, reason)
    walk.set(result, axes)


def stack(walk: Walk, node: Node) -> None:
    """A new dimension; all others are the same in every operand."""
    tensors = [t for t in given(node, "tensors", []) if t is not None]
    axes = broadcast(walk, tensors, len(walk.lengths[tensors[0]]))
    dim = int(given(node, "dim", 0)) % (len(axes) + 1)
    axes.insert(dim, walk.fixed("so many tensors are stacked"))
    walk.set(node["outputs"][0], axes)


def expand(walk: Walk, node: Node) -> None:
    """A length of 1 becomes that of the other tensor, or a fixed one."""
    source, other, result = need(node, "self", "input"), operand(node, "other"), node["outputs"][0]
    rank = len(walk.lengths[result])
    if other is not None:
        walk.set(result, broadcast(walk, [source, other], rank))
        return
    axes = broadcast(walk, [source], rank)
    walk.set(result, axes)
    new = rank - len(walk.lengths[source])
    walk.follows(result, source, [dim - new if dim >= new else None for dim in range(rank)])
    if isinstance(given(node, "size"), list):
        walk.argument(node, "size", axes)


def repeat(walk: Walk, node: Node) -> None:
    """A whole tensor several times along its dimensions."""
    source, result = need(node, "self", "input"), node["outputs"][0]
    times = given(node, "repeats", given(node, "dims"))
    rank = len(walk.lengths[result])
    axes: list[Axis] = [walk.fixed("so many copies are made")] * (rank - len(walk.lengths[source]))
    axes += walk.axes(source)
    if not isinstance(times, list):
        raise LockedError("a number of copies is not given")
    for back, count in enumerate(reversed(times), 1):
        axis = axes[-back]
        if not isinstance(axis, int) and count != 1:
            axes[-back] = np.tile(axis, whole(count)[0])
    walk.set(result, axes)


def repeat_interleave(walk: Walk, node: Node) -> None:
    """Each element of a dimension several times."""
    source, dim, times = need(node, "self", "input"), given(node, "dim"), given(node, "repeats")
    if not isinstance(dim, int) or not isinstance(times, int):
        raise LockedError("elements are repeated by a tensor of numbers")
    axes = list(walk.axes(source))
    axis = axes[dim]
    if not isinstance(axis, int):
        axes[dim] = np.repeat(axis, times)
    walk.set(node["outputs"][0], axes)


def pad(walk: Walk, node: Node) -> None:
    """What is added to a dimension stays as it is; what is there keeps its units if it is padded with one number."""
    source, result = need(node, "self", "input"), node["outputs"][0]
    axes, amounts = list(walk.axes(source)), given(node, "pad", given(node, "padding", []))
    constant = base_name(node) == "aten.constant_pad_nd" or given(node, "mode", "constant") == "constant"
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


def shuffle(walk: Walk, node: Node) -> None:
    """Pixel and channel shuffles: each keeps whole channels of [batch, channels, ...]."""
    source, name = need(node, "self", "input"), base_name(node)
    axes = list(walk.axes(source))
    axis, result = axes[-3 if "pixel" in name else 1], node["outputs"][0]
    made: Axis = axis
    if not isinstance(axis, int):
        if name == "aten.pixel_shuffle":
            rows = axis.reshape(walk.lengths[result][-3], -1)
            walk.units.equal(np.repeat(rows[:, 0], rows.shape[1]), axis)
            made = rows[:, 0].copy()
        elif name == "aten.pixel_unshuffle":
            made = np.repeat(axis, walk.lengths[result][-3] // len(axis))
        else:
            rows = axis.reshape(int(given(node, "groups")), -1)
            tie(walk, list(rows))
            made = rows.T.reshape(-1).copy()
    axes[-3 if "pixel" in name else 1] = made
    for dim in range(2, len(axes)) if "pixel" not in name else (-2, -1):
        axes[dim] = walk.units.fix(axes[dim], walk.fixed("they are positions of an image"))
    walk.set(result, axes)

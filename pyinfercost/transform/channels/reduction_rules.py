"""Rules for operators that reduce dimensions, slide windows, look up elements, or create tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .units import LockedError
from .walk import Walk, need, whole

if TYPE_CHECKING:
    from ..._core import NodeInfo


def reduce(walk: Walk, node: NodeInfo) -> None:
    """Sums, means and extrema: reduced dimensions disappear or have length 1."""
    source = need(node, "self", "input", "x")
    axes = walk.axes(source)
    rank, dims = len(axes), node.argument("dim", node.argument("dims"))
    gone = set(range(rank)) if dims is None or dims == [] else {dim % rank for dim in whole(dims)}
    single = walk.fixed("they are summed up")
    for t in node.results:
        if len(walk.lengths[t]) == rank:
            walk.set(t, [single if dim in gone else axis for dim, axis in enumerate(axes)])
        else:
            walk.set(t, [axis for dim, axis in enumerate(axes) if dim not in gone])


def along(walk: Walk, node: NodeInfo) -> None:
    """Softmax, running sums, sorting, shifts: a result depends on all elements of a dimension or on their positions."""
    source = need(node, "self", "input")
    axes = list(walk.axes(source))
    dims = node.argument("dim", node.argument("dims", -1))
    if dims in (None, []):
        raise LockedError(f"{node.op} goes over all elements")
    for dim in whole(dims):
        axes[dim] = walk.fix_dim(source, dim, f"{node.op} goes along them")
    for t in node.results:
        if len(walk.lengths[t]) == len(axes):
            walk.set(t, axes)
        elif len(walk.lengths[t]) == len(axes) - 1:
            gone = whole(dims)[0] % len(axes)
            walk.set(t, [axis for dim, axis in enumerate(axes) if dim != gone])
        else:
            raise LockedError(f"{node.op} has a result of another rank")


def triangle(walk: Walk, node: NodeInfo) -> None:
    """`tril` and `triu` depend on row and column indices."""
    source = need(node, "self", "input")
    axes = list(walk.axes(source))
    for dim in (-2, -1):
        axes[dim] = walk.fix_dim(source, dim, "a triangle of them is kept")
    walk.set(node.results[0], axes)


def spatial(walk: Walk, node: NodeInfo) -> None:
    """Pooling and resampling of [batch, channels, *window]: the window is fixed."""
    source = need(node, "self", "input")
    count = next((int(digit) for digit in "123" if f"{digit}d" in node.op), 0)
    axes = list(walk.axes(source))
    if not count:
        count = len(axes) - 2
    for dim in range(-count, 0):
        axes[dim] = walk.fix_dim(source, dim, "they are positions that a window slides over")
    for t in node.results:
        walk.set(t, axes)


def sampled(walk: Walk, node: NodeInfo) -> None:
    """Channels of an image at other positions: [images, channels, h, w] and positions give [., channels, h, w]."""
    source = need(node, "input", "self")
    channels = walk.axes(source)[1]
    reason = walk.fixed("they are positions of an image")
    for t in node.operands:
        for dim, axis in enumerate(walk.axes(t)):
            if t != source or dim != 1:
                walk.units.fix(axis, reason)
    walk.set(node.results[0], [reason, channels, *[reason] * (len(walk.lengths[source]) - 2)])


def look_up(walk: Walk, node: NodeInfo) -> None:
    """`index` and `index_select`: indexed dimensions are fixed, others are passed on."""
    source = need(node, "self", "input")
    axes = list(walk.axes(source))
    reason = walk.fixed("some of them are selected by index")
    if node.op == "aten.index_select":
        dim = int(node.argument("dim", 0))
        axes[dim] = walk.units.fix(axes[dim], reason)
        walk.set(node.results[0], axes)
        return
    indices = node.argument("indices", [])
    used = [at for at, t in enumerate(indices) if t is not None]
    for t in indices:
        for axis in [] if t is None else walk.axes(t):
            walk.units.fix(axis, reason)
    if not used or used != list(range(used[0], used[-1] + 1)):
        raise LockedError("the indexed dimensions are not adjacent")
    if any(walk.tensors[indices[at]].dtype in ("bool", "uint8") for at in used):
        raise LockedError("elements are chosen by a mask")
    for at in used:
        walk.units.fix(axes[at], reason)
    rank = max(len(walk.lengths[indices[at]]) for at in used)
    walk.set(node.results[0], [*axes[: used[0]], *[reason] * rank, *axes[used[-1] + 1 :]])


def windows(walk: Walk, node: NodeInfo) -> None:
    """`unfold` splits a dimension into windows, the new last dimension."""
    source = need(node, "self", "input")
    axes = list(walk.axes(source))
    dim = int(node.argument("dimension", 0))
    axes[dim] = walk.fix_dim(source, dim, "they are positions that a window slides over")
    walk.set(node.results[0], [*axes, axes[dim]])


def made(walk: Walk, node: NodeInfo) -> None:
    """Created tensors: with another tensor's shape (`zeros_like`), or with lengths given by the forward."""
    source = node.operand("self", "input")
    for t in node.results:
        if source is not None and node.op.endswith("_like") and walk.lengths[t] == walk.lengths[source]:
            walk.set(t, walk.axes(source))
        else:
            reason = walk.fixed("the forward creates a tensor of their fixed number")
            walk.set(t, [reason] * len(walk.lengths[t]))


def complex_pairs(walk: Walk, node: NodeInfo) -> None:
    """`view_as_complex` and `view_as_real`: the last dimension of length 2 is a complex number."""
    source = need(node, "self", "input")
    axes = list(walk.axes(source))
    if node.op == "aten.view_as_complex":
        axes = [*axes[:-1]]
    else:
        axes.append(walk.fixed("they are the parts of a complex number"))
    walk.set(node.results[0], axes)

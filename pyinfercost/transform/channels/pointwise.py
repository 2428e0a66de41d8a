"""Rules for elementwise operators with broadcasting, and for norms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .units import Axis, LockedError
from .walk import Walk, need

if TYPE_CHECKING:
    from ..._core import NodeInfo

_FACTORS = ("aten.mul", "aten.div", "aten.multiply", "aten.divide", "aten.true_divide", "aten.prelu", "aten.pow")


def broadcast(walk: Walk, tensors: Sequence[int], rank: int, *, skip: int = 0) -> list[Axis]:
    """Return the dimensions of operands after broadcasting.

    Args:
        walk: The walk.
        tensors: The operands.
        rank: Rank of the result.
        skip: Number of last dimensions of each operand to leave out.

    Returns:
        The dimensions of the result.
    """
    made: list[Axis] = []
    single = walk.fixed("their length is 1, which may broadcast")
    for back in range(rank, 0, -1):
        axis: Axis | None = None
        for t in tensors:
            at = len(walk.lengths[t]) - skip - back
            if at < 0 or walk.lengths[t][at] == 1:
                continue
            axis = walk.axes(t)[at] if axis is None else walk.units.equal(axis, walk.axes(t)[at])
        made.append(single if axis is None else axis)
    return made


def pointwise(walk: Walk, node: NodeInfo) -> None:
    """Every result has the operands' dimensions; elements at equal positions are one unit."""
    tensors = node.operands
    for t in node.results:
        walk.set(t, broadcast(walk, tensors, len(walk.lengths[t])))
    is_factor = node.op.rstrip("_") in _FACTORS
    for t in tensors:
        walk.role(t, "scale" if is_factor else "producer")
    result = node.results[0]
    weight = next((t for t in tensors if walk.is_parameter(t) and walk.lengths[t] == walk.lengths[result]), None)
    if weight is not None:  # a weight times a mask counts as the weight
        walk.follows(result, weight, range(len(walk.lengths[result])))


def like_self(walk: Walk, node: NodeInfo) -> None:
    """Results have the first operand's dimensions; other operands are ignored."""
    found = node.operand("self", "input", "a")
    source = node.operands[0] if found is None else found
    for t in node.results:
        walk.set(t, walk.axes(source))
        walk.follows(t, source, range(len(walk.lengths[source])))


def gated(walk: Walk, node: NodeInfo) -> None:
    """`glu`: the first half of a dimension times a function of the second."""
    source = need(node, "self", "input")
    axes = list(walk.axes(source))
    dim = int(node.argument("dim", -1)) % len(axes)
    axis = axes[dim]
    if not isinstance(axis, int):
        half = len(axis) // 2
        axes[dim] = walk.units.equal(axis[:half], axis[half:])
    walk.set(node.results[0], axes)


def prelu(walk: Walk, node: NodeInfo) -> None:
    """One slope for each channel of dimension 1, or one for all."""
    source, weight = need(node, "self", "input"), need(node, "weight")
    axes = list(walk.axes(source))
    if walk.lengths[weight] != (1,) and len(axes) > 1 and len(walk.lengths[weight]) == 1:
        axes[1] = walk.units.equal(axes[1], walk.axes(weight)[0])
    walk.role(weight, "scale")
    walk.set(node.results[0], axes)


def channel_norm(walk: Walk, node: NodeInfo) -> None:
    """Batch and instance norm: weights and statistics lie along the channels, dimension 1."""
    source = need(node, "input", "self")
    axes = list(walk.axes(source))
    if len(axes) < 2:  # noqa: PLR2004 - without a batch there is no dimension 1
        raise LockedError(f"{node.op} has an input of one dimension")
    for name in ("weight", "bias", "running_mean", "running_var"):
        t = node.operand(name)
        if t is not None:
            axes[1] = walk.units.equal(axes[1], walk.axes(t)[0])
            walk.role(t, "scale")
    _norm_results(walk, node, axes, axes[1])


def row_norm(walk: Walk, node: NodeInfo) -> None:
    """Layer and RMS norm: the weight lies along the last dimensions, whose lengths are an argument."""
    source = need(node, "input", "self")
    axes = list(walk.axes(source))
    for name in ("weight", "bias"):
        t = node.operand(name)
        if t is None:
            continue
        for back in range(1, len(walk.lengths[t]) + 1):
            axes[-back] = walk.units.equal(axes[-back], walk.axes(t)[-back])
        walk.role(t, "scale")
    shape = node.argument("normalized_shape")
    if isinstance(shape, list):
        walk.argument(node, "normalized_shape", axes[len(axes) - len(shape) :])
    _norm_results(walk, node, axes, None)


def group_norm(walk: Walk, node: NodeInfo) -> None:
    """The number of groups is fixed, so all groups lose equally many channels.

    With one channel per group, a group is one unit with its channel.
    """
    source = need(node, "input", "self")
    axes = list(walk.axes(source))
    dim = 0 if node.op == "timm.fast_group_norm" and len(axes) == 1 else 1
    for name in ("weight", "bias"):
        t = node.operand(name)
        if t is not None:
            axes[dim] = walk.units.equal(axes[dim], walk.axes(t)[0])
            walk.role(t, "scale")
    argument = "group" if node.argument("num_groups") is None else "num_groups"
    groups, axis = int(node.argument(argument, 1)), axes[dim]
    if not isinstance(axis, int) and groups > 1:
        if len(axis) == groups:
            walk.argument(node, argument, [axis])
        else:
            by_group = axis.reshape(groups, -1)
            tie(walk, [by_group[i] for i in range(groups)])
    if node.argument("C") is not None:
        walk.argument(node, "C", [axis])
    _norm_results(walk, node, axes, None)


def tie(walk: Walk, parts: Sequence[Axis]) -> None:
    """Make elements at equal positions of all parts one unit."""
    first = parts[0]
    arrays = [part for part in parts[1:] if not isinstance(part, int)]
    if not isinstance(first, int) and arrays:
        walk.units.equal(np.tile(first, len(arrays)), np.concatenate(arrays))


def _norm_results(walk: Walk, node: NodeInfo, axes: list[Axis], channels: Axis | None) -> None:
    """Set the result of a norm and its statistics, per channel or per row."""
    walk.set(node.results[0], axes)
    for t in node.results[1:]:
        lengths = walk.lengths[t]
        if channels is not None and len(lengths) == 1 and not isinstance(channels, int) and lengths[0] == len(channels):
            walk.set(t, [channels])
        else:
            walk.set(t, [walk.fixed("they are statistics of a norm")] * len(lengths))

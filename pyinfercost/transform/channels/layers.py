"""Rules for layers with weights: convolutions, linear layers, embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .pointwise import broadcast
from .units import Axis, LockedError, repeated, tiled
from .walk import Walk, need

if TYPE_CHECKING:
    from ..._core import NodeInfo

SMALL = 3
"""Parts with at most this many elements are structural (q, k and v; real and imaginary), not a width."""


def linear(walk: Walk, node: NodeInfo) -> None:
    """x [..., inputs], weight [outputs, inputs]."""
    source, weight, bias = need(node, "input", "self"), need(node, "weight"), node.operand("bias")
    if len(walk.lengths[weight]) != 2:  # noqa: PLR2004 - a vector as weight makes no channels
        raise LockedError("the weight of a linear layer is a vector")
    outputs, inputs = walk.axes(weight)
    walk.makes(weight, 0)
    walk.role(weight, "consumer", 1)
    walk.units.equal(walk.axes(source)[-1], inputs)
    if bias is not None:
        walk.role(bias, "producer")
        outputs = walk.units.equal(outputs, walk.axes(bias)[-1])
    walk.set(node.results[0], [*walk.axes(source)[:-1], outputs])


def embedding(walk: Walk, node: NodeInfo) -> None:
    """Rows are selected by index and fixed; columns are channels."""
    weight, indices = need(node, "weight"), need(node, "indices", "input")
    walk.fix_dim(weight, 0, "rows of a table are selected by index")
    walk.makes(weight, 1)
    walk.set(node.results[0], [*walk.axes(indices), walk.axes(weight)[1]])


def convolution(walk: Walk, node: NodeInfo) -> None:
    """x [batch, inputs, *window], weight [outputs, inputs / groups, *window]; a transposed one swaps the first two."""
    source, weight, bias = need(node, "input", "self"), need(node, "weight"), node.operand("bias")
    transposed = "transpose" in node.op or bool(node.argument("transposed", False))
    axes = walk.axes(source)
    spatial = len(walk.lengths[weight]) - 2
    channel = len(axes) - spatial - 1
    groups = node.argument("groups", 1)
    if channel not in (0, 1) or spatial < 1 or not isinstance(groups, int):
        raise LockedError(f"{node.op} has a weight that does not fit its input")
    for dim in range(2, spatial + 2):
        walk.fix_dim(weight, dim, "they are positions of a window")
    for dim in range(channel + 1, len(axes)):
        walk.fix_dim(source, dim, "they are positions that a window slides over")
    if groups == 1:
        outputs = _whole(walk, weight, axes[channel], transposed)
    else:
        outputs = _grouped(walk, node, weight, axes[channel], groups, transposed)
    if bias is not None:
        walk.role(bias, "producer")
        outputs = walk.units.equal(outputs, walk.axes(bias)[0])
    window = walk.fixed("they are positions that a window slides over")
    walk.set(node.results[0], [*axes[:channel], outputs, *[window] * spatial])


def _whole(walk: Walk, weight: int, inputs: Axis, transposed: bool) -> Axis:
    made = 1 if transposed else 0
    walk.makes(weight, made)
    walk.role(weight, "consumer", 1 - made)
    walk.units.equal(inputs, walk.axes(weight)[1 - made])
    return walk.axes(weight)[made]


def _grouped(walk: Walk, node: NodeInfo, weight: int, inputs: Axis, groups: int, transposed: bool) -> Axis:
    """Remove whole groups (a depthwise convolution has groups of one channel), or equally many channels of each group.

    A convolution with few groups of several channels loses channels; one with many groups loses groups.
    """
    units = walk.units
    rows, columns = walk.axes(weight)[:2]
    length, per_group = walk.lengths[weight][:2]
    per_row = length // groups
    walk.makes(weight, 0)
    if groups > SMALL or (per_row if transposed else per_group) == 1:
        made = units.fresh(groups)
        kept: Axis = made
        if isinstance(inputs, int):
            kept = units.fix(kept, inputs)
        else:
            units.equal(inputs, repeated(made, len(inputs) // groups))
        row_units: Axis = kept if isinstance(kept, int) else repeated(kept, per_row)
        units.equal(rows, row_units)
        walk.fix_dim(weight, 1, "they are channels of one group")
        walk.argument(node, "groups", [kept])
        if not transposed:
            return rows
        return kept if isinstance(kept, int) else repeated(kept, per_group)
    along = units.fresh(per_row)
    units.equal(rows, tiled(along, groups))
    if not transposed:
        walk.role(weight, "consumer", 1)
        units.equal(inputs, columns if isinstance(columns, int) else tiled(columns, groups))
        return rows
    walk.made.pop(walk.parameter(weight, 0) or (-1, -1), None)
    walk.makes(weight, 1)
    units.equal(inputs, rows)
    return columns if isinstance(columns, int) else tiled(columns, groups)


def product(walk: Walk, node: NodeInfo) -> None:
    """Matrix products of all kinds; an addend is broadcast to the result."""
    first, second = need(node, "mat1", "batch1", "self"), need(node, "mat2", "batch2", "other", "vec")
    left, right = walk.axes(first), walk.axes(second)
    if not left or not right:
        raise LockedError(f"{node.op} has an operand without dimensions")
    walk.units.equal(left[-1], right[-2] if len(right) > 1 else right[-1])
    if len(right) > 1:
        walk.makes(second, -1)
    walk.role(second, "consumer", -2 if len(right) > 1 else -1)
    if len(left) > 1 and walk.parameter(first, -2) is not None:
        walk.makes(first, -2)
        walk.role(first, "consumer", -1)
    batches = max(len(left), len(right)) - 2
    axes = broadcast(walk, [first, second], batches, skip=2) if batches > 0 else []
    axes += left[-2:-1] if len(left) > 1 else []
    axes += right[-1:] if len(right) > 1 else []
    result = node.results[0]
    added = node.operand("self", "input") if node.op in _ADDING else None
    walk.set(result, axes)
    if added is not None:
        walk.role(added, "producer")
        walk.set(result, broadcast(walk, [result, added], len(axes)))


_ADDING = ("aten.addmm", "aten.baddbmm", "aten._addmm_activation")


def einsum(walk: Walk, node: NodeInfo) -> None:
    """A letter is one dimension in all operands."""
    equation = str(node.argument("equation", "")).replace(" ", "")
    tensors = [t for t in node.argument("tensors", node.argument("operands", [])) if t is not None]
    terms, arrow, result = equation.partition("->")
    parts = terms.split(",")
    if not arrow or "." in equation or len(parts) != len(tensors) or any(len(set(p)) < len(p) for p in parts):
        raise LockedError(f"einsum of {equation!r} is not supported")
    found: dict[str, Axis] = {}
    for letters, t in zip(parts, tensors, strict=True):
        for letter, axis, length in zip(letters, walk.axes(t), walk.lengths[t], strict=True):
            if length != 1:
                found[letter] = walk.units.equal(found[letter], axis) if letter in found else axis
    for letters, t in zip(parts, tensors, strict=True):
        for dim, letter in enumerate(letters):
            if letter in result:
                if walk.parameter(t, dim) is not None:
                    walk.makes(t, dim)
            else:
                walk.role(t, "consumer", dim)
    single = walk.fixed("their length is 1, which may broadcast")
    walk.set(node.results[0], [found.get(letter, single) for letter in result])


def attention(walk: Walk, node: NodeInfo) -> None:
    """q [..., heads, L, d], k [..., heads, S, d], v [..., heads, S, dv]: out [..., heads, L, dv].

    With fewer key heads than query heads, a key head is one unit with all queries that read it.
    """
    query, key, value = need(node, "query"), need(node, "key"), need(node, "value")
    q, k, v = walk.axes(query), walk.axes(key), walk.axes(value)
    if not len(q) == len(k) == len(v):
        raise LockedError("attention has operands of different ranks")
    equal = walk.units.equal
    equal(q[-1], k[-1])
    equal(k[-2], v[-2])
    heads: list[Axis] = []
    for at in range(len(q) - 2):
        axis = q[at]
        for other, t in ((k[at], key), (v[at], value)):
            if walk.lengths[t][at] == walk.lengths[query][at]:
                axis = equal(axis, other)
            elif isinstance(other, int):
                axis = axis if isinstance(axis, int) else walk.units.fix(axis, other)
            elif isinstance(axis, int):
                walk.units.fix(other, axis)
            else:
                equal(axis, repeated(other, len(axis) // len(other)))
        heads.append(axis)
    mask = node.operand("attn_mask", "attn_bias")
    scores = [*heads, q[-2], k[-2]]
    if mask is not None:
        for back, axis in enumerate(reversed(walk.axes(mask)), 1):
            if walk.lengths[mask][-back] != 1 and back <= len(scores):
                equal(scores[-back], axis)
    walk.set(node.results[0], [*heads, q[-2], v[-1]])
    for t in node.results[1:]:
        walk.set(t, [walk.fixed("they are saved for the backward of attention")] * len(walk.lengths[t]))

"""The graph with widths as named sizes: lengths, strides, and arguments that give lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..._core import Expr, GraphRewriter
from .units import Axis
from .walk import Walk

if TYPE_CHECKING:
    from ..._core import Graph, NodeInfo, Quantity
    from .units import Ids


class Widths:
    """Lengths, strides and arguments as expressions in widths.

    Args:
        walk: The walk.
        names: Names of the groups' sizes.
        sizes: Number of units of each group.
        label: For each unit, the smallest unit of its class.
        group_of_root: For each smallest unit of a class, the index of its group; -1 if it is fixed.
    """

    def __init__(self, walk: Walk, names: Sequence[str], sizes: Sequence[int], label: Ids, group_of_root: Ids) -> None:
        self._walk = walk
        self._names, self._sizes = names, np.asarray(sizes, dtype=np.int64)
        self._label, self._group_of_root = label, group_of_root
        self._sized = [Expr.size(name) for name in names]
        self._lengths: dict[int, int | Expr] = {}
        self._shapes: list[list[Quantity]] = []
        self._strides: list[list[Quantity]] = []
        self._changed: list[bool] = []  # whether a shape depends on widths

    def length(self, axis: Axis, otherwise: Quantity) -> Quantity:
        """Return the length of a dimension; `otherwise` if it is fixed."""
        if isinstance(axis, int):
            return otherwise
        if id(axis) not in self._lengths:
            groups = self._group_of_root[self._label[axis]]
            counts = np.bincount(groups + 1, minlength=len(self._sizes) + 1)
            total: int | Expr = int(counts[0])
            for number in np.flatnonzero(counts[1:]).tolist():
                total = self._sized[number] * (int(counts[number + 1]) // int(self._sizes[number])) + total
            self._lengths[id(axis)] = total
        return self._lengths[id(axis)]

    def find_shapes(self) -> list[int]:
        """Derive shapes and strides; return tensors with a view whose strides are not expressions in widths."""
        walk = self._walk
        made_by: dict[int, NodeInfo] = {}
        for node in walk.nodes:
            read = node.operands
            for t in node.results:
                if t not in read:  # a tensor written in place has an earlier producer
                    made_by.setdefault(t, node)
        self._shapes, self._strides, self._changed = [], [], []
        odd: list[int] = []
        for t, lengths in enumerate(walk.shapes):
            axes = walk.axes_of[t]
            shape: list[Quantity] = list(lengths)
            if axes is not None:
                shape = [self.length(axis, length) for axis, length in zip(axes, shape, strict=True)]
            self._shapes.append(shape)
            self._changed.append(any(now is not old and now != old for now, old in zip(shape, lengths, strict=True)))
        for t in range(len(walk.tensors)):
            if not self._changed[t] and t not in made_by:
                self._strides.append(list(walk.strides[t]))
                continue
            steps = self._own_steps(t)
            source = t
            while steps is None:
                maker = made_by.get(source)
                read = [] if maker is None else maker.operands
                if not read:
                    break
                source = read[0]
                steps = self._steps_of_view(t, source)
            if steps is None:
                steps = list(walk.strides[t])
                if self._changed[t] or self._changed[source]:
                    odd += [t, source]
            self._strides.append(steps)
        return odd

    def _memory(self, t: int) -> list[tuple[int, int]] | None:
        """Return (stride, dimension) from innermost to outermost for a dense tensor; None for any other.

        Dimensions of length 1 and expanded ones are left out.
        """
        lengths = self._walk.lengths[t]
        strides = [self._walk.numbers(stride) for stride in self._walk.strides[t]]
        order = sorted((s, dim) for dim, (s, n) in enumerate(zip(strides, lengths, strict=True)) if s and n != 1)
        step = 1
        for stride, dim in order:
            if stride != step:
                return None
            step *= lengths[dim]
        return order

    def _own_steps(self, t: int) -> list[Quantity] | None:
        """Return the strides of a dense tensor, whose dimensions keep their order in memory."""
        order = self._memory(t)
        return None if order is None else self._steps(t, t, order)

    def _steps_of_view(self, t: int, source: int) -> list[Quantity] | None:
        """Return the strides of a view of a dense tensor."""
        order = self._memory(source)
        return None if order is None else self._steps(t, source, order)

    def _steps(self, t: int, source: int, order: list[tuple[int, int]]) -> list[Quantity] | None:
        lengths, axes = self._walk.lengths[source], self._walk.axes_of[source]
        before = [1]
        after: list[Quantity] = [1]
        for _, dim in order:
            before.append(before[-1] * lengths[dim])
            after.append(_times(after[-1], self._shapes[source][dim]))
        found: list[Quantity] = []
        for dim, old in enumerate(self._walk.strides[t]):
            stride = self._walk.numbers(old)
            if stride == 0:
                found.append(0)
                continue
            if stride in before:
                found.append(after[before.index(stride)])
                continue
            at = max((k for k, step in enumerate(before) if stride % step == 0 and step < stride), default=0)
            block = stride // before[at]
            inner = None
            if at < len(order) and axes is not None and block <= lengths[order[at][1]]:
                inner = self._block(axes[order[at][1]], block)
            if inner is None and self._walk.lengths[t][dim] != 1:
                return None
            found.append(old if inner is None else _times(after[at], inner))
        return found

    def _block(self, axis: Axis, count: int) -> Quantity | None:
        """Return the length of the first `count` elements of a dimension, as an inner part of a view."""
        if isinstance(axis, int):
            return count
        roots = self._label[axis[:count]]
        groups = self._group_of_root[roots]
        total: Quantity = int((groups < 0).sum())
        for number in np.unique(groups[groups >= 0]).tolist():
            own = roots[groups == number]
            distinct = len(np.unique(own))
            size = int(self._sizes[number])
            if distinct == size:
                total = _plus(total, self._sized[number] * (len(own) // size))
            elif distinct == 1:  # within one unit, which is kept or removed as a whole
                total = _plus(total, len(own))
            else:
                return None
        return total

    def graph(self, graph: Graph) -> Graph:
        """Return the graph with named sizes for the groups in its shapes, strides and arguments."""
        walk, rewriter = self._walk, GraphRewriter(graph)
        for name, size in zip(self._names, self._sizes.tolist(), strict=True):
            rewriter.size(name, default=size, role="channel")
        for t, (shape, strides) in enumerate(zip(self._shapes, self._strides, strict=True)):
            if tuple(shape) != walk.shapes[t] or tuple(strides) != walk.strides[t]:
                rewriter.set_shape(t, shape, strides=strides)
        for node, name, axes in walk.arguments:
            old = node.argument(name)
            values: list[Quantity] = old if isinstance(old, list) else [old]
            if len(values) != len(axes):
                continue
            now = [n if n == -1 else self.length(axis, n) for axis, n in zip(axes, values, strict=True)]
            rewriter.set_argument(node.index, name, now if isinstance(old, list) else now[0])
        return rewriter.build()


def _times(left: Quantity, right: Quantity) -> Quantity:
    return _plain(left * right)


def _plus(left: Quantity, right: Quantity) -> Quantity:
    return _plain(left + right)


def _plain(length: Quantity) -> Quantity:
    return int(length) if isinstance(length, Expr) and length.is_constant else length

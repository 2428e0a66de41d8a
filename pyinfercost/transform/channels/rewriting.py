"""The graph with widths as named sizes: lengths, strides and the arguments that follow them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import _core
from ..edit import Node, operands
from .units import Axis
from .walk import Walk

if TYPE_CHECKING:
    from .units import Ids

Length = int | str | _core.Expr


class Widths:
    """Says lengths in widths.

    Args:
        walk: the walk.
        names: of the groups' sizes.
        sizes: units of each.
        label: of each unit the least that it goes with.
        group_of_root: of these the number of the group, -1 where it is fixed.
    """

    def __init__(self, walk: Walk, names: Sequence[str], sizes: Sequence[int], label: Ids, group_of_root: Ids) -> None:
        self._walk = walk
        self._names, self._sizes = names, np.asarray(sizes, dtype=np.int64)
        self._label, self._group_of_root = label, group_of_root
        self._sized = [_core.Expr.size(name) for name in names]
        self._lengths: dict[int, int | _core.Expr] = {}
        self._shapes: list[list[Length]] = []
        self._strides: list[list[Length]] = []

    def length(self, axis: Axis, otherwise: Length) -> Length:
        """How long a dimension is."""
        if isinstance(axis, int):
            return otherwise
        if id(axis) not in self._lengths:
            groups = self._group_of_root[self._label[axis]]
            counts = np.bincount(groups + 1, minlength=len(self._sizes) + 1)
            total: int | _core.Expr = int(counts[0])
            for number in np.flatnonzero(counts[1:]).tolist():
                total = self._sized[number] * (int(counts[number + 1]) // int(self._sizes[number])) + total
            self._lengths[id(axis)] = total
        return self._lengths[id(axis)]

    def rewrite(self, data: dict[str, Any]) -> list[int]:
        """Works out shapes and strides; returns tensors of which a view has strides that widths do not tell."""
        walk = self._walk
        made_by: dict[int, Node] = {}
        for node in data["nodes"]:
            for t in node["outputs"]:
                if t not in operands(node):  # one that is written in place was made before
                    made_by.setdefault(t, node)
        self._shapes, self._strides = [], []
        odd: list[int] = []
        for t, made in enumerate(walk.tensors):
            axes = walk.axes_of[t]
            shape: list[Length] = list(made["shape"])
            if axes is not None:
                shape = [self.length(axis, length) for axis, length in zip(axes, shape, strict=True)]
            self._shapes.append(shape)
        for t, made in enumerate(walk.tensors):
            if not self._changes(t) and t not in made_by:
                self._strides.append(list(made["strides"]))
                continue
            steps = self._own_steps(t)
            source = t
            while steps is None:
                maker = made_by.get(source)
                read = [] if maker is None else operands(maker)
                if not read:
                    break
                source = read[0]
                steps = self._steps_of_view(t, source)
            if steps is None:
                steps = list(made["strides"])
                if self._changes(t) or self._changes(source):
                    odd += [t, source]
            self._strides.append(steps)
        return odd

    def _changes(self, t: int) -> bool:
        return any(isinstance(length, _core.Expr) for length in self._shapes[t])

    def _memory(self, t: int) -> list[tuple[int, int]] | None:
        """(stride, dimension) from the innermost outwards where a tensor is dense; None where it is not.

        Dimensions of one element, and those that are expanded, take no part.
        """
        lengths = self._walk.lengths[t]
        strides = [self._walk.numbers(stride) for stride in self._walk.tensors[t]["strides"]]
        order = sorted((s, dim) for dim, (s, n) in enumerate(zip(strides, lengths, strict=True)) if s and n != 1)
        step = 1
        for stride, dim in order:
            if stride != step:
                return None
            step *= lengths[dim]
        return order

    def _own_steps(self, t: int) -> list[Length] | None:
        """Strides of a dense tensor, in the order in which its dimensions lie in memory."""
        order = self._memory(t)
        return None if order is None else self._steps(t, t, order)

    def _steps_of_view(self, t: int, source: int) -> list[Length] | None:
        """Strides of a view of a dense tensor."""
        order = self._memory(source)
        return None if order is None else self._steps(t, source, order)

    def _steps(self, t: int, source: int, order: list[tuple[int, int]]) -> list[Length] | None:
        lengths, axes = self._walk.lengths[source], self._walk.axes_of[source]
        before = [1]
        after: list[Length] = [1]
        for _, dim in order:
            before.append(before[-1] * lengths[dim])
            after.append(_times(after[-1], self._shapes[source][dim]))
        found: list[Length] = []
        for dim, old in enumerate(self._walk.tensors[t]["strides"]):
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

    def _block(self, axis: Axis, count: int) -> Length | None:
        """How long the first elements of a dimension are, as an inner part that a view has cut it into."""
        if isinstance(axis, int):
            return count
        roots = self._label[axis[:count]]
        groups = self._group_of_root[roots]
        total: Length = int((groups < 0).sum())
        for number in np.unique(groups[groups >= 0]).tolist():
            own = roots[groups == number]
            distinct = len(np.unique(own))
            size = int(self._sizes[number])
            if distinct == size:
                total = _plus(total, self._sized[number] * (len(own) // size))
            elif distinct == 1:  # within one unit, which goes or stays as a whole
                total = _plus(total, len(own))
            else:
                return None
        return total

    def graph_data(self, data: dict[str, Any]) -> dict[str, Any]:
        """The graph's JSON with all of that in it."""
        tensors = [
            {**made, "shape": [_text(n) for n in shape], "strides": [_text(n) for n in strides]}
            for made, shape, strides in zip(self._walk.tensors, self._shapes, self._strides, strict=True)
        ]
        changed: dict[int, dict[str, Any]] = {}
        for node, name, axes in self._walk.arguments:
            kind, old = node["args"][name]
            values = old if isinstance(old, list) else [old]
            if len(values) != len(axes):
                continue
            now = [_text(n if n == -1 else self.length(axis, n)) for axis, n in zip(axes, values, strict=True)]
            args = changed.setdefault(id(node), dict(node["args"]))
            args[name] = (kind, now if isinstance(old, list) else now[0])
        nodes = [{**node, "args": changed[id(node)]} if id(node) in changed else node for node in data["nodes"]]
        sizes = {
            name: {"default": int(size), "minimum": 1} for name, size in zip(self._names, self._sizes, strict=True)
        }
        return {**data, "sizes": {**data["sizes"], **sizes}, "tensors": tensors, "nodes": nodes}


def bound(graph: _core.Graph, values: Mapping[str, int]) -> _core.Graph:
    """A graph with numbers in the place of some of its named sizes."""
    data = graph.to_dict()
    known: dict[str, int | str] = {}

    def now(length: Any) -> Any:
        if not isinstance(length, str):
            return length
        if length not in known:
            known[length] = _text(_plain(_core.Expr(length).substitute(values)))
        return known[length]

    def argument(given: Any) -> Any:
        if given is None or given[0] not in ("int", "ints"):
            return given
        kind, content = given
        return kind, [now(n) for n in content] if kind == "ints" else now(content)

    for made in data["tensors"]:
        made["shape"] = [now(n) for n in made["shape"]]
        made["strides"] = [now(n) for n in made["strides"]]
    for node in data["nodes"]:
        node["args"] = {name: argument(given) for name, given in node["args"].items()}
    data["sizes"] = {name: size for name, size in data["sizes"].items() if name not in values}
    return _core.Graph.from_dict(data)


def _expr(length: Length) -> int | _core.Expr:
    return _core.Expr(length) if isinstance(length, str) else length


def _times(left: Length, right: Length) -> Length:
    return _plain(_expr(left) * _expr(right))


def _plus(left: Length, right: Length) -> Length:
    return _plain(_expr(left) + _expr(right))


def _plain(length: int | _core.Expr) -> Length:
    return int(length) if isinstance(length, _core.Expr) and length.is_constant else length


def _text(length: Length) -> int | str:
    return length if isinstance(length, int) else str(length)

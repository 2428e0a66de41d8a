"""Editing the JSON of a graph: new tensors, nodes before and in the place of others, lifetimes that follow."""

from __future__ import annotations

from typing import Any

from .. import _core

Tensor = dict[str, Any]
Node = dict[str, Any]

TRANSPOSES = ("aten.t.", "aten.transpose.", "aten.permute.", "aten.numpy_T.", "aten.mT.")
"""Views that a weight may be turned by before a product reads it."""


class GraphEdit:
    """A graph taken apart, and put together again after changes.

    Nodes are gone through once in order; for each, `keep` or `insert` says what runs.
    """

    def __init__(self, graph: _core.Graph) -> None:
        self.data: dict[str, Any] = graph.to_dict()
        self.tensors: list[Tensor] = self.data["tensors"]
        self.nodes: list[Node] = self.data["nodes"]
        self.made_by: dict[int, Node] = {t: node for node in self.nodes for t in node["outputs"]}
        self._captured = len(self.tensors)
        self._new_nodes: list[Node] = []
        self._places: list[int] = []

    def add_tensor(
        self,
        dtype: str,
        shape: list[Any],
        *,
        role: str = "activation",
        name: str = "",
        stands_for: int | None = None,
    ) -> int:
        """A new dense tensor; returns its index."""
        tensor: Tensor = {"dtype": dtype, "shape": shape, "strides": dense_strides(shape), "role": role}
        if name:
            tensor["name"] = name
        if stands_for is not None:
            tensor["stands_for"] = stands_for
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def keep(self, node: Node) -> None:
        """A node of the graph runs now."""
        self._places.append(len(self._new_nodes))
        self._new_nodes.append(node)

    def insert(self, op: str, beside: Node, args: dict[str, Any], outputs: list[int]) -> None:
        """A new node runs now; it belongs to the module and line of another."""
        node = {"op": op, "args": args, "outputs": outputs}
        self._new_nodes.append({**{k: v for k, v in beside.items() if k in ("module", "source", "phase")}, **node})

    def replace(self, node: Node, op: str, args: dict[str, Any]) -> None:
        """A node runs as another op, with the same results."""
        self.keep({**node, "op": op, "args": args})

    def build(self) -> _core.Graph:
        """The graph after the changes, without weights that nothing reads any more."""
        runs = self._running()
        kept = [node for node, is_run in zip(self._new_nodes, runs, strict=True) if is_run]
        before = [0]
        for is_run in runs:
            before.append(before[-1] + is_run)
        read = {t for node in kept for t in operands(node)} | set(self.data["outputs"])
        captured = enumerate(self.tensors[: self._captured])  # what is new is stored, whether it is read or not
        gone = {t for t, made in captured if made["role"] == "parameter" and t not in read}
        gone |= {t for node, is_run in zip(self._new_nodes, runs, strict=True) if not is_run for t in node["outputs"]}
        number: dict[int, int] = {}
        for t in range(len(self.tensors)):
            if t not in gone:
                number[t] = len(number)
        held = self.data.get("held_until")
        if held is not None:
            ends = [None if end is None else before[self._places[end]] for end in held]
            ends += [None] * (len(self.tensors) - self._captured)
            self.data["held_until"] = [end for t, end in enumerate(ends) if t not in gone]
        self.data["tensors"] = [made for t, made in enumerate(self.tensors) if t not in gone]
        self.data["nodes"] = [
            {**with_operands(node, number), "outputs": [number[t] for t in node["outputs"]]} for node in kept
        ]
        for ends_of in ("inputs", "outputs"):
            self.data[ends_of] = [number[t] for t in self.data[ends_of]]
        return _core.Graph.from_dict(self.data)

    def _running(self) -> list[bool]:
        """Of each node whether it still runs: a view of a weight that nothing reads any more does not."""
        wanted = {t for node in self._new_nodes for t in operands(node)} | set(self.data["outputs"])
        return [
            not node["op"].startswith(TRANSPOSES)
            or bool(set(node["outputs"]) & wanted)
            or self.tensors[operands(node)[0]]["role"] != "parameter"
            for node in self._new_nodes
        ]


def operands(node: Node) -> list[int]:
    """The tensors that a node reads."""
    found: list[int] = []
    for value in node["args"].values():
        if value is None:
            continue
        kind, content = value
        if kind == "tensor":
            found.append(content)
        elif kind == "tensors":
            found += [t for t in content if t is not None]
    return found


def with_operands(node: Node, swapped: dict[int, int]) -> Node:
    """A node with other tensors in the place of some of its operands."""

    def now(value: Any) -> Any:
        if value is not None and value[0] == "tensor":
            return ("tensor", swapped.get(value[1], value[1]))
        if value is not None and value[0] == "tensors":
            return ("tensors", [t if t is None else swapped.get(t, t) for t in value[1]])
        return value

    return {**node, "args": {name: now(value) for name, value in node["args"].items()}}


def operand(node: Node, *names: str) -> int | None:
    """The tensor that is given by the first of these names."""
    for name in names:
        value = node["args"].get(name)
        if value is not None and value[0] == "tensor":
            return int(value[1])
    return None


def tensor(t: int) -> tuple[str, int]:
    """A tensor as an argument."""
    return ("tensor", t)


def dense_strides(shape: list[Any]) -> list[Any]:
    """Strides of a row-major tensor; lengths may be expressions as text."""
    strides: list[Any] = []
    step: _core.Expr | int = 1
    for length in reversed(shape):
        strides.append(step if isinstance(step, int) else str(step))
        step = step * (length if isinstance(length, int) else _core.Expr(length))
        if isinstance(step, _core.Expr) and step.is_constant:
            step = int(step)
    return strides[::-1]

"""Subgraphs: a forward without some of its nodes and results."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._core import Graph

if TYPE_CHECKING:
    _Node = dict[str, Any]


def reduced(
    graph: Graph,
    *,
    outputs: Sequence[int],
    without: Collection[int] = (),
    redirected: Mapping[int, int] | None = None,
) -> Graph:
    """Return the graph of the same forward without some nodes, and without all that only they need or provide.

    Inputs and weights that nothing reads anymore are left out.

    Args:
        graph: A graph from `capture`.
        outputs: Numbers of the tensors that the forward returns.
        without: Numbers of nodes to leave out.
        redirected: Number of a tensor -> number of the tensor that is read in its place.
    """
    document = graph.to_dict()
    nodes: list[_Node] = document["nodes"]
    moved = redirected or {}
    now = [moved.get(tensor, tensor) for tensor in outputs]
    left = [(number, node) for number, node in enumerate(nodes) if number not in set(without)]
    before = _live(list(enumerate(nodes)), document["outputs"])
    for _, node in left:
        node["args"] = {name: _renumbered(value, moved) for name, value in node["args"].items()}
    after = _live(left, now)
    # Nodes that had no reader before stay, such as a write through a view of a tensor.
    kept = [(number, node) for number, node in left if number in after or number not in before]
    kept = _with_operands(kept, nodes)
    return _built(document, kept, now, moved)


def _live(nodes: Sequence[tuple[int, _Node]], outputs: Collection[int]) -> set[int]:
    """Return the nodes whose results are needed for the outputs."""
    needed, live = set(outputs), set()
    for number, node in reversed(nodes):
        if needed.isdisjoint(node["outputs"]):
            continue
        live.add(number)
        needed.update(_operands(node))
    return live


def _with_operands(kept: Sequence[tuple[int, _Node]], all_nodes: Sequence[_Node]) -> list[tuple[int, _Node]]:
    """Return the nodes whose operands still have a maker."""
    made = {tensor for node in all_nodes for tensor in node["outputs"]}
    available: set[int] = set()
    found = []
    for number, node in kept:
        if all(tensor in available or tensor not in made or tensor in node["outputs"] for tensor in _operands(node)):
            available.update(node["outputs"])
            found.append((number, node))
    return found


def _built(
    document: dict[str, Any], kept: Sequence[tuple[int, _Node]], outputs: Sequence[int], moved: Mapping[int, int]
) -> Graph:
    """Return the graph of the nodes that are left, with tensors and nodes numbered again."""
    tensors: list[Any] = document["tensors"]
    read_before = {tensor for node in document["nodes"] for tensor in _operands(node)}
    used = {tensor for _, node in kept for tensor in (*_operands(node), *node["outputs"])}
    made = {tensor for node in document["nodes"] for tensor in node["outputs"]}
    used |= set(outputs)
    # A weight that no operator reads, such as a counter of a norm, stays as long as its module runs.
    gone = {node.get("module", "") for node in document["nodes"]} - {node.get("module", "") for _, node in kept}
    used |= {
        number
        for number, tensor in enumerate(tensors)
        if number not in read_before and number not in made and tensor.get("name", "").rpartition(".")[0] not in gone
    }
    renumbered = {old: new for new, old in enumerate(sorted(used))}
    held = document.get("held_until")
    if held:
        for old, new in moved.items():
            if held[old] is not None and held[new] is not None:
                held[new] = max(held[old], held[new])
        places = [number for number, _ in kept]
        document["held_until"] = [_last_until(held[old], places) for old in sorted(used)]
    for _, node in kept:
        node["args"] = {name: _renumbered(value, renumbered) for name, value in node["args"].items()}
        node["outputs"] = [renumbered[tensor] for tensor in node["outputs"]]
    document["nodes"] = [node for _, node in kept]
    document["tensors"] = [tensors[old] for old in sorted(used)]
    document["inputs"] = [renumbered[tensor] for tensor in document["inputs"] if tensor in used]
    document["outputs"] = [renumbered[tensor] for tensor in dict.fromkeys(outputs)]
    return Graph.from_dict(document)


def _last_until(place: int | None, places: Sequence[int]) -> int | None:
    """Return the new number of the last node that runs until an old one."""
    from bisect import bisect_right

    return None if place is None else max(0, bisect_right(places, place) - 1)


def _operands(node: _Node) -> Iterator[int]:
    for value in node["args"].values():
        yield from _tensors(value)


def _tensors(value: Any) -> Iterator[int]:
    if not isinstance(value, list) or not value:
        return
    if value[0] == "tensor":
        yield value[1]
    elif value[0] == "tensors":
        yield from (each for each in value[1] if each is not None)


def _renumbered(value: Any, numbers: Mapping[int, int]) -> Any:
    if not isinstance(value, list) or not value or value[0] not in ("tensor", "tensors"):
        return value
    if value[0] == "tensor":
        return ["tensor", numbers.get(value[1], value[1])]
    return ["tensors", [each if each is None else numbers.get(each, each) for each in value[1]]]

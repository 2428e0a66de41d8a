"""Graphs for pages: layers of a model repeat, and are written so that they are equal in text, too, and compress well.

A tensor that a node reads is written as its distance from the node's first output. One from far away is written as it
is (`"@973"`), since many layers read it; a weight, input or cache as its distance from the one of its role that was
read before it (`"p1"`: the next parameter). A module is the distance of its place in `modules` from that of the node
before. `unpackedGraph` in setup.js reads this.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..._core import Graph

_EXACT = 2**53
_FAR = 64
"""Distance from which on a tensor is written as it is."""


def packed_graph(graph: Graph) -> str:
    """Return the JSON text of a graph with relative tensors."""
    document = json.loads(graph.to_json())
    roles = [tensor.get("role", "") for tensor in document["tensors"]]
    made = {output for node in document["nodes"] for output in node["outputs"]}
    last: dict[str, int] = {}
    base = 0

    modules: dict[str, int] = {}
    at = 0

    def relative(tensor: int | None) -> int | str | None:
        if tensor is None:  # of a list of which some are left out
            return None
        if tensor in made:
            return first - tensor if first - tensor < _FAR else f"@{tensor}"
        role = roles[tensor][:1]
        step, last[role] = tensor - last.get(role, 0), tensor
        return f"{role}{step}"

    for node in document["nodes"]:
        first = node["outputs"][0] if node["outputs"] else base
        for argument in node.get("args", {}).values():
            if argument is not None and argument[0] == "tensor":
                argument[1] = relative(argument[1])
            elif argument is not None and argument[0] == "tensors":
                argument[1] = [relative(tensor) for tensor in argument[1]]
        node["outputs"] = [output - base for output in node["outputs"]]
        base = first
        if "module" in node:
            place = modules.setdefault(node["module"], len(modules))
            node["module"], at = place - at, place
        for argument in node.get("args", {}).values():
            if argument is not None and argument[0] in ("int", "ints"):
                argument[1] = _exact(argument[1])
    document["held_until"] = _steps(document.get("held_until", []))
    return json.dumps({**document, "modules": list(modules)}, separators=(",", ":"))


def _exact(value: Any) -> Any:
    """Return integers as text where JavaScript would round them; the core reads them as expressions."""
    if isinstance(value, list):
        return [_exact(each) for each in value]
    return str(value) if isinstance(value, int) and abs(value) > _EXACT else value


def _steps(values: list[int | None]) -> list[int | None]:
    """Return the differences between numbers that follow each other."""
    last = 0
    steps: list[int | None] = []
    for value in values:
        steps.append(None if value is None else value - last)
        last = last if value is None else value
    return steps

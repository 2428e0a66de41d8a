"""Graphs for pages: layers of a model repeat, and are written so that they are equal in text, too, and compress well.

A tensor that nodes make is written as the number of tensors that were made after it. One from far away is written by
its place among all that were made (`"@973"`), since many layers read it; a weight, input or cache as its distance from
the one of its role that was read before under the same name (`"p1"`: the next parameter). What a node makes is written
as its distance from what the node of the same operator before it made. A module is the distance of its place in
`modules` from the list of the node before, and the name of a tensor begins with a module's. Of each module's path, the
prefix in common with the one before is left out. `unpackedGraph` in setup.js reads this.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..._core import Graph

_EXACT = 2**53
_FAR = 64
"""Tensors made since, from which on a tensor is written by its place."""


def packed_graph(graph: Graph) -> str:
    """Return the JSON text of a graph with relative tensors."""
    document = json.loads(graph.to_json())
    roles = [tensor.get("role", "") for tensor in document["tensors"]]
    made: dict[int, int] = {}
    count = 0  # of what nodes made, also of results that nobody asked for
    read: dict[str, int] = {}
    first_of: dict[str, int] = {}
    modules: dict[str, int] = {}
    at = 0

    def relative(tensor: int | None, name: str) -> int | str | None:
        if tensor is None:  # of a list of which some are left out
            return None
        if tensor in made:
            since = count - made[tensor]
            return since if since < _FAR else f"@{made[tensor]}"
        role = roles[tensor][:1]
        step, read[role + name] = tensor - read.get(role + name, 0), tensor
        return f"{role}{step}"

    for node in document["nodes"]:
        for name, argument in node.get("args", {}).items():
            if argument is None:
                continue
            if argument[0] == "tensor":
                argument[1] = relative(argument[1], name)
            elif argument[0] == "tensors":
                argument[1] = [relative(tensor, name) for tensor in argument[1]]
            elif argument[0] in ("int", "ints"):
                argument[1] = _exact(argument[1])
        outputs = node["outputs"]
        made.update((tensor, count + number) for number, tensor in enumerate(outputs))
        count += len(outputs)
        if outputs:
            base, first_of[node["op"]] = first_of.get(node["op"], 0), outputs[0]
            node["outputs"] = [output - base for output in outputs]
        if "module" in node:
            place = modules.setdefault(node["module"], len(modules))
            node["module"], at = place - at, place
    at = 0
    for tensor in document["tensors"]:
        within, rest = _within(tensor.get("name", ""), modules)
        if within is not None:
            tensor["name"], at = [within - at, rest], within
    document["held_until"] = _steps(document.get("held_until", []))
    return json.dumps({**document, "modules": _without_beginnings(list(modules))}, separators=(",", ":"))


def _within(name: str, modules: dict[str, int]) -> tuple[int | None, str]:
    """Return the place of the module that a tensor's name begins with, and the rest; None for no module."""
    path = name
    while "." in path:
        path = path.rpartition(".")[0]
        if path in modules:
            return modules[path], name[len(path) + 1 :]
    return None, name


def _without_beginnings(paths: list[str]) -> list[int | str]:
    """Return for each path how long it is equal to the one before, and what follows."""
    found: list[int | str] = []
    before = ""
    for path in paths:
        shorter = min(len(before), len(path))
        same = next((i for i in range(shorter) if before[i] != path[i]), shorter)
        found += (len(path[:same].encode("utf-16-le")) // 2, path[same:])  # as JavaScript counts
        before = path
    return found


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

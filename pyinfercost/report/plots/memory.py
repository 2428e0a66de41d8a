"""Memory over a forward: what is held while each node runs, and where the peak is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .inputs import module_at

_SECTIONS = 12
"""At most so many names along the nodes."""


@dataclass(frozen=True)
class Section:
    """A run of nodes of one module: the first of them and the one behind the last."""

    module: str
    first: int
    end: int


@dataclass(frozen=True)
class MemoryTimeline:
    """What a plot of memory shows; all in bytes.

    Attributes:
        weight_bytes: parameters and buffers, which lie there all the time.
        input_bytes: inputs of the forward, caches among them, which do so, too.
        live_bytes: per node, what the nodes have made and is held while it runs, its own workspace included.
        peak_node: the node at which most is held; -1 for a graph without nodes.
        peak_module: where that node stands.
        peak_op: what it is.
        peak_bytes: all that is held then.
        capacity_bytes: what the machine has; None without a machine, or where that is its owner's choice.
        hardware: the machine's id; None without one.
        lifetimes: `"observed"` where the capture saw when the model lets go of a tensor, else `"last_use"`.
        sections: the modules along the nodes, at the depth that gives several and not too many.
        backward: the node at which backward begins, None for a forward alone.
    """

    weight_bytes: float
    input_bytes: float
    live_bytes: tuple[float, ...]
    peak_node: int
    peak_module: str
    peak_op: str
    peak_bytes: float
    capacity_bytes: float | None
    hardware: str | None
    lifetimes: str
    sections: tuple[Section, ...]
    backward: int | None

    @property
    def fixed_bytes(self) -> float:
        """What lies there all the time."""
        return self.weight_bytes + self.input_bytes


def memory_of(document: Mapping[str, Any]) -> MemoryTimeline:
    """The memory of a profile, node by node.

    Args:
        document: what `Profile.to_dict` returns, or the same read from a file.

    Raises:
        ValueError: the profile has no nodes, or is of a version that did not say what is held.
    """
    layers, totals, memory = document["layers"], document["totals"], document.get("memory")
    if not layers:
        raise ValueError("this profile has no layers, so nothing is held at any")
    if memory is None or "live_activation_bytes" not in layers[0]:
        raise ValueError("this profile does not say what is held; it was written by an older version: profile anew")
    estimate = document["estimate"]
    capacity = None
    if estimate is not None and "machine" in estimate:
        capacity = estimate["machine"]["memory"][-1]["capacity_bytes"]
    backward = next((node for node, layer in enumerate(layers) if layer["phase"] == "backward"), None)
    return MemoryTimeline(
        weight_bytes=totals["parameter_bytes"] + totals["buffer_bytes"],
        input_bytes=memory["input_bytes"],
        live_bytes=tuple(layer["live_activation_bytes"] for layer in layers),
        peak_node=memory["peak_node"],
        peak_module=memory["peak_module"],
        peak_op=memory["peak_op"],
        peak_bytes=totals["peak_memory_bytes"],
        capacity_bytes=capacity,
        hardware=None if estimate is None else estimate["hardware"],
        lifetimes=memory["lifetimes"],
        sections=_sections([layer["module"] for layer in layers]),
        backward=backward,
    )


def _sections(modules: list[str]) -> tuple[Section, ...]:
    """Runs of the same module, at the greatest depth that has at most a dozen of them."""
    deepest = max(path.count(".") + 1 for path in modules)
    best = _runs(modules, 1)
    for depth in range(2, deepest + 1):
        runs = _runs(modules, depth)
        if len(runs) > _SECTIONS:
            break
        best = runs
    return best


def _runs(modules: list[str], depth: int) -> tuple[Section, ...]:
    runs: list[Section] = []
    for node, path in enumerate(modules):
        name = module_at(path, depth)
        if runs and runs[-1].module == name:
            runs[-1] = Section(name, runs[-1].first, node + 1)
        else:
            runs.append(Section(name, node, node + 1))
    return tuple(runs)

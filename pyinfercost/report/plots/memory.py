"""Memory in use over a forward: bytes by node, and the peak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from .inputs import module_at

_SECTIONS = 12
"""Maximum number of names along the nodes."""


@dataclass(frozen=True)
class Section:
    """A range of nodes of one module: the first node, and one past the last."""

    module: str
    first: int
    end: int


@dataclass(frozen=True)
class MemoryTimeline:
    """Data of a memory plot, in bytes.

    Attributes:
        weight_bytes: Parameters and buffers, in memory all the time.
        input_bytes: Inputs of the forward, including caches, in memory all the time.
        live_bytes: Per node, results of nodes in memory while it runs, including its own workspace.
        peak_node: Index of the node with the peak; -1 for a graph without nodes.
        peak_module: Module of that node.
        peak_op: Operator of that node.
        peak_bytes: Total memory at the peak.
        capacity_bytes: Memory of the machine; None without a machine, or if its size is not fixed.
        hardware: Id of the machine; None without one.
        lifetimes: `"observed"` if the capture observed when tensors are freed, else `"last_use"`.
        sections: Modules along the nodes, at the greatest depth with at most a dozen of them.
        backward: Index of the first node of the backward pass; None for a forward.
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
        """Weights and inputs, which are in memory all the time."""
        return self.weight_bytes + self.input_bytes


def memory_of(document: Mapping[str, Any]) -> MemoryTimeline:
    """Compute the memory in use at each node of a profile.

    Args:
        document: The result of `Profile.to_dict`, or the same read from a file.

    Returns:
        The timeline.

    Raises:
        InputError: The profile has no nodes, or was written by a version without memory data.
    """
    layers, totals, memory = document["layers"], document["totals"], document.get("memory")
    if not layers:
        raise InputError("this profile has no layers and therefore no memory over time; profile a model with nodes")
    if memory is None or "live_activation_bytes" not in layers[0]:
        raise InputError("this profile has no live memory, because an older version wrote it; profile again")
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
    """Return ranges of the same module, at the greatest depth with at most a dozen of them."""
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

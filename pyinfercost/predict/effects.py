"""Effects: the main reason for a kernel's time, as one name and a share of the time, from the parts of its terms.

The term that binds a kernel consists of the least time for its work and of losses: partly filled tiles, waves with idle
cores, a clock limited by power. If a loss takes a quarter of the kernel's time or more, the largest loss is the effect;
otherwise the resource itself is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._core import Hardware, KernelEstimate

DECIDES = 0.25
"""Minimum share of a kernel's time for a loss to be its effect."""

_LOSSES: Mapping[str, Mapping[str, str]] = {
    "launch": {
        "host": "host-bound (dispatch)",
        "start": "start of the forward",
        "regions": "parallel regions",
    },
    "compute": {
        "power": "power-limited",
        "edges": "small tiles",
        "padding": "tile padding",
        "waves": "wave quantization",
        "depth": "short reduction",
        "pages": "TLB pages",
        "operands": "operand latency",
        "split": "split-K",
        "exponentials": "exponentials",
        "starts": "start of tiles",
        "rows": "row latency",
        "issue": "instruction issue",
        "idle": "idle cores",
        "loops": "slow loops",
        "reorder": "layout copies",
    },
    "dram": {
        "strided": "strided reads",
        "again": "rows read again",
        "transposes": "layout copies",
        "faults": "page faults",
    },
    "cache": {"packing": "weight packing"},
}
"""Term -> the core's name of a part of it -> name of the effect. `docs/effects.md` explains each."""

EFFECTS = tuple(
    dict.fromkeys(
        (
            "matrix unit",
            "vector unit",
            "vector unit only",
            "emulated precision",
            "Winograd",
            "direct kernel",
            "key and value reads",
            "dram bandwidth",
            "cache-resident",
            "launch floor",
            "none",
            *(effect for losses in _LOSSES.values() for effect in losses.values()),
        )
    )
)
"""Names of all effects."""


@dataclass(frozen=True)
class Effect:
    """The main reason for a kernel's time, and its share of that time."""

    name: str
    share: float


def effect_of(kernel: KernelEstimate, machine: Hardware) -> Effect:
    """Return the effect of one kernel on a machine."""
    latency_s, bound = kernel.latency_s, kernel.bound
    if latency_s <= 0:
        return Effect("none", 0.0)
    losses = _LOSSES[bound]
    parts = {name: seconds for name, seconds in kernel.parts_s.items() if name in losses}
    if parts:
        largest = max(parts, key=parts.__getitem__)
        if parts[largest] >= DECIDES * latency_s:
            return Effect(losses[largest], min(parts[largest] / latency_s, 1.0))
    bound_s: float = getattr(kernel, f"{bound}_s")
    return Effect(_resource(kernel, machine), min(bound_s / latency_s, 1.0))


def _resource(kernel: KernelEstimate, machine: Hardware) -> str:
    if kernel.bound == "launch":
        return "launch floor"
    if kernel.bound == "dram":
        return "dram bandwidth"
    if kernel.bound == "cache":
        return "cache-resident"
    if kernel.parts_s.get("keys", 0.0) >= DECIDES * kernel.latency_s:
        return "key and value reads"
    if kernel.note:
        return "emulated precision"
    if kernel.algorithm == "winograd":
        return "Winograd"
    if kernel.algorithm == "direct":
        return "direct kernel"
    if kernel.engine == "matrix":
        return "matrix unit"
    is_product = kernel.kind in ("gemm", "convolution", "attention")
    return "vector unit only" if is_product and machine.matrix_flop_per_s else "vector unit"

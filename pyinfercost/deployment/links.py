"""The link between the memory of a host and that of its device."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._core import Hardware

_GIGA = 1e9


@dataclass(frozen=True)
class HostLink:
    """Rate and latency of copies between host and device.

    Attributes:
        byte_per_s: Achieved rate; not a number if the machine's file describes no link, infinite if host and device
            share one memory.
        latency_s: Latency of one copy.
        spread: Relative error band of the seconds of a copy.
    """

    byte_per_s: float
    latency_s: float
    spread: float = 0.0


def host_link(machine: Hardware, memory: str) -> HostLink:
    """Return what a copy between host and device achieves.

    A copy from pinned memory achieves a share of the link's bandwidth. One from pageable memory passes through a buffer
    that the host fills, which limits its rate.

    Args:
        machine: The device.
        memory: `"pageable"` or `"pinned"`.
    """
    constants, bandwidth = machine.constants, machine.links_byte_per_s.get("host")
    if machine.kind == "cpu" or constants.get("link.host.unified"):
        return HostLink(inf, 0.0)
    if bandwidth is None or "host_link.pinned_share" not in constants:
        return HostLink(nan, nan)
    pinned = bandwidth * constants["host_link.pinned_share"]
    rate = pinned if memory == "pinned" else min(pinned, constants["host_link.pageable_gb_per_s"] * _GIGA)
    return HostLink(rate, constants["host_link.latency_s"], constants["host_link.spread"])

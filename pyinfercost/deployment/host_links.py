"""The link between host and device."""

from __future__ import annotations

from math import inf, isnan, nan
from typing import TYPE_CHECKING

from .._records import dataclass

if TYPE_CHECKING:
    from .._core import Hardware


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
    """Return the achieved rate of copies between host and device, and their latency.

    A copy from pinned memory achieves a share of the link's bandwidth. A copy from pageable memory also passes through
    a buffer that the host fills, which limits its rate.

    Args:
        machine: The device.
        memory: `"pageable"` or `"pinned"`.
    """
    bandwidth, share = machine.links_byte_per_s.get("host"), machine.constant("host_link.pinned_share")
    if machine.kind == "cpu" or machine.constant("link.host_unified"):
        return HostLink(inf, 0.0)
    if bandwidth is None or isnan(share):
        return HostLink(nan, nan)
    pinned = bandwidth * share
    rate = pinned if memory == "pinned" else min(pinned, machine.constant("host_link.pageable_byte_per_s"))
    return HostLink(rate, machine.constant("host_link.latency_s"), machine.constant("host_link.spread"))

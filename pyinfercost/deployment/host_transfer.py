"""Inputs and results of a forward: over the link between host and device, over the network, out of the cloud."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isnan, nan
from typing import TYPE_CHECKING, Any, TypeVar

from ..results.costs import Transfer

if TYPE_CHECKING:
    from .._core import Hardware

Number = TypeVar("Number", bound=Any)  # a float, or an array of them

_GIGA = 1e9
_BITS = 8


@dataclass(frozen=True)
class HostLink:
    """The way between the host's memory and the device's.

    Attributes:
        byte_per_s: what a copy reaches; not a number where the machine's file says nothing of a link, infinite where
            host and device have one memory.
        latency_s: of one copy.
        spread: of the seconds of a copy, as of a band.
    """

    byte_per_s: float
    latency_s: float
    spread: float = 0.0


def copying_s(nbytes: Number, tensors: int, byte_per_s: Number, latency_s: Number) -> Number:
    """Seconds for some tensors, one copy each: latency + bytes / rate; for numbers and for columns of them."""
    seconds: Number = tensors * latency_s + nbytes / byte_per_s
    return seconds


def host_link(machine: Hardware, memory: str) -> HostLink:
    """What a copy between host and device reaches.

    A copy from pinned memory reaches a share of the link's bandwidth; one from pageable memory passes through a buffer
    that the host fills, and is no faster than that.

    Args:
        machine: the device.
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


def network_s(terms: Transfer, request_bytes: Number, response_bytes: Number) -> Number:
    """Seconds on the network: a round trip, and the bits over the rate; nothing where no network is named."""
    rate = inf if terms.network_gbit_per_s is None else terms.network_gbit_per_s * _GIGA / _BITS
    seconds: Number = terms.network_rtt_s + (request_bytes + response_bytes) / rate
    return seconds


def egress_usd(terms: Transfer, response_bytes: Number) -> Number:
    """USD for bytes that leave the cloud."""
    usd: Number = response_bytes * terms.egress_usd_per_gb / _GIGA
    return usd


def waiting_s(overlapped: bool, latency_s: Number, host_s: Number) -> Number:
    """How much longer than a forward the device is occupied: copies are made meanwhile, or before and after."""
    if not overlapped:
        return host_s
    # The longer of the two, less the forward; for numbers and for columns of them.
    longer: Number = (host_s - latency_s + abs(host_s - latency_s)) / 2
    return longer

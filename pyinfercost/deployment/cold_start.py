"""Cold starts: from a process that has just begun to a device that is ready for its first forward."""

from __future__ import annotations

from math import isnan, nan, sqrt
from typing import TYPE_CHECKING

from ..results.costs import ColdStart, Transfer
from .host_transfer import HostLink, host_link
from .transfer import facts

if TYPE_CHECKING:
    from .._core import Hardware

_GIGA = 1e9


def cold_start(machine: Hardware, weight_bytes: int, terms: Transfer) -> ColdStart | None:
    """What a cold start takes: the runtime, then the weights at the pace of the slower of storage and link.

    Args:
        machine: the device.
        weight_bytes: bytes of weights and buffers.
        terms: where the weights are; pages of a file or a download are pinned on their way to the link.

    Returns:
        None where the machine's file says nothing of its link.
    """
    link = host_link(machine, "pinned")
    if isnan(link.byte_per_s):
        return None
    runtime = [machine.constant(f"cold_start.runtime_{end}_s") for end in ("low", "high")]
    middle_s = sqrt(runtime[0] * runtime[1])
    rates = [_rate(terms, link, end) for end in ("high_", "", "low_")]
    loading = [weight_bytes / rate for rate in rates]
    named = terms.weights_from if isinstance(terms.weights_from, str) else f"{terms.weights_from:g} GB/s"
    return ColdStart(
        seconds=middle_s + loading[1],
        low_s=runtime[0] + loading[0],
        high_s=runtime[1] + loading[2],
        runtime_s=middle_s,
        loading_s=loading[1],
        weight_bytes=weight_bytes,
        weights_from=named,
    )


def cold_start_s(machine: Hardware, weight_bytes: int, terms: Transfer) -> float:
    """The seconds of `cold_start`, not a number where they are not known."""
    found = cold_start(machine, weight_bytes, terms)
    return nan if found is None else found.seconds


def _rate(terms: Transfer, link: HostLink, end: str) -> float:
    if isinstance(terms.weights_from, str):
        from_storage = facts()["storage"][terms.weights_from][f"{end}gb_per_s"] * _GIGA
    else:
        from_storage = terms.weights_from * _GIGA
    return float(min(from_storage, link.byte_per_s))

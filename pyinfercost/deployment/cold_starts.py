"""Cold starts: the time from a new process to a device that is ready for its first forward."""

from __future__ import annotations

from math import isnan, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..results.costs import ColdStart, Transfer
from .links import host_link
from .transfer import facts

if TYPE_CHECKING:
    from .._core import Hardware

Number = TypeVar("Number", bound=Any)  # a float, or an array of them

_GIGA = 1e9


class ColdStartRates(NamedTuple):
    """The parts of a cold start that do not depend on the model, at one point of the published range.

    Attributes:
        runtime_s: Start of the runtime of the device.
        byte_per_s: Rate of weights: the slower of storage and link; not a number if the link is unknown.
    """

    runtime_s: float
    byte_per_s: float


def cold_start_rates(machine: Hardware, transfer: Transfer, at: str = "typical") -> ColdStartRates:
    """Return the runtime start of a machine and the rate of its weights.

    Args:
        machine: The device.
        transfer: Location of the weights; pages of a file or a download are pinned on their way to the link.
        at: `"low"`, `"typical"` or `"high"`: the end of the published seconds, or their geometric mean.
    """
    low_s, high_s = (machine.constant(f"cold_start.runtime_{end}_s") for end in ("low", "high"))
    runtime_s = {"low": low_s, "typical": sqrt(low_s * high_s), "high": high_s}[at]
    link = host_link(machine, "pinned").byte_per_s
    if isinstance(transfer.weights_from, str):
        rate = {"low": "high_", "typical": "", "high": "low_"}[at]  # the highest rate takes the fewest seconds
        storage = facts()["storage"][transfer.weights_from][f"{rate}gb_per_s"] * _GIGA
    else:
        storage = transfer.weights_from * _GIGA
    return ColdStartRates(runtime_s, link if isnan(link) else float(min(storage, link)))


def cold_start_s(weight_bytes: Number, runtime_s: Number, byte_per_s: Number) -> Number:
    """Return the seconds of a cold start: the runtime starts, then the weights are loaded."""
    seconds: Number = runtime_s + weight_bytes / byte_per_s
    return seconds


def cold_start(machine: Hardware, weight_bytes: int, transfer: Transfer) -> ColdStart | None:
    """Return the cold start of a machine.

    Args:
        machine: The device.
        weight_bytes: Bytes of weights and buffers.
        transfer: Location of the weights.

    Returns:
        None if the link to the host is unknown.
    """
    low, typical, high = (cold_start_rates(machine, transfer, at) for at in ("low", "typical", "high"))
    if isnan(typical.byte_per_s):
        return None
    named = transfer.weights_from if isinstance(transfer.weights_from, str) else f"{transfer.weights_from:g} GB/s"
    return ColdStart(
        seconds=cold_start_s(weight_bytes, *typical),
        low_s=cold_start_s(weight_bytes, *low),
        high_s=cold_start_s(weight_bytes, *high),
        runtime_s=typical.runtime_s,
        loading_s=weight_bytes / typical.byte_per_s,
        weight_bytes=weight_bytes,
        weights_from=named,
    )

"""Data transfer: terms of transfer, the link between host and device, and cold starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from math import inf, isnan, nan, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from .._checks import number_in, shown
from ..hardware.files import read_toml
from ..results.costs import MEMORIES, TRANSFER_RANGES, ColdStart, Transfer, TransferError

if TYPE_CHECKING:
    from .._core import Hardware

TransferLike: TypeAlias = "Transfer | str | Mapping[str, str | float | bool]"
"""Terms of transfer as `parse_transfer` accepts them."""

Number = TypeVar("Number", bound=Any)  # a float, or an array of them

_FACTS = Path(__file__).parent / "facts.toml"
_GIGA = 1e9
_OVERLAPPED = "overlapped"
_NAMES = [field.name for field in fields(Transfer)]
_EXPECTED = f"expected pageable or pinned, overlapped, and NAME=VALUE of {', '.join(_NAMES[2:])}, egress"


@cache
def facts() -> dict[str, Any]:
    """Return the package's figures of storage and egress, each with its source and date."""
    return read_toml(_FACTS)


# ---- terms of transfer -----------------------------------------------------------------------------------------------


def parse_transfer(value: TransferLike) -> Transfer:
    """Parse terms of transfer.

    Args:
        value: A `Transfer`; text with commas, as in `"pinned,overlapped,network_gbit_per_s=10,egress=aws"`, where
            `egress` is a cloud or USD per 10^9 bytes; or a mapping of the same names.

    Returns:
        The terms.

    Raises:
        TransferError: The value is none of these, or a number is out of range.
    """
    if isinstance(value, Transfer):
        return _checked(value)
    if isinstance(value, Mapping):
        return _from_settings(dict(value))
    if not isinstance(value, str):
        raise TransferError(f"transfer is {shown(value)}; {_EXPECTED}")
    settings: dict[str, Any] = {}
    for part in filter(None, (word.strip() for word in value.split(","))):
        name, equals, text = part.partition("=")
        if not equals and name in MEMORIES:
            name, text = "memory", name
        elif not equals and name == _OVERLAPPED:
            text = "true"
        elif not equals:
            raise TransferError(f"transfer has {shown(part)}; {_EXPECTED}")
        if name in settings:
            raise TransferError(f"transfer has {name} twice; pass it once")
        settings[name] = text
    return _from_settings(settings)


def transfer_text(transfer: Transfer) -> str:
    """Return terms of transfer as text that `parse_transfer` accepts."""
    parts = [transfer.memory, *([_OVERLAPPED] if transfer.overlapped else [])]
    for field in fields(Transfer)[2:]:
        value = getattr(transfer, field.name)
        if value != field.default:
            parts.append(f"{field.name}={value if isinstance(value, str) else format(value, 'g')}")
    return ",".join(parts)


def _from_settings(settings: dict[str, Any]) -> Transfer:
    known: dict[str, Any] = {}
    for name, value in settings.items():
        if name == "egress":
            known["egress_usd_per_gb"] = _egress(value)
        elif name not in _NAMES:
            raise TransferError(f"transfer has {shown(name)}; {_EXPECTED}")
        elif name == "memory":
            known[name] = value
        elif name == _OVERLAPPED:
            known[name] = _truth(value)
        elif name == "weights_from":
            known[name] = _weights_from(value)
        else:
            known[name] = _number(name, value)
    return _checked(Transfer(**known))


def _checked(given: Transfer) -> Transfer:
    """Return the terms; raise a TransferError if the weights come from an unknown storage."""
    places = facts()["storage"]
    if isinstance(given.weights_from, str) and given.weights_from not in places:
        raise TransferError(
            f"weights_from is {shown(given.weights_from)}; expected {', '.join(places)}, or a rate in 10^9 bytes per "
            "second, from 1e-6 to 1e6"
        )
    return given


def _weights_from(value: Any) -> str | float:
    try:
        return _number("weights_from", value)
    except TransferError:
        if isinstance(value, str):  # the name of a storage, which `_checked` looks up
            return value
        raise


def _egress(value: Any) -> float:
    clouds: Mapping[str, float] = facts()["egress"]["usd_per_gb"]
    if isinstance(value, str) and value in clouds:
        return float(clouds[value])
    try:
        return _number("egress_usd_per_gb", value)
    except TransferError as error:
        raise TransferError(f"egress is {shown(value)}; expected {', '.join(clouds)}, or USD per 10^9 bytes") from error


def _truth(value: Any) -> bool:
    truths = {"true": True, "false": False}
    if isinstance(value, (bool, str)) and str(value).lower() in truths:
        return truths[str(value).lower()]
    raise TransferError(f"{_OVERLAPPED} is {shown(value)}; expected true or false")


def _number(name: str, value: Any) -> float:
    """Return a number, which may be written as text."""
    return number_in(value, f"{name} of transfer", TRANSFER_RANGES[name], TransferError)


# ---- the link between host and device --------------------------------------------------------------------------------


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


# ---- cold starts -----------------------------------------------------------------------------------------------------


class ColdStartRates(NamedTuple):
    """Start of the runtime and rate of the weights, at one point of the published range.

    Attributes:
        runtime_s: Seconds until the runtime of the device is up.
        byte_per_s: Rate of weights: the slower of storage and link; not a number if the link is unknown.
    """

    runtime_s: float
    byte_per_s: float


def cold_start_rates(machine: Hardware, transfer: Transfer, at: str = "typical") -> ColdStartRates:
    """Return the runtime start of a machine and the rate of its weights.

    Args:
        machine: The device.
        transfer: Location of the weights; weights from storage pass through pinned memory.
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
    """Return the seconds of a cold start: `runtime_s + weight_bytes / byte_per_s`."""
    seconds: Number = runtime_s + weight_bytes / byte_per_s
    return seconds


def cold_start(machine: Hardware, weight_bytes: int, transfer: Transfer) -> ColdStart | None:
    """Return the time from a new process until a machine is ready for its first forward.

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

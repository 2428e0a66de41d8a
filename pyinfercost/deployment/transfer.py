"""Data transfer: terms of transfer, and the link between host and device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from math import inf, isnan, nan
from typing import TYPE_CHECKING, Any, TypeAlias

from .._checks import number_in, shown
from .._records import dataclass
from ..results.costs import MEMORIES, TRANSFER_RANGES, Transfer, TransferError
from .facts import facts

if TYPE_CHECKING:
    from .._core import Hardware

TransferLike: TypeAlias = "Transfer | str | Mapping[str, str | float | bool]"
"""Terms of transfer as `parse_transfer` accepts them."""

_OVERLAPPED = "overlapped"
_NAMES = [field.name for field in fields(Transfer)]
_EXPECTED = f"expected pageable or pinned, overlapped, and NAME=VALUE of {', '.join(_NAMES[2:])}, egress"


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
        return value
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
        else:
            known[name] = _number(name, value)
    return Transfer(**known)


def _egress(value: Any) -> float:
    """Return a price of egress; that of the first gigabytes of a month for the name of a cloud."""
    known: Mapping[str, Any] = facts()["egress"]
    if isinstance(value, str) and value in known:
        return float(known[value]["usd_per_gb"][0])
    try:
        return _number("egress_usd_per_gb", value)
    except TransferError as error:
        raise TransferError(f"egress is {shown(value)}; expected {', '.join(known)}, or USD per 10^9 bytes") from error


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

"""Parse how data reaches a machine and returns: `pinned,network_gbit_per_s=10,egress=aws`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from ..hardware.files import read_toml
from ..results.costs import MEMORIES, Transfer, TransferError

TransferLike: TypeAlias = "Transfer | str | Mapping[str, str | float | bool]"
"""Terms of transfer as `parse_transfer` accepts them."""

_FACTS = Path(__file__).parent / "facts.toml"
_OVERLAPPED = "overlapped"


@cache
def facts() -> dict[str, Any]:
    """Return the package's figures on storage and egress, each with its source and date."""
    return read_toml(_FACTS)


_NAMES = [field.name for field in fields(Transfer)]
_EXPECTED = f"expected pageable or pinned, overlapped, and NAME=VALUE of {', '.join(_NAMES[2:])}, egress"


def parse_transfer(value: TransferLike | None) -> Transfer | None:
    """Parse terms of transfer.

    Args:
        value: A `Transfer`; text with commas, as in `"pinned,overlapped,network_gbit_per_s=10,egress=aws"`, where
            `egress` is a cloud or USD per 10^9 bytes; a mapping of the same names; None.

    Returns:
        The terms; None for None.

    Raises:
        TransferError: The value is none of these, or a number is out of range.
    """
    if value is None:
        return None
    if isinstance(value, Transfer):
        return _checked(value)
    if isinstance(value, Mapping):
        return _from_settings({str(name): setting for name, setting in value.items()})
    if not isinstance(value, str):
        raise TransferError(f"transfer is {value!r}; {_EXPECTED}")
    settings: dict[str, Any] = {}
    for part in filter(None, (word.strip() for word in value.split(","))):
        name, equals, text = part.partition("=")
        if not equals and name in MEMORIES:
            name, text = "memory", name
        elif not equals and name == _OVERLAPPED:
            text = "true"
        elif not equals:
            raise TransferError(f"transfer has {part!r}; {_EXPECTED}")
        if name in settings:
            raise TransferError(f"{name} of transfer is given twice")
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
            raise TransferError(f"transfer has {name!r}; {_EXPECTED}")
        elif name == "memory":
            known[name] = value
        elif name == _OVERLAPPED:
            known[name] = _truth(value)
        else:
            known[name] = _number(name, value)
    return _checked(Transfer(**known))


def _checked(given: Transfer) -> Transfer:
    """Raise a TransferError if the weights come from a storage of unknown bandwidth."""
    places = facts()["storage"]
    if isinstance(given.weights_from, str) and given.weights_from not in places:
        raise TransferError(
            f"weights_from is {given.weights_from!r}; expected {', '.join(places)}, or 10^9 bytes a second"
        )
    return given


def _egress(value: Any) -> float:
    clouds = facts()["egress"]["usd_per_gb"]
    if value in clouds:
        return float(clouds[value])
    number = _number("egress", value)
    if not isinstance(number, float):
        raise TransferError(f"egress is {value!r}; expected {', '.join(clouds)}, or USD for 10^9 bytes")
    return number


def _truth(value: Any) -> bool:
    truths = {"true": True, "false": False}
    if isinstance(value, bool) or str(value).lower() in truths:
        return truths[str(value).lower()]
    raise TransferError(f"{_OVERLAPPED} is {value!r}; expected true or false")


def _number(name: str, value: Any) -> float | str:
    """Return a number, or the name of a storage or of a cloud."""
    try:
        return float(value)
    except (TypeError, ValueError):
        if name in ("weights_from", "egress") and isinstance(value, str):
            return value
        raise TransferError(f"{name} of transfer is {value!r}; expected a number") from None

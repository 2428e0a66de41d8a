"""How data gets to a machine and back, as a caller says it: `pinned,network_gbit_per_s=10,egress=aws`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

from ..hardware.schema import read_toml

_FACTS = Path(__file__).parent / "facts.toml"
_MEMORIES = ("pageable", "pinned")
_OVERLAPPED = "overlapped"


class TransferError(ValueError):
    """Terms of transfer that cannot be understood; the message says what was got and what was expected."""


@cache
def facts() -> dict[str, Any]:
    """The package's figures on storage and egress, each with its source and date."""
    return read_toml(_FACTS)


@dataclass(frozen=True)
class Transfer:
    """How the data of an inference gets to the machine and back.

    Attributes:
        memory: what the host hands over from and to: `"pageable"`, as `tensor.to("cuda")` does, or `"pinned"`.
        overlapped: whether the next batch is copied while one is computed: then the device is occupied for the longer
            of the two, else for their sum.
        network_gbit_per_s: rate at which requests come in and answers go out; None leaves the network out.
        network_rtt_s: seconds from a user to the service and back, once for each forward.
        request_bytes: what a request for one item has on the network; None: the inputs as the model takes them.
        response_bytes: the same of an answer; None: the results as the model hands them out.
        egress_usd_per_gb: USD for 10^9 bytes that go out.
        weights_from: where weights are before the first forward: `"nvme"`, `"network"`, `"memory"` (the page cache),
            `"pinned"` (a server that holds them ready), or 10^9 bytes a second.
    """

    memory: str = "pageable"
    overlapped: bool = False
    network_gbit_per_s: float | None = None
    network_rtt_s: float = 0.0
    request_bytes: float | None = None
    response_bytes: float | None = None
    egress_usd_per_gb: float = 0.0
    weights_from: str | float = "nvme"

    def __post_init__(self) -> None:
        if self.memory not in _MEMORIES:
            raise TransferError(f"memory is {self.memory!r}; expected {' or '.join(_MEMORIES)}")
        for name in ("network_rtt_s", "request_bytes", "response_bytes", "egress_usd_per_gb"):
            value = getattr(self, name)
            if value is not None and not (value >= 0 and isfinite(value)):
                raise TransferError(f"{name} is {value}; expected zero or more")
        for name in ("network_gbit_per_s", "weights_from"):
            value = getattr(self, name)
            if isinstance(value, (int, float)) and not (value > 0 and isfinite(value)):
                raise TransferError(f"{name} is {value}; expected more than zero")
        places = facts()["storage"]
        if isinstance(self.weights_from, str) and self.weights_from not in places:
            raise TransferError(
                f"weights_from is {self.weights_from!r}; expected {', '.join(places)}, or 10^9 bytes a second"
            )


_NAMES = [field.name for field in fields(Transfer)]
_EXPECTED = f"expected pageable or pinned, overlapped, and NAME=VALUE of {', '.join(_NAMES[2:])}, egress"


def transfer_of(value: Any) -> Transfer | None:
    """Terms of transfer, however they are said.

    Args:
        value: a `Transfer`; text with commas, as in `"pinned,overlapped,network_gbit_per_s=10,egress=aws"`, where
            `egress` is a cloud or USD for 10^9 bytes; a mapping of the same names; None.

    Raises:
        TransferError: it is none of these, or a value is out of range.
    """
    if value is None or isinstance(value, Transfer):
        return value
    if isinstance(value, Mapping):
        return _from_settings({str(name): setting for name, setting in value.items()})
    if not isinstance(value, str):
        raise TransferError(f"transfer is {value!r}; {_EXPECTED}")
    settings: dict[str, Any] = {}
    for part in filter(None, (word.strip() for word in value.split(","))):
        name, equals, text = part.partition("=")
        if not equals and name in _MEMORIES:
            name, text = "memory", name
        elif not equals and name == _OVERLAPPED:
            text = "true"
        elif not equals:
            raise TransferError(f"transfer has {part!r}; {_EXPECTED}")
        if name in settings:
            raise TransferError(f"{name} of transfer is given twice")
        settings[name] = text
    return _from_settings(settings)


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
    return Transfer(**known)


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
    """A number; a word is a place that weights come from, or of a cloud."""
    try:
        return float(value)
    except (TypeError, ValueError):
        if name in ("weights_from", "egress") and isinstance(value, str):
            return value
        raise TransferError(f"{name} of transfer is {value!r}; expected a number") from None

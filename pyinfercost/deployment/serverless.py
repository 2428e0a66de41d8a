"""Prices of serverless services, by request and by seconds of memory, processors and devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from math import ceil
from typing import Any, TypeAlias

from .._checks import COUNT, Range, number, number_in, shown, whole
from .._checks import text as checked_text
from .._records import dataclass
from ..results.costs import SECONDS_PER_HOUR, PriceError
from .facts import facts
from .prices import offer
from .settings import settings_of

ServerlessLike: TypeAlias = "Serverless | str | Mapping[str, str | float | None]"
"""A price of a serverless service as `parse_serverless` accepts it."""

_USD = Range(1e-15, 1e6, "USD", zero=True)
_SECONDS = Range(0, 1e10, "seconds")
_STEP = Range(1e-6, 3600, "seconds")
_GB = Range(1e-6, 1e6, "GB")
_AMOUNT = Range(0, 1e6)
_RANGES = {
    "usd_per_request": _USD,
    "usd_per_gb_s": _USD,
    "usd_per_vcpu_s": _USD,
    "usd_per_device_s": _USD,
    "provisioned_usd_per_gb_s": _USD,
    "provisioned_busy_usd_per_gb_s": _USD,
    "billed_step_s": _STEP,
    "least_billed_s": _SECONDS,
    "gb_per_vcpu": _GB,
    "max_gb": _GB,
}
_MAY_BE_NONE = ("provisioned_usd_per_gb_s", "provisioned_busy_usd_per_gb_s", "gb_per_vcpu", "max_gb")
_TOLERANCE = 1e-9  # of a step: 0.3 s are 300 steps of 1 ms, whatever the float says


@dataclass(frozen=True)
class Serverless:
    """Price of a serverless service.

    Attributes:
        name: Its name in the catalog; empty for a price of the caller.
        usd_per_request: USD for each request.
        usd_per_gb_s: USD for a GB of memory for a billed second. A GB is what the service bills as one, 2^30 bytes as a
            rule.
        usd_per_vcpu_s: USD for a hardware thread for a billed second, where it is not part of the memory's price.
        usd_per_device_s: USD for a device for a billed second.
        provisioned_usd_per_gb_s: USD for a GB that is kept ready for a second, busy or idle; None if the service keeps
            none ready.
        provisioned_busy_usd_per_gb_s: USD for a billed second of such a GB, beside the former; None for `usd_per_gb_s`.
        billed_step_s: Seconds of a request are rounded up to a multiple of this, 1e-6 to 3600.
        least_billed_s: Least billed seconds of a request.
        gb_per_vcpu: GB of memory that come with each hardware thread; None if both are chosen.
        max_gb: Most GB of an environment; None if unknown.
        device: Id of its device in the catalog of hardware; empty for processors alone.
        cloud: The provider.
        dated: Year, or year and month, of the price; empty if the caller gave it.
        source: Where the price was read.
    """

    name: str = ""
    usd_per_request: float = 0.0
    usd_per_gb_s: float = 0.0
    usd_per_vcpu_s: float = 0.0
    usd_per_device_s: float = 0.0
    provisioned_usd_per_gb_s: float | None = None
    provisioned_busy_usd_per_gb_s: float | None = None
    billed_step_s: float = 0.001
    least_billed_s: float = 0.0
    gb_per_vcpu: float | None = None
    max_gb: float | None = None
    device: str = ""
    cloud: str = ""
    dated: str = ""
    source: str = "given"

    def __post_init__(self) -> None:
        for name, within in _RANGES.items():
            value = getattr(self, name)
            if value is not None or name not in _MAY_BE_NONE:
                object.__setattr__(self, name, number(value, name, within, PriceError))
        for name in ("name", "device", "cloud", "dated", "source"):
            checked_text(getattr(self, name), f"{name} of the serverless price", PriceError)

    def billed_s(self, seconds: float) -> float:
        """Return the seconds that are billed for a request of so many."""
        steps = ceil(number(seconds, "seconds", _SECONDS, PriceError) / self.billed_step_s - _TOLERANCE)
        return max(self.least_billed_s, steps * self.billed_step_s)

    def vcpus(self, gb: float) -> float:
        """Return the hardware threads that come with some memory; 0 if the service does not tie them to it."""
        return 0.0 if self.gb_per_vcpu is None else gb / self.gb_per_vcpu


def serverless_names() -> list[str]:
    """Return the names of the catalog's serverless services."""
    return list(facts()["serverless"])


def parse_serverless(value: ServerlessLike) -> Serverless:
    """Parse a price of a serverless service.

    Args:
        value: A `Serverless`; a name of the catalog, such as `"aws-lambda"`; text such as
            `"usd_per_gb_s=0.0000167,usd_per_request=2e-7"`; or a mapping of the same names.

    Raises:
        PriceError: The value is none of these, or a number is out of range.
    """
    if isinstance(value, Serverless):
        return value
    known: Mapping[str, Any] = facts()["serverless"]
    if isinstance(value, str) and value in known:
        return _of_catalog(value, known[value])
    if isinstance(value, str) and "=" not in value:
        raise PriceError(f"serverless is {shown(value)}; expected one of {', '.join(known)}, or NAME=VALUE")
    settings = settings_of(value, "serverless", [field.name for field in fields(Serverless)], PriceError)
    for name, within in _RANGES.items():
        if settings.get(name) is not None:
            settings[name] = number_in(settings[name], name, within, PriceError)
    return Serverless(**settings)


def _of_catalog(name: str, entry: Mapping[str, Any]) -> Serverless:
    """Return a service of the catalog; one with a device has the price of its offer, billed by the second."""
    table = dict(entry)
    dated = table.pop("date")
    if "offer" in table:
        found = offer(table.pop("offer"))
        table |= {
            "usd_per_device_s": found.usd_per_h["on-demand"] / found.devices / SECONDS_PER_HOUR,
            "device": found.device,
            "cloud": found.cloud,
            "source": f"device: {found.source}; {table['source']}",
        }
        dated = min(dated, found.dated)
    return Serverless(name=name, dated=dated, **table)


def invocation_usd(
    price: Serverless, seconds: float, *, gb: float = 0.0, vcpus: float = 0.0, devices: float = 0.0, ready: bool = False
) -> float:
    """Return the USD of one request: its own price, and that of its billed seconds.

    Args:
        price: The price.
        seconds: Seconds of the request, those of a cold start included where the service bills them.
        gb: Memory of the environment in GB.
        vcpus: Hardware threads, where they have a price of their own.
        devices: Devices.
        ready: Whether it runs in memory that is kept ready, whose own price is that of `provisioned_usd`.

    Raises:
        PriceError: The memory exceeds that of the service, or the service keeps none ready.
    """
    _check(price, gb, vcpus, devices)
    usd_per_gb_s = price.usd_per_gb_s
    if ready:
        _provisioned(price)
        usd_per_gb_s = _first(price.provisioned_busy_usd_per_gb_s, usd_per_gb_s)
    usd_per_s = gb * usd_per_gb_s + vcpus * price.usd_per_vcpu_s + devices * price.usd_per_device_s
    return price.usd_per_request + price.billed_s(seconds) * usd_per_s


def provisioned_usd(price: Serverless, seconds: float, *, gb: float, environments: int = 1) -> float:
    """Return the USD of environments that are kept ready, busy or idle, without their requests.

    Args:
        price: The price.
        seconds: Seconds for which they are ready.
        gb: Memory of each in GB.
        environments: Their number.

    Raises:
        PriceError: The memory exceeds that of the service, or the service keeps none ready.
    """
    _check(price, gb, 0.0, 0.0)
    ready_s = number(seconds, "seconds", _SECONDS, PriceError)
    return _provisioned(price) * ready_s * gb * whole(environments, "environments", COUNT, PriceError)


def _check(price: Serverless, gb: float, vcpus: float, devices: float) -> None:
    for name, value in (("gb", gb), ("vcpus", vcpus), ("devices", devices)):
        number(value, name, _AMOUNT, PriceError)
    if price.max_gb is not None and gb > price.max_gb:
        raise PriceError(f"gb is {gb:g}, and {price.name or 'the service'} has {price.max_gb:g} at most; pass less")


def _provisioned(price: Serverless) -> float:
    if price.provisioned_usd_per_gb_s is None:
        raise PriceError(
            f"{price.name or 'the service'} has no price of memory that is kept ready; pass provisioned_usd_per_gb_s"
        )
    return price.provisioned_usd_per_gb_s


def _first(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value

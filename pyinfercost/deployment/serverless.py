"""Prices of serverless services, by request and by seconds of memory, processors and devices."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import _checks
from .._checks import COUNT, Range, shown
from ..inputs.facts import facts
from ..inputs.price import PriceError
from ..inputs.settings import Settings, label, number
from ..results.costs import SECONDS_PER_HOUR
from .prices import offer

if TYPE_CHECKING:
    from typing_extensions import Self

ServerlessLike: TypeAlias = "Serverless | str | Mapping[str, str | float | None]"
"""A price of a serverless service as `Serverless.parse` accepts it."""

_USD = Range(1e-15, 1e6, "USD", zero=True)
_SECONDS = Range(0, 1e10, "seconds")
_GB = Range(1e-6, 1e6, "GB")
_AMOUNT = Range(0, 1e6)
_TOLERANCE = 1e-9  # of a step: 0.3 s are 300 steps of 1 ms, whatever the float is


class Serverless(Settings):
    """Price of a serverless service: a name of the catalog, such as `"aws-lambda"`, or its parts."""

    kind = "serverless"
    error = PriceError
    name: str = label("Its name in the catalog; empty for a price of the caller.", default="")
    usd_per_request: float = number(_USD, "USD for each request.", default=0.0)
    usd_per_gb_s: float = number(
        _USD,
        "USD for a GB of memory for a billed second. A GB is what the service bills as one, 2^30 bytes as a rule.",
        default=0.0,
    )
    usd_per_vcpu_s: float = number(
        _USD, "USD for a hardware thread for a billed second, where it is not part of the memory's price.", default=0.0
    )
    usd_per_device_s: float = number(_USD, "USD for a device for a billed second.", default=0.0)
    provisioned_usd_per_gb_s: float | None = number(
        _USD,
        "USD for a GB that is kept ready for a second, busy or idle; None if the service keeps none ready.",
        default=None,
    )
    provisioned_busy_usd_per_gb_s: float | None = number(
        _USD, "USD for a billed second of such a GB, in addition to the former; None for `usd_per_gb_s`.", default=None
    )
    billed_step_s: float = number(
        Range(1e-6, 3600, "seconds"),
        "Seconds of a request are rounded up to a multiple of this, 1e-6 to 3600.",
        default=0.001,
    )
    least_billed_s: float = number(_SECONDS, "Least billed seconds of a request.", default=0.0)
    gb_per_vcpu: float | None = number(
        _GB, "GB of memory that come with each hardware thread; None if both are chosen.", default=None
    )
    max_gb: float | None = number(_GB, "Most GB of an environment; None if unknown.", default=None)
    device: str = label("Id of its device in the catalog of hardware; empty for processors alone.", default="")
    cloud: str = label("The provider.", default="")
    dated: str = label("Year, or year and month, of the price; empty if the caller gave it.", default="")
    source: str = label("Where the price was read.", default="given")

    @classmethod
    def _of_text(cls, text: str) -> Self:
        known: Mapping[str, Any] = facts()["serverless"]
        if text in known:
            return cls(**_of_catalog(text, known[text]))
        if "=" not in text:
            raise PriceError(f"serverless is {shown(text)}; expected one of {', '.join(known)}, or NAME=VALUE")
        return super()._of_text(text)

    def __str__(self) -> str:
        """The text that `parse` accepts: the name of the catalog, or settings that are not the default."""
        named = self.name in serverless_names() and self == type(self).parse(self.name)
        return self.name if named else super().__str__()

    def billed_s(self, seconds: float) -> float:
        """Return the seconds that are billed for a request of so many."""
        steps = ceil(_checks.number(seconds, "seconds", _SECONDS, PriceError) / self.billed_step_s - _TOLERANCE)
        return max(self.least_billed_s, steps * self.billed_step_s)

    def vcpus(self, gb: float) -> float:
        """Return the hardware threads that come with some memory; 0 if the service does not tie them to it."""
        return 0.0 if self.gb_per_vcpu is None else gb / self.gb_per_vcpu


def serverless_names() -> list[str]:
    """Return the names of the catalog's serverless services."""
    return list(facts()["serverless"])


def _of_catalog(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a service of the catalog; a device has the price of its offer, billed by the second."""
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
    return {**table, "name": name, "dated": dated}


def invocation_usd(
    price: Serverless, seconds: float, *, gb: float = 0.0, vcpus: float = 0.0, devices: float = 0.0, ready: bool = False
) -> float:
    """Return the USD of one request: its own price and the price of its billed seconds.

    Args:
        price: The price.
        seconds: Seconds of the request, with the seconds of a cold start where the service bills them.
        gb: Memory of the environment in GB.
        vcpus: Hardware threads, where they have a price of their own.
        devices: Devices.
        ready: Whether it runs in memory that is kept ready, at the price of `provisioned_usd`.

    Raises:
        PriceError: The memory exceeds the service's, or the service keeps none ready.
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
        PriceError: The memory exceeds the service's, or the service keeps none ready.
    """
    _check(price, gb, 0.0, 0.0)
    ready_s = _checks.number(seconds, "seconds", _SECONDS, PriceError)
    return _provisioned(price) * ready_s * gb * _checks.whole(environments, "environments", COUNT, PriceError)


def _check(price: Serverless, gb: float, vcpus: float, devices: float) -> None:
    for name, value in (("gb", gb), ("vcpus", vcpus), ("devices", devices)):
        _checks.number(value, name, _AMOUNT, PriceError)
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

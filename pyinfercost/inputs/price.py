"""The price of a device, and the valid values of its terms."""

from __future__ import annotations

from .._checks import COUNT, Range
from ..errors import InputError
from .settings import Settings, label, number, whole

_JOULES_PER_KWH = 3.6e6
_OLD_MONTHS = 12

USD_PER_H = Range(1e-9, 1e9, "USD per hour", zero=True)
USD_PER_KWH = Range(1e-9, 1e3, "USD per kWh", zero=True)
PUE = Range(1, 100)
UTILIZATION = Range(1e-6, 1, "as a share of the paid time")
"""Valid values of a deployment's terms. They are far wider than any real one: a number outside is a mistaken unit, and
none inside makes a figure infinite."""

ON_DEMAND = "on-demand"
TERMS = (ON_DEMAND, "spot", "reserved")
"""Terms on which instances are rented."""


class PriceError(InputError):
    """An invalid price, or a price of another device."""


class Price(Settings):
    """Price of one device."""

    kind = "the price"
    error = PriceError

    usd_per_h: float = number(USD_PER_H, "USD per device-hour, busy or idle: 0, or 1e-9 to 1e9.")
    text: str = label("Source of the price, in a few words.")
    usd_per_kwh: float = number(
        USD_PER_KWH,
        "Electricity price that the owner pays, at most 1000; 0 where the hourly price includes it, as in all rents.",
        default=0.0,
    )
    pue: float = number(
        PUE,
        "Power usage effectiveness (energy of the data center over energy of its machines), where the owner pays it: "
        "1 to 100.",
        default=1.0,
    )
    cloud: str = label("The provider; empty for an owned machine.", default="")
    region: str = label("The provider's region; empty if unknown.", default="")
    dated: str = label("Year, or year and month, of the price; empty if the caller gave it.", default="")
    age_months: int = whole(Range(0, 10_000), "Minimum age in months.", default=0)
    devices: int = whole(
        COUNT, "Devices of the instance, which is rented as a whole; 1 where devices are paid one by one.", default=1
    )
    terms: str = label(
        '`"on-demand"`, `"spot"`, `"reserved"`, `"committed"` or `"purchase"`; empty if the caller gave the price.',
        default="",
    )

    @property
    def usd_per_j(self) -> float:
        """USD that the owner pays per joule of the machine, the data center included; 0 if the price includes it."""
        return self.pue * self.usd_per_kwh / _JOULES_PER_KWH

    @property
    def argument(self) -> str | float:
        """What `parse_price` reads as this price: the instance and its terms, or USD per hour of a device."""
        return f"{self.text.split()[0]}:{self.terms}" if self.cloud and self.terms in TERMS else self.usd_per_h

    @property
    def rate(self) -> str:
        """`1.323 USD/h for a device`, or `55.04 USD/h for an instance of 8 devices`."""
        of = "a device" if self.devices == 1 else f"an instance of {self.devices} devices"
        return f"{self.usd_per_h * self.devices:.4g} USD/h for {of}"

    def __str__(self) -> str:
        """`1.323 USD/h for a device, aws/g6.4xlarge@us-east-1 on-demand, of 2025-10, 13 months old: OLD`."""
        parts = [self.rate, self.text]
        if self.dated:
            age = f", {self.age_months} months old" if self.age_months else ""
            parts.append(f"of {self.dated}{age}" + (": OLD" if self.age_months > _OLD_MONTHS else ""))
        return ", ".join(parts)

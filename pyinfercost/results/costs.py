"""Costs of an estimate beside its latency: money, transfer and cold starts, with their terms."""

from __future__ import annotations

from typing import Any

from .._checks import COUNT, Range, number, shown, text, whole
from .._records import dataclass
from ..errors import InputError
from ..inputs.startup import Startup
from ..inputs.transfer import Transfer

SECONDS_PER_HOUR = 3600
JOULES_PER_KWH = 3.6e6
_MILLION = 1_000_000
_THOUSAND = 1_000
_OLD_MONTHS = 12
USD_PER_H = Range(1e-9, 1e9, "USD per hour", zero=True)
USD_PER_KWH = Range(1e-9, 1e3, "USD per kWh", zero=True)
PUE = Range(1, 100)
GRID_G_PER_KWH = Range(1e-3, 1e5, "grams per kWh", zero=True)
UTILIZATION = Range(1e-6, 1, "as a share of the paid time")
"""Valid values of a deployment's terms. They are far wider than any real one: a number outside is a mistaken unit, and
none inside makes a figure infinite."""

_ANY_AGE = Range(0, 10_000)

START_PARTS = ("machine", "image", "runtime", "weights", "warmup")
"""Parts of a cold start, in their order in time."""

START_EVIDENCE = ("none", "given", "published", "fitted", "reported", "assumed")
"""What the seconds of a part rest on, the strongest first: `none` for a part that is not needed, `given` by the caller,
`published` by a vendor, `fitted` to measurements of other machines, `reported` by providers and users, `assumed`."""


class PriceError(InputError):
    """An invalid price, or a price of another device."""


ON_DEMAND = "on-demand"
TERMS = (ON_DEMAND, "spot", "reserved")
"""Terms on which instances are rented."""


@dataclass(frozen=True)
class Price:
    """Price of one device.

    Attributes:
        usd_per_h: USD per device-hour, busy or idle: 0, or 1e-9 to 1e9.
        text: Source of the price, in a few words.
        usd_per_kwh: Electricity price that the owner pays, at most 1000; 0 where the hourly price includes it, as in
            all rents.
        pue: Power usage effectiveness (energy of the data center over energy of its machines), where the owner pays
            it: 1 to 100.
        cloud: The provider; empty for an owned machine.
        region: The provider's region; empty if unknown.
        dated: Year, or year and month, of the price; empty if the caller gave it.
        age_months: Minimum age in months.
        devices: Devices of the instance, which is rented as a whole; 1 where devices are paid one by one.
        terms: `"on-demand"`, `"spot"`, `"reserved"`, `"committed"` or `"purchase"`; empty if the caller gave the price.
    """

    usd_per_h: float
    text: str
    usd_per_kwh: float = 0.0
    pue: float = 1.0
    cloud: str = ""
    region: str = ""
    dated: str = ""
    age_months: int = 0
    devices: int = 1
    terms: str = ""

    def __post_init__(self) -> None:
        for name, within in (("usd_per_h", USD_PER_H), ("usd_per_kwh", USD_PER_KWH), ("pue", PUE)):
            _settle(self, name, number(getattr(self, name), name, within, PriceError))
        for name in ("text", "cloud", "region", "dated", "terms"):
            text(getattr(self, name), f"{name} of the price", PriceError)
        whole(self.age_months, "age_months", _ANY_AGE, PriceError)
        whole(self.devices, "devices of the price", COUNT, PriceError)

    @property
    def usd_per_j(self) -> float:
        """USD that the owner pays per joule of the machine, the data center included; 0 if the price includes it."""
        return self.pue * self.usd_per_kwh / JOULES_PER_KWH

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


@dataclass(frozen=True)
class Place:
    """Location of a machine, with its grid and data center.

    Attributes:
        name: ISO code of a country (`"deu"`), or a cloud and its region (`"gcp/us-central1"`).
        grid_g_per_kwh: Grams of CO2 equivalent per kWh from the grid.
        pue: Power usage effectiveness: energy of the data center over energy of its machines.
        source: Source of both figures.
        dated: Year of both figures.
    """

    name: str
    grid_g_per_kwh: float
    pue: float
    source: str
    dated: str

    def __post_init__(self) -> None:
        number(self.grid_g_per_kwh, "grid_g_per_kwh", GRID_G_PER_KWH)
        number(self.pue, "pue", PUE)


def _settle(value: Price, name: str, checked: Any) -> None:
    """Set a field of a value that is being made."""
    object.__setattr__(value, name, checked)


def paid_text(usd_per_h: float, instances: int, each: int, used: int) -> str:
    """Return what is paid for instances of so many devices, and how many of their devices are unused."""
    unused = instances * each - used
    said = f"{usd_per_h:.4g} USD/h for {instances:,} instance{'' if instances == 1 else 's'} of {each} devices"
    return said + (f", {unused:,} of them unused" if unused else "")


@dataclass(frozen=True)
class Cost:
    """Cost of one item of the batch.

    Attributes:
        usd: USD per item.
        used_s: Device seconds that the item occupies: the forward, and copies that do not overlap it.
        paid_s: Device seconds that are paid: `used_s` over the utilization, and those of unused devices of instances.
        electricity_usd: Share of `usd` that the owner pays for electricity.
        egress_usd: Share of `usd` for the response to leave the cloud.
        utilization: Share of the paid time in which devices work.
        price: The price of a device-hour.
        instances: Instances that are paid; None where devices are paid one by one.
        usd_per_h: USD per hour of all that is paid, without electricity.
    """

    usd: float
    used_s: float
    paid_s: float
    electricity_usd: float
    egress_usd: float
    utilization: float
    price: Price
    instances: int | None
    usd_per_h: float

    @property
    def usd_per_thousand(self) -> float:
        """USD per 1,000 items."""
        return _THOUSAND * self.usd

    @property
    def usd_per_million(self) -> float:
        """USD per 1,000,000 items."""
        return _MILLION * self.usd

    @property
    def used_h_per_million(self) -> float:
        """Device-hours of work per 1,000,000 items."""
        return _MILLION * self.used_s / SECONDS_PER_HOUR

    @property
    def paid_h_per_million(self) -> float:
        """Paid device-hours per 1,000,000 items."""
        return _MILLION * self.paid_s / SECONDS_PER_HOUR


@dataclass(frozen=True)
class Moved:
    """Data that a forward moves beside its own work.

    Attributes:
        terms: Terms of transfer.
        input_bytes: Bytes of a device's inputs, as the model takes them.
        output_bytes: Bytes of its outputs, without caches that stay on the device.
        host_s: Seconds on the link between host and device; None if the machine's file has no link.
        network_s: Seconds on the network, for the whole batch.
        request_bytes: Bytes of the whole batch that arrive over the network.
        response_bytes: Bytes of the whole batch that leave over the network.
        egress_usd: USD for one item's response to leave the cloud.
    """

    terms: Transfer
    input_bytes: int
    output_bytes: int
    host_s: float | None
    network_s: float
    request_bytes: float
    response_bytes: float
    egress_usd: float

    @property
    def seconds(self) -> float | None:
        """Seconds of a request beside the forward; None if the link is unknown."""
        return None if self.host_s is None else self.host_s + self.network_s


@dataclass(frozen=True)
class StartPart:
    """Part of a cold start.

    Attributes:
        name: One of `START_PARTS`.
        seconds: Typical seconds.
        low_s: Seconds with the shortest of the known times.
        high_s: Seconds with the longest of the known times.
        evidence: What the seconds rest on, one of `START_EVIDENCE`.
        source: Where the seconds come from, in words.
    """

    name: str
    seconds: float
    low_s: float
    high_s: float
    evidence: str
    source: str


@dataclass(frozen=True)
class ColdStart:
    """Time until a replica is ready for its first forward: the sum of its parts.

    Attributes:
        seconds: Typical seconds of all parts.
        low_s: Seconds of all parts with the shortest of their times.
        high_s: Seconds of all parts with the longest of their times.
        parts: One of each of `START_PARTS`.
        weight_bytes: Bytes of weights and buffers of a device, in the dtypes that they run in.
        terms: How the replica starts.
    """

    seconds: float
    low_s: float
    high_s: float
    parts: tuple[StartPart, ...]
    weight_bytes: int
    terms: Startup

    def part(self, name: str) -> StartPart:
        """Return a part by its name.

        Raises:
            InputError: There is no such part.
        """
        for part in self.parts:
            if part.name == name:
                return part
        raise InputError(f"a cold start has no part {shown(name)}; expected one of {', '.join(START_PARTS)}")

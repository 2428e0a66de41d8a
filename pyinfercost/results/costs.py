"""Costs of an estimate beside its latency: money, transfer and cold starts, with their terms."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

SECONDS_PER_HOUR = 3600
_MILLION = 1_000_000
_THOUSAND = 1_000
_OLD_MONTHS = 12
MEMORIES = ("pageable", "pinned")
"""Kinds of host memory that a transfer copies from and to."""


class PriceError(ValueError):
    """An invalid price, or a price of another device."""


class TransferError(ValueError):
    """Invalid terms of transfer."""


@dataclass(frozen=True)
class Price:
    """Price of one device.

    Attributes:
        usd_per_h: USD per device-hour, busy or idle.
        text: Source of the price, in a few words.
        usd_per_kwh: Electricity price that the owner pays; 0 where the hourly price includes it, as in all rents.
        pue: Power usage effectiveness (energy of the data center over energy of its machines), where the owner pays it.
        cloud: The provider; empty for an owned machine.
        region: The provider's region; empty if unknown.
        dated: Year, or year and month, of the price; empty if the caller gave it.
        age_months: Minimum age in months.
    """

    usd_per_h: float
    text: str
    usd_per_kwh: float = 0.0
    pue: float = 1.0
    cloud: str = ""
    region: str = ""
    dated: str = ""
    age_months: int = 0

    def __post_init__(self) -> None:
        for name in ("usd_per_h", "usd_per_kwh"):
            value = getattr(self, name)
            if not (value >= 0 and isfinite(value)):
                raise PriceError(f"{name} is {value}; expected zero or more USD")
        if not (self.pue >= 1 and isfinite(self.pue)):
            raise PriceError(f"pue is {self.pue}; expected 1 or more")

    def __str__(self) -> str:
        """`1.323 USD/h for a device, aws/g6.4xlarge@us-east-1 on-demand, of 2025-10, 13 months old: OLD`."""
        parts = [f"{self.usd_per_h:.4g} USD/h for a device", self.text]
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


@dataclass(frozen=True)
class Transfer:
    """How the data of an inference gets to the machine and back.

    Attributes:
        memory: Host memory that is copied from and to: `"pageable"`, as `tensor.to("cuda")` does, or `"pinned"`.
        overlapped: Whether the next batch is copied while one is computed: then the device is occupied for the longer
            of the two, else for their sum.
        network_gbit_per_s: Rate at which requests arrive and responses leave; None leaves the network out.
        network_rtt_s: Round-trip time in seconds from a user to the service, once per forward.
        request_bytes: Bytes of a request for one item on the network; None takes the model's inputs.
        response_bytes: Bytes of a response for one item; None takes the model's outputs.
        egress_usd_per_gb: USD per 10^9 bytes that leave the cloud.
        weights_from: Location of the weights before the first forward: `"nvme"`, `"network"`, `"memory"` (the page
            cache), `"pinned"` (a server that holds them ready), or a rate in 10^9 bytes per second.
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
        if self.memory not in MEMORIES:
            raise TransferError(f"memory is {self.memory!r}; expected {' or '.join(MEMORIES)}")
        for name in ("network_rtt_s", "request_bytes", "response_bytes", "egress_usd_per_gb"):
            value = getattr(self, name)
            if value is not None and not (value >= 0 and isfinite(value)):
                raise TransferError(f"{name} is {value}; expected zero or more")
        for name in ("network_gbit_per_s", "weights_from"):
            value = getattr(self, name)
            if isinstance(value, (int, float)) and not (value > 0 and isfinite(value)):
                raise TransferError(f"{name} is {value}; expected more than zero")


@dataclass(frozen=True)
class Cost:
    """Cost of one item of the batch.

    Attributes:
        usd: USD per item.
        used_s: Device seconds that the item occupies: the forward, and copies that do not overlap it.
        paid_s: Device seconds that are paid: `used_s` over the utilization.
        electricity_usd: Share of `usd` that the owner pays for electricity.
        egress_usd: Share of `usd` for the response to leave the cloud.
        utilization: Share of the paid time in which devices work.
        price: The price of a device-hour.
    """

    usd: float
    used_s: float
    paid_s: float
    electricity_usd: float
    egress_usd: float
    utilization: float
    price: Price

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
class ColdStart:
    """Time until a device is ready for its first forward.

    The container, the interpreter and its imports run earlier and are not included.

    Attributes:
        seconds: Seconds of runtime and weights together.
        low_s: Seconds with the shortest of the published times.
        high_s: Seconds with the longest of the published times.
        runtime_s: Seconds until the device's runtime is up.
        loading_s: Seconds until the weights are in its memory, after that.
        weight_bytes: Bytes of the weights, in the dtypes that they run in.
        weights_from: Location of the weights before.
    """

    seconds: float
    low_s: float
    high_s: float
    runtime_s: float
    loading_s: float
    weight_bytes: int
    weights_from: str

"""Costs of an estimate beside its latency: money, transfer and cold starts, with their terms."""

from __future__ import annotations

from .._checks import shown
from .._records import dataclass
from ..errors import InputError
from ..inputs.price import Price
from ..inputs.startup import Startup
from ..inputs.transfer import Transfer

SECONDS_PER_HOUR = 3600
_MILLION = 1_000_000
_THOUSAND = 1_000
START_PARTS = ("machine", "image", "runtime", "weights", "warmup")
"""Parts of a cold start, in their order in time."""

START_EVIDENCE = ("none", "given", "published", "fitted", "reported", "assumed")
"""What the seconds of a part rest on, the strongest first: `none` for a part that is not needed, `given` by the caller,
`published` by a vendor, `fitted` to measurements of other machines, `reported` by providers and users, `assumed`."""


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

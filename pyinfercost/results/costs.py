"""Costs of an estimate: money, transfer and cold starts, with their terms."""

from __future__ import annotations

from .._checks import shown
from ..errors import InputError
from ..inputs.price import Price
from ..inputs.startup import Startup
from ..inputs.transfer import Transfer
from .declared import declared, derived, fact

SECONDS_PER_HOUR = 3600
_MILLION = 1_000_000
_THOUSAND = 1_000
START_PARTS = ("machine", "image", "runtime", "weights", "warmup")
"""Parts of a cold start, in their order in time."""

START_EVIDENCE = ("none", "given", "published", "fitted", "reported", "assumed")
"""What the seconds of a part rest on, the strongest first: `none` for a part that is not needed, `given` by the caller,
`published` by a vendor, `fitted` to measurements of other machines, `reported` by providers and users, `assumed`."""


@declared
class Cost:
    """Cost of one item of the batch."""

    usd: float = fact("USD per item.")
    used_s: float = fact("Device seconds that the item occupies: the forward, and copies that do not overlap it.")
    paid_s: float = fact(
        "Device seconds that are paid: `used_s` over the utilization, also of unused devices of instances."
    )
    electricity_usd: float = fact("Share of `usd` that the owner pays for electricity.")
    egress_usd: float = fact("Share of `usd` for the response to leave the cloud.")
    utilization: float = fact("Share of the paid time in which devices work.")
    price: Price = fact("The price of a device-hour.")
    instances: int | None = fact("Instances that are paid; None where devices are paid one by one.")
    usd_per_h: float = fact("USD per hour of all that is paid, without electricity.")

    @property
    @derived()
    def usd_per_thousand(self) -> float:
        """USD per 1,000 items."""
        return _THOUSAND * self.usd

    @property
    @derived()
    def usd_per_million(self) -> float:
        """USD per 1,000,000 items."""
        return _MILLION * self.usd

    @property
    @derived()
    def used_h_per_million(self) -> float:
        """Device-hours of work per 1,000,000 items."""
        return _MILLION * self.used_s / SECONDS_PER_HOUR

    @property
    @derived()
    def paid_h_per_million(self) -> float:
        """Paid device-hours per 1,000,000 items."""
        return _MILLION * self.paid_s / SECONDS_PER_HOUR


@declared
class Moved:
    """Data that a forward moves in addition to its own work."""

    terms: Transfer = fact("Terms of transfer.")
    input_bytes: int = fact("Bytes of a device's inputs, as the model takes them.")
    output_bytes: int = fact("Bytes of its outputs, without caches that stay on the device.")
    host_s: float | None = fact("Seconds on the link between host and device; None if the machine's file has no link.")
    network_s: float = fact("Seconds on the network, for the whole batch.")
    request_bytes: float = fact("Bytes of the whole batch that arrive over the network.")
    response_bytes: float = fact("Bytes of the whole batch that leave over the network.")
    egress_usd: float = fact("USD for one item's response to leave the cloud.")

    @property
    def seconds(self) -> float | None:
        """Seconds of a request outside the forward; None if the link is unknown."""
        return None if self.host_s is None else self.host_s + self.network_s


@declared(kw_only=False)
class StartPart:
    """Part of a cold start."""

    name: str = fact("One of `START_PARTS`.")
    seconds: float = fact("Typical seconds.")
    low_s: float = fact("Seconds with the shortest of the known times.")
    high_s: float = fact("Seconds with the longest of the known times.")
    evidence: str = fact("What the seconds rest on, one of `START_EVIDENCE`.")
    source: str = fact("Where the seconds come from, in words.")


@declared
class ColdStart:
    """Time until a replica is ready for its first forward: the sum of its parts."""

    seconds: float = fact("Typical seconds of all parts.")
    low_s: float = fact("Seconds of all parts with the shortest of their times.")
    high_s: float = fact("Seconds of all parts with the longest of their times.")
    parts: tuple[StartPart, ...] = fact("One of each of `START_PARTS`.")
    weight_bytes: int = fact("Bytes of weights and buffers of a device, in the dtypes that they run in.")
    terms: Startup = fact("How the replica starts.")

    def part(self, name: str) -> StartPart:
        """Return a part by its name.

        Raises:
            InputError: There is no such part.
        """
        for part in self.parts:
            if part.name == name:
                return part
        raise InputError(f"a cold start has no part {shown(name)}; expected one of {', '.join(START_PARTS)}")

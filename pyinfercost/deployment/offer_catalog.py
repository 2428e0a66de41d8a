"""The catalogue of rented machines: `prices.toml`, each offer with its price, source and date."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from ..hardware.files import read_toml

PRICES = Path(__file__).parent / "prices.toml"
TERMS = ("on-demand", "spot", "reserved")
_NEAREST = 5


class UnknownOfferError(KeyError, ValueError):
    """An instance that is not in the catalogue; the message names the nearest ones."""

    def __str__(self) -> str:  # KeyError would show the message's repr
        return str(self.args[0])


@dataclass(frozen=True)
class Offer:
    """A whole instance for rent.

    Attributes:
        cloud: The provider.
        instance: Name of the instance.
        region: The provider's region; empty if the source does not state it.
        device: Id of the device in the catalogue of hardware.
        devices: Number of devices; less than one if some cores of a CPU are rented.
        vcpus: Hardware threads; None if the source does not state them.
        usd_per_h: USD per hour by terms: `"on-demand"`, `"spot"` or `"reserved"`.
        dated: Year, or year and month, of the price.
        source: Where the price was read.
        note: Further remarks.
    """

    cloud: str
    instance: str
    region: str
    device: str
    devices: float
    vcpus: int | None
    usd_per_h: dict[str, float]
    dated: str
    source: str
    note: str = ""

    @property
    def name(self) -> str:
        """The name that `offer` accepts: `aws/g6.4xlarge@us-east-1`."""
        return f"{self.cloud}/{self.instance}" + (f"@{self.region}" if self.region else "")

    def age_months(self, today: date | None = None) -> int:
        """Return the minimum age of the price in months."""
        return months_since(self.dated, today)


def months_since(dated: str, today: date | None = None) -> int:
    """Return the months from the end of a year, or from a month, until today; 0 for a date in the future."""
    year, _, month = dated.partition("-")
    now = today or date.today()
    return max(0, 12 * (now.year - int(year)) + now.month - int(month or 12))


@cache
def _all() -> tuple[Offer, ...]:
    data = read_toml(PRICES)
    found = []
    for entry in data["rent"]["offers"]:
        source = data["sources"][entry["source"]]
        found.append(
            Offer(
                cloud=entry["cloud"],
                instance=entry["instance"],
                region=entry.get("region", ""),
                device=entry["device"],
                devices=float(entry["devices"]),
                vcpus=entry.get("vcpus"),
                usd_per_h={
                    terms: float(entry[key])
                    for terms in TERMS
                    if (key := terms.replace("-", "_") + "_usd_per_h") in entry
                },
                dated=source["date"],
                source=source["text"],
                note=entry.get("note", ""),
            )
        )
    return tuple(found)


def clouds() -> list[str]:
    """Return the providers in the catalogue."""
    return sorted({each.cloud for each in _all()})


def offers(*, device: str | None = None, cloud: str | None = None) -> list[Offer]:
    """Return offers of the catalogue, cheapest device hour first.

    Args:
        device: Only offers of this device.
        cloud: Only offers of this cloud.
    """
    wanted = [each for each in _all() if device in (None, each.device) and cloud in (None, each.cloud)]
    return sorted(wanted, key=lambda each: (each.usd_per_h["on-demand"] / each.devices, each.name))


def offer(name: str, *, device: str | None = None) -> Offer:
    """Return the offer of a name; of several dates the latest.

    Args:
        name: An instance, if needed with its cloud before it and its region behind it: `"g6.4xlarge"`,
            `"aws/g6.4xlarge"`, `"tpu-v5e-chip@us-west4"`.
        device: The wanted device; the error message lists its other offers.

    Returns:
        The offer.

    Raises:
        UnknownOfferError: The name is unknown; the message names the nearest.
    """
    match = re.fullmatch(r"(?:([^/@]+)/)?([^/@]+)(?:@([^/@]+))?", name.strip().lower())
    cloud, instance, region = match.groups() if match else (None, name, None)
    found = [
        each
        for each in _all()
        if each.instance.lower() == instance
        and cloud in (None, each.cloud.lower())
        and region in (None, each.region.lower())
    ]
    if not found:
        raise UnknownOfferError(_unknown(name, device))
    return max(found, key=lambda each: (each.dated, -each.usd_per_h["on-demand"] / each.devices))


def _unknown(name: str, device: str | None) -> str:
    known = {each.instance.lower(): each.name for each in _all()}
    wanted = name.lower().partition("@")[0].rpartition("/")[2]
    near = [known[key] for key in difflib.get_close_matches(wanted, known, n=_NEAREST, cutoff=0.5)]
    told = f"; the nearest are {', '.join(near)}" if near else ""
    if device is not None:
        with_it = [each.name for each in offers(device=device)[:_NEAREST]]
        told += f"; with {device} there are {', '.join(with_it) or 'none'}"
    return (
        f"no instance {name!r} is in the catalogue of prices{told}. `pyinfercost prices` lists all {len(_all())}; a "
        "price of your own is USD an hour for one device, such as 2.49/h"
    )

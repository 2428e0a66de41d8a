"""Prices: the catalog of rented machines (`prices.toml`), and the price of a device hour in any form of input."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import TypeAlias

from .. import _core
from .._checks import Range, is_number, number, shown
from .._checks import text as checked_text
from .._records import dataclass
from .._toml import read_toml
from ..errors import UnknownNameError
from ..hardware.errors import HardwareFileError
from ..inputs.price import ON_DEMAND, PUE, TERMS, USD_PER_H, USD_PER_KWH, Price, PriceError

PriceLike: TypeAlias = "Price | float | str | os.PathLike[str] | Mapping[str, Price | float | str | os.PathLike[str]]"
"""A price as `parse_price` accepts it."""

PRICES = Path(__file__).parent / "prices.toml"
HOURS_PER_YEAR = 8766
GIVEN = "given"
"""`Price.text` of a price that the caller gave as a number."""

_NEAREST = 5
_NUMBER = re.compile(r"\$?\s*([+-]?[0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*(?:usd|\$)?\s*(?:/\s*h(?:our)?)?", re.IGNORECASE)
_OWNED = {
    "usd": Range(1e-3, 1e9, "USD", zero=True),
    "devices": Range(1e-3, 1e6),
    "lifetime_years": Range(0.01, 100, "years"),
    "usd_per_kwh": USD_PER_KWH,
    "pue": PUE,
}
"""Key of the file of an owned machine -> its valid values."""


# ---- the catalog of offers -------------------------------------------------------------------------------------------


class UnknownOfferError(UnknownNameError):
    """The catalog has no such instance; the message names the nearest ones."""


class UnpricedError(UnknownOfferError):
    """The catalog has no price of a device on the given terms."""


@dataclass(frozen=True)
class Offer:
    """A whole instance for rent.

    Attributes:
        cloud: The provider.
        instance: Name of the instance.
        region: The provider's region; empty if the source does not state it.
        device: Id of the device in the catalog of hardware.
        devices: Number of devices; less than one if some cores of a CPU are rented.
        vcpus: Hardware threads; None if the source does not state them.
        usd_per_h: USD per hour by terms: `"on-demand"`, `"spot"` or `"reserved"`.
        dated: Year, or year and month, of the price.
        source: Where the price was read.
        note: Further remarks.
        host: Whether the price includes the host, its processors and memory; else they are billed besides.
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
    host: bool = True

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
                host=entry.get("host", True),
            )
        )
    return tuple(found)


def clouds() -> list[str]:
    """Return the providers in the catalog."""
    return sorted({each.cloud for each in _all()})


def offers(*, device: str | None = None, cloud: str | None = None) -> list[Offer]:
    """Return offers of the catalog, cheapest device hour first.

    Args:
        device: Only offers of this device.
        cloud: Only offers of this cloud.
    """
    return list(_offers(device, cloud))


@cache
def _offers(device: str | None, cloud: str | None) -> tuple[Offer, ...]:
    wanted = [each for each in _all() if device in (None, each.device) and cloud in (None, each.cloud)]
    return tuple(sorted(wanted, key=lambda each: (each.usd_per_h["on-demand"] / each.devices, each.name)))


def offer(name: str, *, device: str | None = None) -> Offer:
    """Return the offer with a name; the latest, if there are several.

    Args:
        name: An instance, with a cloud as prefix and a region as suffix where needed: `"g6.4xlarge"`,
            `"aws/g6.4xlarge"`, `"tpu-v5e-chip@us-west4"`.
        device: The device to run on; the error message lists its other offers.

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
        f"no instance {shown(name)} is in the catalog of prices{told}. Pass one of the {len(_all())} that `pyinfercost "
        "prices` lists, or USD per hour of one device, such as 2.49/h"
    )


# ---- prices of a device hour -----------------------------------------------------------------------------------------


def parse_price(value: PriceLike, device: str, *, threads: int | None = None, together: int = 1) -> Price:
    """Parse a price into USD per device-hour.

    Args:
        value: One of

            - a number, or text such as `"2.49/h"`: USD per hour of one device, 0 or 1e-9 to 1e9;
            - an instance of the catalog, `"g6.4xlarge"`, `"aws/p5.48xlarge:spot"`: its price divided by the number of
              its devices, CPUs and memory included, unless its text has `without its host`;
            - `"on-demand"`, `"spot"` or `"reserved"`: the cheapest offer of the device on these terms that includes a
              host; one without, if there is no other;
            - a provider, perhaps with a region and terms, `"aws"`, `"aws:spot"`, `"aws@us-east-1:spot"`: the cheapest
              of its offers, on demand if no terms are given;
            - the path of a TOML file with `usd_per_h`, or of an owned machine: `usd` (purchase price, at most 1e9),
              `devices` (1; 0.001 to 1e6), `lifetime_years` (0.01 to 100), `usd_per_kwh` (at most 1000), `pue` (1; at
              most 100);
            - a mapping of device ids to any of these, or a `Price`.
        device: Id of the device.
        threads: Threads of a CPU in use, None for all. An instance with some cores of a CPU is paid as a whole, and
            runs at most as many threads as it has.
        together: Devices that must be in one instance, for which the cheapest offer is chosen.

    Returns:
        The price, with its source and date.

    Raises:
        PriceError: The value is none of these, or an instance with another device or too few threads.
        UnknownOfferError: The instance is unknown; the message names the nearest.
        UnpricedError: No offer of the device on these terms is known.
    """
    if isinstance(value, Price):
        return value
    if isinstance(value, Mapping):
        if device not in value:
            raise PriceError(f"price has no entry for {device}, only for {', '.join(map(str, value))}; add one")
        if isinstance(value[device], Mapping):
            raise PriceError(f"price of {device} is {shown(value[device])}; expected one price, not a mapping")
        return parse_price(value[device], device, threads=threads, together=together)
    if is_number(value):
        return Price(usd_per_h=number(value, "usd_per_h", USD_PER_H, PriceError), text=GIVEN)
    if isinstance(value, os.PathLike) or (isinstance(value, str) and value.endswith(".toml")):
        return _from_file(Path(value))
    if not isinstance(value, str):
        raise PriceError(
            f"price is of type {type(value).__name__}; expected a number, a text, a mapping, a path or a Price"
        )
    match = _NUMBER.fullmatch(value.strip())
    if match:
        return Price(usd_per_h=float(match[1]), text=GIVEN)
    name, _, terms = value.partition(":")
    if name in TERMS and not terms:
        return _cheapest(rentable(device, name, threads), device, name, together)
    cloud, _, region = name.lower().partition("@")
    if cloud in clouds():
        return _cheapest_of_cloud(cloud, region, terms or ON_DEMAND, device, threads, together)
    return _of_offer(offer(name, device=device), terms or ON_DEMAND, device, threads)


def rentable(device: str, terms: str, threads: int | None = None) -> list[Offer]:
    """Return the offers of a device on some terms that have enough threads, cheapest device hour first."""
    return [each for each in offers(device=device) if terms in each.usd_per_h and _has(each, threads)]


def _cheapest_of_cloud(cloud: str, region: str, terms: str, device: str, threads: int | None, together: int) -> Price:
    if terms not in TERMS:
        raise PriceError(f"terms of {cloud} are {shown(terms)}; expected {', '.join(TERMS)}")
    offered = [each for each in offers(device=device, cloud=cloud) if region in ("", each.region.lower())]
    if not offered:
        where = f" in {region}" if region else ""
        regions = sorted({each.region for each in offers(device=device, cloud=cloud) if each.region})
        others = sorted({each.cloud for each in offers(device=device)})
        also = (
            f"its regions with {device} are {', '.join(regions)}"
            if regions
            else (f"providers with {device} are {', '.join(others) or 'none'}")
        )
        raise UnpricedError(f"the catalog has no {device} of {cloud}{where}; {also}")
    known = [each for each in offered if terms in each.usd_per_h and _has(each, threads)]
    if not known:
        those = "; ".join(f"{each.name}: {', '.join(each.usd_per_h)}" for each in offered[:_NEAREST])
        raise UnpricedError(f"the catalog has no {terms} price of {device} at {cloud}; it has {those}")
    return _cheapest(known, device, terms, together)


def _cheapest(known: Sequence[Offer], device: str, terms: str, together: int) -> Price:
    if not known:
        others = sorted({each.device for each in offers()})
        raise UnpricedError(
            f"the catalog has no {terms} price of {device}; pass USD per hour, such as 2.49/h. It has prices of "
            f"{', '.join(others)}"
        )
    best = _core.cheapest_offer([(each.usd_per_h[terms], each.devices, each.host) for each in known], together)
    return price_of(known[best], terms)


def _has(found: Offer, threads: int | None) -> bool:
    """Return whether an instance has enough threads; it may have only some cores of a CPU."""
    return found.devices >= 1 or (threads is not None and found.vcpus is not None and threads <= found.vcpus)


def _of_offer(found: Offer, terms: str, device: str, threads: int | None) -> Price:
    if found.device != device:
        near = [each.name for each in offers(device=device)[:5]]
        raise PriceError(
            f"{found.name} has {found.device}, not {device}; instances with {device} are {', '.join(near) or 'unknown'}"
        )
    if terms not in found.usd_per_h:
        raise PriceError(f"{found.name} has no {terms!r} price; pass one of {', '.join(found.usd_per_h)}")
    if not _has(found, threads):
        raise PriceError(
            f"{found.name} has {found.vcpus} hardware threads, a part of a {device}, and threads is {threads}; pass "
            f"threads of at most {found.vcpus}"
        )
    return price_of(found, terms)


def price_of(found: Offer, terms: str) -> Price:
    """Return the price of a device hour of an offer, on terms that it has."""
    return Price(
        usd_per_h=found.usd_per_h[terms] / max(1.0, found.devices),
        text=f"{found.name} {terms}" + ("" if found.host else ", without its host"),
        cloud=found.cloud,
        region=found.region,
        dated=found.dated,
        age_months=found.age_months(),
        devices=max(1, int(found.devices)),
        terms=terms,
    )


def _from_file(path: Path) -> Price:
    data = read_toml(path, HardwareFileError)
    region = checked_text(data.pop("region", ""), f"{path}: region", PriceError)
    if set(data) == {"usd_per_h"}:
        usd_per_h = number(data["usd_per_h"], f"{path}: usd_per_h", USD_PER_H, PriceError)
        return Price(usd_per_h=usd_per_h, text=str(path), region=region)
    if not {"usd", "lifetime_years"} <= set(data) <= _OWNED.keys():
        raise PriceError(
            f"{path} has {', '.join(data) or 'nothing'}; expected usd_per_h, or usd and lifetime_years with any of "
            f"{', '.join(sorted({*_OWNED, 'region'} - {'usd', 'lifetime_years'}))}"
        )
    owned = {key: number(value, f"{path}: {key}", _OWNED[key], PriceError) for key, value in data.items()}
    hours = owned["lifetime_years"] * HOURS_PER_YEAR
    return Price(
        usd_per_h=owned["usd"] / owned.get("devices", 1.0) / hours,
        text=f"{path}: bought, {owned['lifetime_years']:g} years",
        terms="purchase",
        usd_per_kwh=owned.get("usd_per_kwh", 0.0),
        pue=owned.get("pue", 1.0),
        region=region,
    )

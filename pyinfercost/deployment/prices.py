"""Parse prices into USD per device-hour: a number, an instance, terms, or an owned machine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from ..hardware.files import read_toml
from ..results.costs import Price, PriceError
from .offer_catalog import TERMS, Offer, UnknownOfferError, offer, offers

PriceLike: TypeAlias = "Price | float | str | os.PathLike[str] | Mapping[str, Price | float | str | os.PathLike[str]]"
"""A price as `parse_price` accepts it."""

HOURS_PER_YEAR = 8766
JOULES_PER_KWH = 3.6e6
GIVEN = "given"
"""`Price.text` of a price that the caller gave as a number."""
_NUMBER = re.compile(r"\$?\s*([+-]?[0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*(?:usd|\$)?\s*(?:/\s*h(?:our)?)?", re.IGNORECASE)
_OWNED_KEYS = {"usd", "devices", "lifetime_years", "usd_per_kwh", "pue", "region"}


def usd_per_joule(price: Price) -> float:
    """Return what the owner pays per joule of a machine, the data center included; 0 if the price includes it."""
    return price.pue * price.usd_per_kwh / JOULES_PER_KWH


def parse_price(value: PriceLike, device: str, *, threads: int | None = None) -> Price:
    """Parse a price into USD per device-hour.

    Args:
        value: one of

            - a number, or text such as `"2.49/h"`: USD per hour of one device;
            - an instance of the catalogue, `"g6.4xlarge"`, `"aws/p5.48xlarge:spot"`: its price divided by the number of
              its devices, CPUs and memory included;
            - `"on-demand"`, `"spot"` or `"reserved"`: the cheapest offer of the device on these terms;
            - the path of a TOML file with `usd_per_h`, or of an owned machine: `usd` (purchase price), `devices`
              (1), `lifetime_years`, `usd_per_kwh`, `pue` (1);
            - a mapping of device ids to any of these, or a `Price`.
        device: Id of the device.
        threads: Threads of a CPU in use, None for all. An instance that has some cores of a CPU is paid for as a whole
            and cannot run more threads than it has.

    Returns:
        The price, with its source and date.

    Raises:
        PriceError: The value is none of these, or an instance with other devices or too few threads.
        UnknownOfferError: The instance is unknown; the message names the nearest.
    """
    if isinstance(value, Price):
        return value
    if isinstance(value, Mapping):
        if device not in value:
            raise PriceError(f"no price of {device} is given; there are {', '.join(map(str, value))}")
        return parse_price(value[device], device, threads=threads)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Price(float(value), GIVEN)
    if isinstance(value, os.PathLike) or (isinstance(value, str) and value.endswith(".toml")):
        return _from_file(Path(value))
    if not isinstance(value, str):
        raise PriceError(f"a price is a number, text, a mapping or a path; got {type(value).__name__}")
    number = _NUMBER.fullmatch(value.strip())
    if number:
        return Price(float(number[1]), GIVEN)
    if value in TERMS:
        return _cheapest(device, value, threads)
    name, _, terms = value.partition(":")
    return _of_offer(offer(name, device=device), terms or "on-demand", device, threads)


def _cheapest(device: str, terms: str, threads: int | None) -> Price:
    known = [each for each in offers(device=device) if terms in each.usd_per_h and _has(each, threads)]
    if not known:
        others = sorted({each.device for each in offers()})
        raise UnknownOfferError(
            f"no {terms} price of {device} is in the catalogue; give one of your own, such as 2.49/h. There are prices "
            f"of {', '.join(others)}"
        )
    cheapest = min(known, key=lambda each: each.usd_per_h[terms] / max(1.0, each.devices))
    return _of_offer(cheapest, terms, device, threads)


def _has(found: Offer, threads: int | None) -> bool:
    """Return whether an instance has enough threads; it may have only some cores of a device."""
    return found.devices >= 1 or (threads is not None and found.vcpus is not None and threads <= found.vcpus)


def _of_offer(found: Offer, terms: str, device: str, threads: int | None) -> Price:
    if found.device != device:
        near = [each.name for each in offers(device=device)[:5]]
        raise PriceError(
            f"{found.name} has {found.device}, not {device}; instances with {device}: {', '.join(near) or 'none known'}"
        )
    if terms not in found.usd_per_h:
        raise PriceError(f"{found.name} has no {terms!r} price; it has {', '.join(found.usd_per_h)}")
    if not _has(found, threads):
        raise PriceError(
            f"{found.name} has {found.vcpus} hardware threads of a {device}, not all of it; give threads, at most "
            f"{found.vcpus} (got {threads})"
        )
    return Price(
        usd_per_h=found.usd_per_h[terms] / max(1.0, found.devices),
        text=f"{found.name} {terms}",
        cloud=found.cloud,
        region=found.region,
        dated=found.dated,
        age_months=found.age_months(),
    )


def _from_file(path: Path) -> Price:
    data = read_toml(path)
    numbers = {key: value for key, value in data.items() if key != "region"}
    wrong = [key for key, value in numbers.items() if isinstance(value, bool) or not isinstance(value, (int, float))]
    if wrong:
        raise PriceError(f"{path}: {', '.join(wrong)} must be numbers")
    if set(data) <= {"usd_per_h", "region"} and "usd_per_h" in data:
        return Price(float(data["usd_per_h"]), str(path), region=str(data.get("region", "")))
    if not {"usd", "lifetime_years"} <= set(data) <= _OWNED_KEYS:
        raise PriceError(
            f"{path} has {', '.join(data) or 'nothing'}; expected usd_per_h, or usd and lifetime_years with any of "
            f"{', '.join(sorted(_OWNED_KEYS - {'usd', 'lifetime_years'}))}"
        )
    years, devices = float(data["lifetime_years"]), float(data.get("devices", 1))
    if not (years > 0 and devices > 0):
        raise PriceError(f"{path}: lifetime_years is {years} and devices {devices}; expected more than zero")
    return Price(
        usd_per_h=float(data["usd"]) / devices / (years * HOURS_PER_YEAR),
        text=f"{path}: bought, {years:g} years",
        usd_per_kwh=float(data.get("usd_per_kwh", 0.0)),
        pue=float(data.get("pue", 1.0)),
        region=str(data.get("region", "")),
    )

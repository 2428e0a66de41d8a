"""Machines of the catalog with all that costs depend on, for pages that estimate a model on each of them."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from .. import _cache
from ..deployment import Deployment
from ..deployment.places import WORLD, place, place_of_price
from ..deployment.prices import PRICES, price_of, rentable
from ..errors import InputError
from ..hardware import load, names
from ..hardware.machines import load_catalog, versions
from ..inputs.price import ON_DEMAND
from ..inputs.price import TERMS as TERMS_OF_OFFERS
from ..results.exploration import KnownMachine, KnownOffer, MachineCatalog
from .derived_costs import TERMS

if TYPE_CHECKING:
    from .._core import Hardware
    from ..inputs.price import Price


def machine_catalog(on: Deployment | None = None) -> MachineCatalog:
    """Return the catalog, whose machines are loaded when they are first asked for.

    Args:
        on: A deployment whose transfer and startup the numbers of all machines are for, and whether it is sustained.
    """
    version = _cache.digest(
        versions(),
        _cache.of_files(str(PRICES.parent), ".toml"),
        _cache.of_package("deployment", "predict"),
        None if on is None else (on.transfer, on.startup, on.sustained),
    )
    return MachineCatalog(version, lambda: tuple(_known(machine, on) for machine in load_catalog(_is_sustained(on))))


def machine_of(on: Deployment) -> KnownMachine:
    """Return the machine of a deployment, at its own price, or at the price of the catalog if it has none."""
    price = on.device_price
    if price is None:
        return _known(on.machine, on)
    asked = _asked_price(on, price)
    if asked in TERMS_OF_OFFERS:
        threads = None if on.threads is None else on.threads * on.instances
        offers = _offers(on.machine, asked, threads)
    else:
        offers = (_given_offer(price),)
    return KnownMachine(on.machine, _numbers(on), offers, asked)


def is_cataloged(on: Deployment) -> bool:
    """Return whether the machine of a deployment, its price and other terms of its costs are equal to the catalog's."""
    machine = on.machine
    if machine.id not in names() or on.instances != 1:
        return False
    own = _known(load(machine.id, sustained=_is_sustained(on)), on)
    mine = machine_of(on)
    return own.machine.to_json() == machine.to_json() and (own.offers, own.price) == (mine.offers, mine.price)


def _is_sustained(on: Deployment | None) -> bool:
    return on is not None and bool(on.sustained)


def _known(machine: Hardware, on: Deployment | None) -> KnownMachine:
    """Return a machine at the prices of the catalog, if that has some."""
    transfer, startup = (None, None) if on is None else (on.transfer, on.startup)
    at = Deployment(hardware=machine, transfer=transfer, startup=startup)
    return KnownMachine(machine, _numbers(at), _offers(machine, ON_DEMAND, None), ON_DEMAND)


def _asked_price(on: Deployment, price: Price) -> str:
    """Return how the command line is told the price of a deployment."""
    asked: Any = on.price
    while isinstance(asked, Mapping):  # by machine
        asked = asked[on.machine.id]
    return fspath(asked) if isinstance(asked, (str, PathLike)) else str(price.argument)


def _offers(machine: Hardware, terms: str, threads: int | None) -> tuple[KnownOffer, ...]:
    """Return the offers of a machine, of those with equally many devices the cheapest: no other is ever chosen."""
    found: dict[tuple[float, bool], KnownOffer] = {}
    for each in rentable(machine.id, terms, threads):
        usd_per_h, kind = each.usd_per_h[terms], (each.devices, each.host)
        if kind not in found or usd_per_h < found[kind].usd_per_h:
            found[kind] = _offer(price_of(each, terms), usd_per_h, each.devices, has_host=each.host)
    return tuple(found.values())


def _given_offer(price: Price) -> KnownOffer:
    return _offer(price, price.usd_per_h * price.devices, price.devices, has_host=True)


def _offer(price: Price, usd_per_h: float, devices: float, *, has_host: bool) -> KnownOffer:
    at = place_of_price(price)
    pue = place(WORLD, cloud=price.cloud).pue if price.cloud else nan if at is None else at.pue
    return KnownOffer(
        usd_per_h, devices, has_host, price.text, price.cloud, nan if at is None else at.grid_g_per_kwh, pue
    )


def _numbers(on: Deployment) -> dict[str, float]:
    return {name: _or_nan(term.of, on) for name, term in TERMS.items()}


def _or_nan(of: Any, on: Deployment) -> float:
    try:
        return float(of(on))
    except InputError:  # the machine's file does not say it
        return nan

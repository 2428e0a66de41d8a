"""Machines of the catalog with all that costs depend on, for pages that estimate a model on each of them."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

from .. import _cache
from ..deployment import Deployment
from ..deployment.prices import PRICES, UnpricedError
from ..errors import InputError
from ..hardware import load, names
from ..hardware.machines import load_catalog, versions
from ..results.exploration import KnownMachine, MachineCatalog
from .derived_costs import TERMS

if TYPE_CHECKING:
    from .._core import Hardware


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
    """Return the machine of a deployment, at its own price, or at that of the catalog if it has none."""
    return _priced(on) if on.price is not None else _known(on.machine, on)


def is_cataloged(on: Deployment) -> bool:
    """Return whether the machine of a deployment, its price and what else its costs need are those of the catalog."""
    machine = on.machine
    if machine.id not in names() or on.instances != 1:
        return False
    own = _known(load(machine.id, sustained=_is_sustained(on)), on)
    mine = machine_of(on)
    return own.machine.to_json() == machine.to_json() and (own.usd_per_h, own.price) == (mine.usd_per_h, mine.price)


def _is_sustained(on: Deployment | None) -> bool:
    return on is not None and bool(on.sustained)


def _known(machine: Hardware, on: Deployment | None) -> KnownMachine:
    """Return a machine at the price of the catalog, if that has one."""
    transfer, startup = (None, None) if on is None else (on.transfer, on.startup)
    at = Deployment(hardware=machine, transfer=transfer, startup=startup)
    try:
        return _priced(at.replace(price="on-demand"))
    except UnpricedError:
        return _priced(at)


def _priced(on: Deployment) -> KnownMachine:
    known = on.device_price
    terms = {name: _or_nan(term.of, on) for name, term in TERMS.items()}
    return KnownMachine(
        on.machine, terms, None if known is None else known.usd_per_h, "" if known is None else known.text
    )


def _or_nan(of: Any, on: Deployment) -> float:
    try:
        return float(of(on))
    except InputError:  # the machine's file does not say it
        return nan

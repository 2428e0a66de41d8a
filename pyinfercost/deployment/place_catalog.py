"""Where machines stand: the carbon of the grid, and the energy of a data centre beyond its machines."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import Any

from ..hardware.schema import read_toml
from ..results.costs import Place
from .costs import JOULES_PER_KWH

PLACES = Path(__file__).parent / "places.toml"
INDUSTRY = "industry"
_COUNTRIES_OF_REGIONS = {"us": "usa", "fin": "fin", "eu": "", "india": "ind"}  # as clouds name them


class UnknownPlaceError(ValueError):
    """No such place is known; the message names the nearest."""


def carbon_g(place: Place, energy_j: float) -> float:
    """Return the grams of CO2 equivalent for joules that a machine draws at a place.

    Args:
        place: where the machine is.
        energy_j: joules of the machine alone; the data center's overhead (`pue`) is added here.
    """
    return energy_j / JOULES_PER_KWH * place.pue * place.grid_g_per_kwh


@cache
def _data() -> dict[str, Any]:
    return read_toml(PLACES)


def place(name: str, *, cloud: str = "", pue: float | None = None) -> Place:
    """A place by name.

    Args:
        name: as of `Place`; `"world"` is the mean of all grids.
        cloud: whose data centre it is, where the name does not say.
        pue: of the data centre; by default what its cloud publishes, else the industry's mean.

    Raises:
        UnknownPlaceError: no such place is known.
    """
    named, slash, region = name.lower().rpartition("/")
    grids = _data()["grid"]
    table = grids.get(named) if slash else grids["countries"]
    if table is None or region not in table["g_per_kwh"]:
        known = places()
        near = difflib.get_close_matches(name.lower(), known, n=5, cutoff=0.5)
        raise UnknownPlaceError(
            f"the grid of {name!r} is not known; "
            + (f"the nearest are {', '.join(near)}; " if near else "")
            + "expected a country's ISO code such as deu, world, or a cloud and its region such as gcp/us-central1"
        )
    published = _data()["pue"]
    factor = published["clouds"].get(cloud or named, published["clouds"][INDUSTRY]) if pue is None else pue
    return Place(
        name=name.lower(),
        grid_g_per_kwh=float(table["g_per_kwh"][region]),
        pue=float(factor),
        source=f"grid: {table['source']}" + (f"; PUE: {published['source']}" if pue is None else "; PUE: given"),
        dated=table["date"],
    )


def places() -> list[str]:
    """The names of all places that are known."""
    grids = _data()["grid"]
    return sorted(
        name if table == "countries" else f"{table}/{name}"
        for table, values in grids.items()
        for name in values["g_per_kwh"]
    )


def place_of(cloud: str, region: str) -> Place | None:
    """Where a rented machine stands, as far as its cloud's name for the region says; None where it does not.

    A region that no cloud gives a grid of is taken to be its country's where its name begins with that.
    """
    for name in (f"{cloud}/{region}", _COUNTRIES_OF_REGIONS.get(region.lower().partition("-")[0], "")):
        if name in places():
            return place(name, cloud=cloud)
    return None

"""Places: carbon intensity of the grid, and energy overhead of the data center (`places.toml`)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .._checks import shown, text
from .._toml import read_toml
from ..errors import InputError
from ..inputs.place import Place
from ..inputs.price import Price

PLACES = Path(__file__).parent / "places.toml"
INDUSTRY = "industry"
WORLD = "world"
_COUNTRIES_OF_REGIONS = {"us": "usa", "fin": "fin", "eu": "", "india": "ind"}  # by the first part of a region's name


class UnknownPlaceError(InputError):
    """An unknown place; the message names the nearest."""


@cache
def _data() -> dict[str, Any]:
    return read_toml(PLACES)


def place(name: str, *, cloud: str = "", pue: float | None = None) -> Place:
    """Return a place by name.

    Args:
        name: A country's ISO code (`"deu"`), a part of a country (`"usa-virginia"`), or a cloud and its region
            (`"gcp/us-central1"`), which has the value of its grid; `"world"` is the mean of all grids.
        cloud: The cloud that runs the data center, if it is not part of the name.
        pue: Power usage effectiveness of the data center; by default the value that its cloud publishes, else the mean
            of the industry.

    Returns:
        The place, with its sources.

    Raises:
        UnknownPlaceError: The place is unknown.
    """
    grid = _grids().get(text(name, "region", UnknownPlaceError).lower())
    if grid is None:
        near = difflib.get_close_matches(name.lower(), known_places(), n=5, cutoff=0.5)
        raise UnknownPlaceError(
            f"the grid of {shown(name)} is not known; "
            + (f"the nearest are {', '.join(near)}; " if near else "")
            + "expected a country's ISO code such as deu, world, or a cloud and its region such as gcp/us-central1"
        )
    named = name.lower().rpartition("/")[0]
    table = _table_of(grid)
    published = _data()["pue"]
    factor = published["clouds"].get(cloud or named, published["clouds"][INDUSTRY]) if pue is None else pue
    return Place(
        name=name.lower(),
        grid_g_per_kwh=float(table["g_per_kwh"][grid]),
        pue=float(factor),
        source=f"grid: {table['source']}" + (f"; PUE: {published['source']}" if pue is None else "; PUE: given"),
        dated=table["date"],
    )


def known_places() -> list[str]:
    """Return the names of all known places."""
    return sorted(_grids())


def cloud_place(cloud: str, region: str) -> Place | None:
    """Return the place of a rented machine by its cloud's name of the region; None if it is unknown.

    The place of a region without a published grid is its country, if the region's name begins with a known code.
    """
    for name in (f"{cloud}/{region}", _COUNTRIES_OF_REGIONS.get(region.lower().partition("-")[0], "")):
        if name in _grids():
            return place(name, cloud=cloud)
    return None


def place_of_price(price: Price) -> Place | None:
    """Return the place that a price is of; None if it is unknown.

    Raises:
        UnknownPlaceError: The price names a region that is unknown, and no cloud.
    """
    if not price.region:
        return None
    return cloud_place(price.cloud, price.region) if price.cloud else place(price.region, pue=price.pue)


@cache
def _grids() -> dict[str, str]:
    """Return the grid of each place."""
    data = _data()
    named = {name: name for table in data["grid"].values() for name in table["g_per_kwh"]}
    regions = {f"{cloud}/{name}": grid for cloud, table in data["regions"].items() for name, grid in table.items()}
    return named | regions


def _table_of(grid: str) -> Mapping[str, Any]:
    """Return the table that has the value of a grid, with its source and date."""
    tables: Mapping[str, Mapping[str, Any]] = _data()["grid"]
    return next(table for table in tables.values() if grid in table["g_per_kwh"])

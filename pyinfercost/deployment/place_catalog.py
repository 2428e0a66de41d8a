"""The catalogue of places: carbon intensity of the grid, and energy overhead of the data center."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import Any

from ..hardware.files import read_toml
from ..results.costs import Place

PLACES = Path(__file__).parent / "places.toml"
INDUSTRY = "industry"
_COUNTRIES_OF_REGIONS = {"us": "usa", "fin": "fin", "eu": "", "india": "ind"}  # as clouds name them


class UnknownPlaceError(ValueError):
    """An unknown place; the message names the nearest."""


@cache
def _data() -> dict[str, Any]:
    return read_toml(PLACES)


def place(name: str, *, cloud: str = "", pue: float | None = None) -> Place:
    """Return a place by name.

    Args:
        name: A country's ISO code (`"deu"`), or a cloud and its region (`"gcp/us-central1"`); `"world"` is the mean of
            all grids.
        cloud: The cloud that runs the data center, if the name does not say.
        pue: Power usage effectiveness of the data center; by default the figure that its cloud publishes, else the
            mean of the industry.

    Returns:
        The place, with its sources.

    Raises:
        UnknownPlaceError: The place is unknown.
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
    """Return the names of all known places."""
    grids = _data()["grid"]
    return sorted(
        name if table == "countries" else f"{table}/{name}"
        for table, values in grids.items()
        for name in values["g_per_kwh"]
    )


def cloud_place(cloud: str, region: str) -> Place | None:
    """Return the place of a rented machine by its cloud's name of the region; None if it is unknown.

    A region whose cloud publishes no grid is taken as its country, if its name begins with that.
    """
    for name in (f"{cloud}/{region}", _COUNTRIES_OF_REGIONS.get(region.lower().partition("-")[0], "")):
        if name in places():
            return place(name, cloud=cloud)
    return None

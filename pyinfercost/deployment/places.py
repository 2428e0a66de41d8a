"""Where machines stand: the carbon of the grid, and the energy of a data centre beyond its machines."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..hardware.schema import read_toml

PLACES = Path(__file__).parent / "places.toml"
INDUSTRY = "industry"
_COUNTRIES_OF_REGIONS = {"us": "usa", "fin": "fin", "eu": "", "india": "ind"}  # as clouds name them


class UnknownPlaceError(ValueError):
    """No such place is known; the message names the nearest."""


@dataclass(frozen=True)
class Place:
    """A place for machines.

    Attributes:
        name: a country's ISO code (`"deu"`), or a cloud and its region (`"gcp/us-central1"`).
        grid_g_per_kwh: grams of CO2 equivalent for a kWh from the grid.
        pue: energy of the data centre over that of its machines (power usage effectiveness).
        source: of both.
        dated: year of both.
    """

    name: str
    grid_g_per_kwh: float
    pue: float
    source: str
    dated: str

    def carbon_g(self, energy_j: float) -> float:
        """Grams of CO2 equivalent for joules that a machine draws."""
        return energy_j / 3.6e6 * self.pue * self.grid_g_per_kwh


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

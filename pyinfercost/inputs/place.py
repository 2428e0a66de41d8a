"""The place of a machine."""

from __future__ import annotations

from .._checks import Range
from .price import PUE
from .settings import Settings, label, number


class Place(Settings):
    """Location of a machine, with its grid and data center."""

    kind = "the place"

    name: str = label('ISO code of a country (`"deu"`), or a cloud and its region (`"gcp/us-central1"`).')
    grid_g_per_kwh: float = number(
        Range(1e-3, 1e5, "grams per kWh", zero=True), "Grams of CO2 equivalent per kWh from the grid."
    )
    pue: float = number(PUE, "Power usage effectiveness: energy of the data center over energy of its machines.")
    source: str = label("Source of both figures.")
    dated: str = label("Year of both figures.")

"""The place of a machine."""

from __future__ import annotations

from .._checks import Range, number
from .._records import dataclass
from .price import PUE

_GRID_G_PER_KWH = Range(1e-3, 1e5, "grams per kWh", zero=True)


@dataclass(frozen=True)
class Place:
    """Location of a machine, with its grid and data center.

    Attributes:
        name: ISO code of a country (`"deu"`), or a cloud and its region (`"gcp/us-central1"`).
        grid_g_per_kwh: Grams of CO2 equivalent per kWh from the grid.
        pue: Power usage effectiveness: energy of the data center over energy of its machines.
        source: Source of both figures.
        dated: Year of both figures.
    """

    name: str
    grid_g_per_kwh: float
    pue: float
    source: str
    dated: str

    def __post_init__(self) -> None:
        number(self.grid_g_per_kwh, "grid_g_per_kwh", _GRID_G_PER_KWH)
        number(self.pue, "pue", PUE)

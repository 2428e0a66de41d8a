"""Explorations: a model with all that a page needs to estimate it at any point by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._records import dataclass
from .result import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._core import Graph, Hardware
    from .profile import Profile


@dataclass(frozen=True)
class Phase:
    """One forward of a model; of a language model, the prefill or a decode step.

    Attributes:
        name: `"forward"`, `"prefill"` or `"decode"`.
        profile: Its profile at the point at which the exploration begins.
        formats: Format of the weights -> the graph in it; `""` is the graph as it was captured.
    """

    name: str
    profile: Profile
    formats: Mapping[str, Graph]


@dataclass(frozen=True)
class KnownOffer:
    """An offer to rent a machine.

    Attributes:
        usd_per_h: Price of an hour of all devices of the instance.
        devices: Number of its devices; less than one if some cores of a CPU are rented.
        has_host: Whether the price includes the host.
        text: The price and its source in words.
        cloud: The cloud that rents it; empty where a price is given in another way.
        grid_g_per_kwh: Grams of CO2 of a kWh of the grid there; `nan` if its place is unknown.
        pue: Power usage effectiveness of the data center; `nan` if it is unknown.
    """

    usd_per_h: float
    devices: float
    has_host: bool
    text: str
    cloud: str
    grid_g_per_kwh: float
    pue: float


@dataclass(frozen=True)
class KnownMachine:
    """A machine of the catalog with what its costs depend on.

    Attributes:
        machine: The machine.
        terms: Numbers of a deployment on one device, by their names in `predict.derived_costs.TERMS`; of unknown ones
            `nan`.
        offers: Offers to rent it, of which a deployment takes the cheapest; empty if no price is known.
        price: How the command line is told this price: `"on-demand"`, or what else `parse_price` accepts.
    """

    machine: Hardware
    terms: Mapping[str, float]
    offers: tuple[KnownOffer, ...]
    price: str


class MachineCatalog:
    """The machines of the catalog, which are loaded when they are first asked for.

    Attributes:
        version: Digest of all that they depend on: what is made of them can be kept under it.
    """

    def __init__(self, version: str, load: Callable[[], tuple[KnownMachine, ...]]) -> None:
        self.version = version
        self._load = load
        self._machines: tuple[KnownMachine, ...] | None = None

    @property
    def machines(self) -> tuple[KnownMachine, ...]:
        """The machines, sorted by their ids."""
        if self._machines is None:
            self._machines = self._load()
        return self._machines


@dataclass(frozen=True, repr=False)
class Exploration(Result):
    """A model with all that one page needs to estimate it at any point: `to_html()` writes the page.

    Attributes:
        model: Name of the model.
        phases: Its forwards; the page begins with the last one. Without any, it asks for the file of a model.
        catalog: Machines of the catalog.
        own: The machine of the profiles, with the numbers of their deployment; None if they have none.
        is_cataloged: Whether that is what the catalog has under its id.
        fixed: What keeps the page from estimating other points, in words; empty if nothing does.
        engines: Engine -> its executions, the first of which is its own; those that run this model.
        precisions: Dtypes to run in.
        places: Place -> grams of CO2 of a kWh of its grid, and power usage effectiveness of a data center there.
        recorded_graphs: Engine and execution -> graphs that it records when it starts; `nan` if that is unknown.
        positions: Most tokens of a sequence that the config of the model states; None if it states none.
        command: Command or call that made it.
    """

    model: str
    phases: tuple[Phase, ...]
    catalog: MachineCatalog
    own: KnownMachine | None
    is_cataloged: bool
    fixed: str
    engines: Mapping[str, tuple[str, ...]]
    precisions: tuple[str, ...]
    places: Mapping[str, tuple[float, float]]
    recorded_graphs: Mapping[tuple[str, str], float]
    positions: int | None = None
    command: str = ""

    @property
    def profile(self) -> Profile | None:
        """The profile at the point at which the page begins; None without a model."""
        return self.phases[-1].profile if self.phases else None

    def __repr__(self) -> str:
        return f"<Exploration {self.model}: {', '.join(phase.name for phase in self.phases)}>"

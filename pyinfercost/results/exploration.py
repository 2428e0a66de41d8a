"""Explorations: a model with all that a page needs to estimate it at any point by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._records import dataclass
from .result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Graph, Hardware
    from .profile import Profile


@dataclass(frozen=True)
class Phase:
    """One forward of a model: that of most models, the prefill or a decode step of a language model.

    Attributes:
        name: `"forward"`, `"prefill"` or `"decode"`.
        profile: Its profile at the point at which the exploration begins.
        formats: Format of the weights -> the graph in it; `""` is the graph as it was captured.
    """

    name: str
    profile: Profile
    formats: Mapping[str, Graph]


@dataclass(frozen=True)
class KnownMachine:
    """A machine of the catalog with what its costs depend on.

    Attributes:
        machine: The machine.
        terms: Numbers of a deployment on one device, by their names in `predict.derived_costs.TERMS`; of unknown ones
            `nan`.
        usd_per_h: Price of a device hour; None if none is known.
        price: The price and its source in words.
    """

    machine: Hardware
    terms: Mapping[str, float]
    usd_per_h: float | None
    price: str


@dataclass(frozen=True, repr=False)
class Exploration(Result):
    """A model with all that one page needs to estimate it at any point: `to_html()` writes the page.

    Attributes:
        model: Name of the model.
        phases: Its forwards; the page begins with the last one. Without any, it asks for the file of a model.
        machines: Machines of the catalog, and that of the profiles.
        engines: Engine -> its executions, the first of which is its own; those that run this model.
        precisions: Dtypes to run in.
        places: Place -> grams of CO2 of a kWh of its grid, and power usage effectiveness of a data center there.
        recorded_graphs: Engine and execution -> graphs that it records when it starts; `nan` if that is unknown.
        command: Command or call that made it.
    """

    model: str
    phases: tuple[Phase, ...]
    machines: tuple[KnownMachine, ...]
    engines: Mapping[str, tuple[str, ...]]
    precisions: tuple[str, ...]
    places: Mapping[str, tuple[float, float]]
    recorded_graphs: Mapping[tuple[str, str], float]
    command: str = ""

    @property
    def profile(self) -> Profile | None:
        """The profile at the point at which the page begins; None without a model."""
        return self.phases[-1].profile if self.phases else None

    def __repr__(self) -> str:
        return f"<Exploration {self.model}: {', '.join(phase.name for phase in self.phases)}>"

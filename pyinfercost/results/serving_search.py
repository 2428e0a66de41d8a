"""Result type: deployments that were searched for one that serves a workload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..report.render import render
from .declared import declared, fact
from .result import Result
from .serving_result import ServedTokens

if TYPE_CHECKING:
    from .serving_result import ServingResult

GOALS = ("replicas", "rate", "layout", "cheapest")
"""Goals of a search: the fewest replicas, the highest rate, the layout of the fewest devices, the least cost."""


@declared(after="usd_per_h")
class ServingCandidate(ServedTokens):
    """One deployment of a search."""

    hardware: str = fact("Id of the machine.")
    engine: str = fact("The engine.")
    precision: str = fact("Precision of products.")
    layout: str = fact("How all replicas lie on the devices, as text: `data` counts them where they share instances.")
    replicas: int = fact("Copies of the searched layout that are needed; 0 for a deployment that is out.", default=0)
    devices: int = fact("Devices of all replicas.", default=0)
    paid_devices: int = fact("Devices that are paid for, with unused ones of their instances.", default=0)
    rate_per_s: float | None = fact(
        "Requests per second that it serves within the objective; None for a closed loop.", default=None
    )
    usd_per_h: float | None = fact("Price of an hour; None without a price.", default=None)
    slo_values: Mapping[str, float] = fact(
        "Condition of the objective -> its value in the simulation, in seconds.", row=True
    )
    reason: str = fact("Why it is out, or why it was not simulated; empty if it serves the workload.", default="")


@declared
class ServingSearch(Result):
    """Deployments that serve a workload within an objective, the best one first."""

    document_key = "search"

    model: str = fact("Name of the model.")
    goal: str = fact("What was searched, one of `GOALS`.")
    slo: str = fact("The objective, as text.")
    requests: int = fact("Requests of each simulation.")
    simulations: int = fact("Number of simulations.")
    found: tuple[ServingCandidate, ...] = fact("Deployments that serve the workload, best first.")
    out: tuple[ServingCandidate, ...] = fact("Others, with the reason.")
    result: ServingResult | None = fact("The simulation of the best one, with bands; None if none was found.")
    interrupted: bool = fact("Whether Ctrl-C ended the search: there may be better ones.")

    @property
    def best(self) -> ServingCandidate | None:
        """The best deployment; None if none serves the workload."""
        return self.found[0] if self.found else None

    def __repr__(self) -> str:
        line: Any = render(self, "line")
        return f"<ServingSearch {line}>"

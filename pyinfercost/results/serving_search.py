"""Result type: deployments that were searched for one that serves a workload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..report.render import render
from .result import Result

if TYPE_CHECKING:
    from .serving_result import ServingResult

GOALS = ("replicas", "rate", "layout", "cheapest")
"""What is searched: the fewest replicas, the highest rate, the layout of the fewest devices, the least cost."""

COLUMNS = (
    "rank",
    "hardware",
    "engine",
    "precision",
    "layout",
    "replicas",
    "devices",
    "paid_devices",
    "rate_per_s",
    "usd_per_h",
    "usd_per_million_tokens",
    "slo_values",
    "reason",
)
"""Facts of each deployment, in report order."""


@dataclass(frozen=True, kw_only=True)
class ServingCandidate:
    """One deployment of a search.

    Attributes:
        hardware: Id of the machine.
        engine: The engine.
        precision: Precision of products.
        layout: How all replicas lie on the devices, as text: `data` counts them where they share instances.
        replicas: Copies of the searched layout that are needed; 0 for a deployment that is out.
        devices: Devices of all replicas.
        paid_devices: Devices that are paid for, with unused ones of their instances.
        rate_per_s: Requests per second that it serves within the objective; None for a closed loop.
        usd_per_h: Price of an hour; None without a price.
        usd_per_million_tokens: USD for 10^6 generated tokens; None without a price.
        slo_values: Condition of the objective -> its value in the simulation, in seconds.
        reason: Why it is out, or why it was not simulated; empty if it serves the workload.
    """

    hardware: str
    engine: str
    precision: str
    layout: str
    replicas: int = 0
    devices: int = 0
    paid_devices: int = 0
    rate_per_s: float | None = None
    usd_per_h: float | None = None
    usd_per_million_tokens: float | None = None
    slo_values: Mapping[str, float]
    reason: str = ""


@dataclass(frozen=True, repr=False, kw_only=True)
class ServingSearch(Result):
    """Deployments that serve a workload within an objective, the best one first.

    Attributes:
        model: Name of the model.
        goal: What was searched, one of `GOALS`.
        slo: The objective, as text.
        requests: Requests of each simulation.
        simulations: Number of simulations.
        found: Deployments that serve the workload, best first.
        out: Others, with the reason.
        result: The simulation of the best one, with bands; None if none was found.
        interrupted: Whether Ctrl-C ended the search: there may be better ones.
    """

    model: str
    goal: str
    slo: str
    requests: int
    simulations: int
    found: tuple[ServingCandidate, ...]
    out: tuple[ServingCandidate, ...]
    result: ServingResult | None
    interrupted: bool

    @property
    def best(self) -> ServingCandidate | None:
        """The best deployment; None if none serves the workload."""
        return self.found[0] if self.found else None

    def __repr__(self) -> str:
        line: Any = render(self, "line")
        return f"<ServingSearch {line}>"

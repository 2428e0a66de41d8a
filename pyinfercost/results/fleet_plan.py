"""Result type: the cheapest fleet that was found for some traffic, and its figures on traffic that follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..report.render import render
from .declared import declared, fact
from .result import Result

if TYPE_CHECKING:
    from .fleet_result import FleetResult

STAGES = ("bound", "part", "all")
"""How far a choice was followed: its bound, the busiest part of the traffic, or all of it."""


@declared
class PlanChoice:
    """One fleet that was considered."""

    deployment: str = fact("Its deployments in words: those that are always there first.")
    policy: str = fact("Its autoscalers as texts.")
    committed: int = fact("Replicas that are paid all the time.")
    stage: str = fact("How far it was followed, of `STAGES`.")
    usd_per_month: float = fact(
        'Its cost; of the part of the traffic if `stage` is `"part"`, and a lower bound for `"bound"`.'
    )
    late_share: float | None = fact('Share of late requests; None for `"bound"`.')
    slo_values: Mapping[str, float] = fact("Condition of the objective -> its value, in seconds.", row=True)
    slo_met: bool | None = fact('Whether it meets the objective; None for `"bound"`.')
    peak_replicas: int = fact('Most replicas at a time; 0 for `"bound"`.')
    idle_share: float = fact("Share of the paid time without requests.")


@declared
class FleetPlan(Result):
    """A plan: the cheapest fleet that meets an objective, among deployments, autoscalers and mixes of both."""

    document_key = "plan"

    model: str = fact("Name of the model.")
    traffic: str = fact("The traffic that was planned for, in words.")
    slo: str = fact("The objective.")
    choices: tuple[PlanChoice, ...] = fact(
        "What was considered: fleets that hold by their cost, then those that miss, then what was out by bounds."
    )
    best: FleetResult | None = fact(
        "The cheapest fleet that meets the objective, simulated on all of the traffic; None if none does."
    )
    verified: FleetResult | None = fact(
        "The same fleet on traffic that it was not planned on; None without such traffic."
    )
    deployments: int = fact("Number of deployments.")
    policies: int = fact("Number of autoscalers.")
    simulations: int = fact("Simulations of the search.")
    requests: int = fact("Requests of all of them.")
    out: Mapping[str, str] = fact("Deployment -> why it cannot serve the model.")
    interrupted: bool = fact("Whether Ctrl-C ended the search.", default=False)

    def __repr__(self) -> str:
        """One line."""
        line: str = render(self, "line")
        return line

"""Result type: the cheapest fleet that was found for some traffic, and what it does on traffic that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..report.render import render
from .result import Result

if TYPE_CHECKING:
    from .fleet_result import FleetResult

STAGES = ("bound", "part", "all")
"""How far a choice was followed: its bound, the busiest part of the traffic, or all of it."""


@dataclass(frozen=True, kw_only=True)
class PlanChoice:
    """One fleet that was considered.

    Attributes:
        deployment: Its deployments in words: those that are always there first.
        policy: Its autoscalers as texts.
        committed: Replicas that are paid all the time.
        stage: How far it was followed, of `STAGES`.
        usd_per_month: Its cost, of the part of the traffic if `stage` is `"part"`, and what it costs at least if it is
            `"bound"`.
        late_share: Share of late requests; None for `"bound"`.
        slo_values: Condition of the objective -> its value, in seconds.
        slo_met: Whether it holds the objective; None for `"bound"`.
        peak_replicas: Most replicas at a time; 0 for `"bound"`.
        idle_share: Share of the paid time without requests.
    """

    deployment: str
    policy: str
    committed: int
    stage: str
    usd_per_month: float
    late_share: float | None
    slo_values: Mapping[str, float]
    slo_met: bool | None
    peak_replicas: int
    idle_share: float


@dataclass(frozen=True, repr=False, kw_only=True)
class FleetPlan(Result):
    """A plan: the cheapest fleet that holds an objective, among deployments, autoscalers and mixes of both.

    Attributes:
        model: Name of the model.
        traffic: The traffic that was planned for, in words.
        slo: The objective.
        choices: What was considered: fleets that hold by their cost, then those that miss, then what was out by bounds.
        best: The cheapest fleet that holds, simulated on all of the traffic; None if none does.
        verified: The same fleet on traffic that it was not planned on; None without such traffic.
        deployments: Number of deployments.
        policies: Number of autoscalers.
        simulations: Simulations of the search.
        requests: Requests of all of them.
        out: Deployment -> why it cannot serve the model.
        interrupted: Whether Ctrl-C ended the search.
    """

    model: str
    traffic: str
    slo: str
    choices: tuple[PlanChoice, ...]
    best: FleetResult | None
    verified: FleetResult | None
    deployments: int
    policies: int
    simulations: int
    requests: int
    out: Mapping[str, str]
    interrupted: bool = False

    def __repr__(self) -> str:
        """One line."""
        line: str = render(self, "line")
        return line

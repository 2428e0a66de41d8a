"""Result type: what changed between two fleets, comparisons of fleets or plans, for a pull request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import UnknownNameError
from ..report.render import render
from .fleet_result import FLEET_LATENCIES
from .profile_changes import UNCHANGED, BrokenLimit, Change
from .result import Result

FLEET_FIGURES = (
    "usd_per_month",
    "late_share",
    *(f"{name.removesuffix('_s')}_{each}_s" for name in FLEET_LATENCIES for each in ("p50", "p99")),
    "peak_replicas",
    "mean_replicas",
    "starts",
    "idle_share",
    "usd_per_thousand_requests",
    "usd_per_million_tokens",
    "energy_j_per_month",
    "carbon_g_per_month",
)
"""Figures of a fleet whose changes are stated, the most important one first."""


@dataclass(frozen=True)
class FleetSide:
    """One of the two results.

    Attributes:
        kind: What it is: `"fleet"`, `"comparison"` or `"plan"`.
        model: Name of the model.
        traffic: The traffic in words.
        slo: The objective, as text.
        deployment: Deployment of its best fleet; None if none holds the objective.
        policy: Autoscaler of its best fleet, likewise.
        slo_met: Whether that fleet holds the objective; None without one.
        fleets: Number of fleets.
    """

    kind: str
    model: str
    traffic: str
    slo: str
    deployment: str | None
    policy: str | None
    slo_met: bool | None
    fleets: int


@dataclass(frozen=True)
class FleetChange:
    """A fleet on both sides, or on one of them.

    Attributes:
        deployment: The deployment in words.
        policy: The autoscaler as text.
        committed: Replicas that are paid all the time, of a plan; 0 elsewhere.
        status: `"added"`, `"removed"`, `"changed"`, or `"same"` if no figure differs.
        figures: Change of each figure in `FLEET_FIGURES`.
    """

    deployment: str
    policy: str
    committed: int
    status: str
    figures: Mapping[str, Change]


@dataclass(frozen=True)
class FleetChanges(Result):
    """Differences between two fleets, comparisons or plans: those of the best fleets first.

    Attributes:
        before: The first result.
        after: The second one.
        warnings: Differences of what was simulated, and a side without a fleet that holds.
        best: Figure of `FLEET_FIGURES` -> its change from the best fleet before to the best one after.
        fleets: Fleets of both sides by deployment and policy, in the order of the second side; removed ones last.
        failed: Exceeded limits.
    """

    before: FleetSide
    after: FleetSide
    warnings: tuple[str, ...]
    best: Mapping[str, Change] = field(repr=False)
    fleets: tuple[FleetChange, ...] = field(repr=False)
    failed: tuple[BrokenLimit, ...] = ()

    def __getitem__(self, name: tuple[str, str]) -> FleetChange:
        """Return the change of a fleet by its deployment and its policy.

        Raises:
            UnknownNameError: Neither side has it.
        """
        for each in self.fleets:
            if (each.deployment, each.policy) == name:
                return each
        raise UnknownNameError(f"no fleet {name!r} on either side; expected a deployment and a policy of `fleets`")

    def __repr__(self) -> str:
        """One line."""
        line: str = render(self, "line")
        return line

    @property
    def changed(self) -> bool:
        """Whether any figure differs."""
        return any(change.changed for change in self.best.values()) or any(
            each.status != UNCHANGED for each in self.fleets
        )

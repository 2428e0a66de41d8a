"""Result type: what changed between two fleets, comparisons of fleets or plans, for a pull request."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UnknownNameError
from ..report.render import render
from .bill import Bill
from .declared import declared, derived, fact, titled
from .fleet_result import FLEET_LATENCIES
from .notices import WithWarnings
from .profile_changes import UNCHANGED, BrokenLimit, Change
from .result import Result

OF_BILL = tuple(each.name for each in titled(Bill))
"""Figures of a bill whose changes are stated."""

FLEET_FIGURES = (
    OF_BILL[0],
    "late_share",
    *(f"{name.removesuffix('_s')}_{each}_s" for name in FLEET_LATENCIES for each in ("p50", "p99")),
    "peak_replicas",
    "mean_replicas",
    "starts",
    "idle_share",
    *OF_BILL[1:],
    "energy_j_per_month",
    "carbon_g_per_month",
)
"""Figures of a fleet whose changes are stated, the most important one first."""


@declared
class FleetSide:
    """One of the two results."""

    kind: str = fact('Its kind: `"fleet"`, `"comparison"` or `"plan"`.')
    model: str = fact("Name of the model.")
    traffic: str = fact("The traffic in words.")
    slo: str = fact("The objective, as text.")
    deployment: str | None = fact("Deployment of its best fleet; None if none meets the objective.")
    policy: str | None = fact("Autoscaler of its best fleet, likewise.")
    slo_met: bool | None = fact("Whether that fleet meets the objective; None without one.")
    fleets: int = fact("Number of fleets.")


@declared
class FleetChange:
    """A fleet on both sides, or on one of them."""

    deployment: str = fact("The deployment in words.")
    policy: str = fact("The autoscaler as text.")
    committed: int = fact("Replicas that are paid all the time, of a plan; 0 elsewhere.")
    status: str = fact('`"added"`, `"removed"`, `"changed"`, or `"same"` if no figure differs.')
    figures: Mapping[str, Change] = fact("Change of each figure in `FLEET_FIGURES`.", spread=FLEET_FIGURES)


@declared(after="after")
class FleetChanges(WithWarnings, Result):
    """Differences between two fleets, comparisons or plans, with the best fleets first."""

    document_key = "fleet_changes"

    before: FleetSide = fact("The first result.")
    after: FleetSide = fact("The second one.")
    best: Mapping[str, Change] = fact(
        "Figure of `FLEET_FIGURES` -> its change from the best fleet before to the best one after."
    )
    fleets: tuple[FleetChange, ...] = fact(
        "Fleets of both sides by deployment and policy, in the order of the second side; removed ones last."
    )
    failed: tuple[BrokenLimit, ...] = fact("Exceeded limits.", default=())

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
    @derived(is_figure=False)
    def changed(self) -> bool:
        """Whether any figure differs."""
        return any(change.changed for change in self.best.values()) or any(
            each.status != UNCHANGED for each in self.fleets
        )

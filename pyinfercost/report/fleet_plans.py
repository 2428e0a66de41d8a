"""Renderers of plans of fleets: JSON, rows, and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..results.fleet_plan import PlanChoice
from ..results.units import percent, significant
from .derived import columns_of, ranked_rows
from .fleets import fleet_layout, money, share_text
from .layout import ALARM, GAP, WARNING, Column, Note, Pairs, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results.fleet_plan import FleetPlan
    from ..results.fleet_result import FleetResult
    from .layout import Layout, Part

COLUMNS = ("rank", *columns_of(PlanChoice))
_STAGES = {"all": "all", "part": "busiest part", "bound": "bound"}
_SHOWN, _OUT_SHOWN = 15, 8


def plan_rows(plan: FleetPlan) -> list[dict[str, Any]]:
    """Return one row for each fleet that was considered, those that hold first."""
    holding = [each for each in plan.choices if each.stage == "all" and each.slo_met]
    return ranked_rows(holding, plan.choices[len(holding) :])


def plan_line(plan: FleetPlan) -> str:
    """Return the plan in one line."""
    name = plan.model or "fleet"
    if plan.best is None:
        return f"{name}: none of {plan.deployments} deployments holds {plan.slo}"
    usd = plan.best.usd_per_month or 0.0
    return f"{name}: {plan.best.policy} on {plan.best.deployment}, {money(usd)} USD/month, holds {plan.slo}"


def plan_layout(plan: FleetPlan) -> Layout:
    """Return what was searched, the cheapest fleets, the best one and its verification."""
    holding = [each for each in plan.choices if each.stage == "all" and each.slo_met]
    pairs = [("model", plan.model or "(slots)"), ("traffic", plan.traffic), ("objective", plan.slo)]
    parts: list[Part] = [Pairs([*pairs, ("searched", searched_text(plan))]), GAP]
    if holding:
        parts.append(Table(choice_columns(holding[:_SHOWN])))
        if len(holding) > _SHOWN:
            parts.append(Note(f"{len(holding) - _SHOWN} more hold; --format csv lists all", ""))
    else:
        parts.append(Note(f"No fleet holds {plan.slo}", ALARM))
        parts += [GAP, Table(choice_columns([each for each in plan.choices if each.stage == "all"][:_SHOWN]))]
    if plan.interrupted:
        parts.append(Note("Stopped before all fleets were simulated: there may be cheaper ones", WARNING))
    if plan.best is not None:
        parts += [GAP, verification_note(plan.best, plan.verified)]
        parts += [GAP, Note("The best one, simulated:", ""), *fleet_layout(plan.best)]
    if plan.out:
        parts += [GAP, Note("Out:", ""), Pairs(list(plan.out.items())[:_OUT_SHOWN])]
    return parts


def searched_text(plan: FleetPlan) -> str:
    """Return what was searched in words."""
    bounds = sum(each.stage == "bound" for each in plan.choices)
    searched = f"{plan.deployments} deployments x {plan.policies} autoscalers, {plan.simulations:,} simulations"
    return searched + (f"; {bounds} deployments cost more than the best at full use" if bounds else "")


def verification_columns(best: FleetResult, verified: FleetResult | None) -> list[Column]:
    """Return the best fleet on the traffic that it was planned on, and on the other one."""
    runs = [("planned on", best), *([] if verified is None else [("verified on", verified)])]
    fleets = [each for _, each in runs]
    words = {True: "held", False: "missed", None: ""}
    columns = [
        Column("", "", [name for name, _ in runs], numeric=False),
        Column("traffic", "", [each.traffic for each in fleets], numeric=False, flexible=True),
        Column("cost", "USD/month", ["" if e.usd_per_month is None else money(e.usd_per_month) for e in fleets]),
        Column("SLO", "", [words[each.slo_met] for each in fleets], numeric=False),
        Column("late", "%", [share_text(each.late_share) for each in fleets]),
    ]
    columns += _conditions([each.slo_values for each in fleets])
    return [
        *columns,
        Column("peak", "", [str(each.peak_replicas) for each in fleets]),
        Column("idle", "%", [percent(each.idle_share) for each in fleets]),
    ]


def choice_columns(choices: Sequence[PlanChoice]) -> list[Column]:
    """Return the columns of the table of fleets that were considered."""
    words = {True: "held", False: "missed", None: ""}
    slo = Column("SLO", "", [words[each.slo_met] for each in choices], numeric=False)
    columns = []
    if len({each.deployment for each in choices}) > 1:
        columns.append(Column("deployment", "", [e.deployment for e in choices], numeric=False, flexible=True))
    columns.append(Column("policy", "", [each.policy for each in choices], numeric=False, flexible=True))
    if any(each.committed for each in choices):
        columns.append(Column("committed", "", [str(each.committed) for each in choices], spare=1))
    if any(each.stage != "all" for each in choices):
        columns.append(Column("followed", "", [_STAGES.get(e.stage, e.stage) for e in choices], numeric=False, spare=1))
    columns += [
        Column("cost", "USD/month", [money(each.usd_per_month) for each in choices]),
        *([] if all(each.slo_met for each in choices) else [slo]),
        Column("late", "%", ["" if e.late_share is None else share_text(e.late_share) for e in choices]),
        *_conditions([each.slo_values for each in choices]),
        Column("peak", "", [str(each.peak_replicas) if each.peak_replicas else "" for each in choices]),
        Column("idle", "%", [percent(e.idle_share) if e.stage != "bound" else "" for e in choices]),
    ]
    return columns


def _conditions(values: Sequence[Any]) -> list[Column]:
    """Return a column for each condition of the objective."""
    names = dict.fromkeys(name for each in values for name in each)
    return [Column(n, "s", ["" if n not in e else significant(e[n]) for e in values]) for n in names]


def verification_note(best: FleetResult, verified: FleetResult | None) -> Note:
    """Return whether the best fleet meets the objective on traffic that is not part of the planning."""
    if verified is None:
        return Note("Not verified on other traffic: it has no further day; pass --verify", WARNING)
    held = "holds" if verified.slo_met else "does not hold"
    told = (
        f"On {verified.traffic}, which it was not planned on, it {held}: {share_text(verified.late_share)} % late "
        f"against {share_text(best.late_share)} %, {money(verified.usd_per_month or 0.0)} USD/month"
    )
    return Note(told, "" if verified.slo_met else ALARM)

"""HTML reports of fleets under traffic: one fleet, a comparison of policies and deployments, and a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...results.bill import USES
from ...results.fleet_result import cost_of
from ..fleet_plans import choice_columns, searched_text, verification_columns, verification_note
from ..fleet_series import series_of
from ..fleets import (
    cost_text,
    duration_text,
    energy_text,
    fleet_columns,
    latency_columns,
    money,
    monthly,
    monthly_unit,
    objective_text,
    per_text,
    requests_text,
    share_text,
)
from ..layout import ALARM, Column
from ..render import render
from .charts import Dot, over_time, scatter
from .fleet_parts import (
    bill_panels,
    cards,
    color_of,
    fleet_report,
    notes_panel,
    out_panel,
    over_time_panels,
    replicas_panel,
    uses_of,
)
from .static_page import MINUS, Group, Heading, Legend, Panel, Part, Text, table

if TYPE_CHECKING:
    from ...results.fleet_plan import FleetPlan
    from ...results.fleet_result import FleetComparison, FleetResult

_FEW_POINTS = 120  # of a small curve
_ROWS = 60  # most fleets in tables
_SMALL = 9  # most small charts
_NUMBERED = 30  # most dots with numbers
_DOTS = 1000  # most dots, without the front
_SPARE = 3  # columns with this `spare` or more are left out
_FAR = 4  # times the median of the peaks, and times the cost of the best fleet: shown apart
_POINTS_OF_SHARE = 100
_BEYOND = "\u203a"  # of a dot that lies beyond the axis
_LATE_AGAINST_COST = "Late requests (% of all) against cost"


def _several(number: int, what: str) -> str:
    """Return a number of things: `1 fleet`, `3 fleets`."""
    return f"{number} {what}{'s' * (number != 1)}"


def fleet_page(result: FleetResult) -> str:
    """Return the report of one fleet: one file, which loads nothing."""
    title = f"{result.model or 'Requests'}: {result.policy} on {result.deployment}"
    main = [
        cards(result),
        over_time_panels(result),
        Panel("Times of requests", [table(latency_columns(result))]),
        bill_panels(result),
        replicas_panel("Replicas", result),
        *notes_panel(result.notes),
    ]
    about = [
        ("traffic", result.traffic),
        ("requests", requests_text(result)),
        ("objective", objective_text(result)),
        ("cost", per_text(result)),
        ("energy", energy_text(result)),
    ]
    return fleet_report(title, "What it costs in a month", about, main, render(result, "dict", series=False))


def comparison_page(comparison: FleetComparison) -> str:
    """Return the report of a comparison: one file, which loads nothing."""
    shown = comparison.best or next(iter(comparison.fleets), None)
    subject = comparison.model or "Requests"
    deployments = list(dict.fromkeys(each.deployment for each in comparison.fleets))
    title = f"{subject}: {_several(len(comparison), 'fleet')} of {_several(len(deployments), 'deployment')}"
    about = [("traffic", comparison.traffic)]
    if shown is not None:
        about.append(("requests", f"{shown.requests:,} in {duration_text(shown)}"))
    about.append(("objective", comparison.slo))
    if comparison.interrupted:
        about.append(("stopped", "not all fleets were simulated: there may be better ones"))
    main = [] if shown is None else _compared(comparison, shown)
    main += out_panel(comparison.out)
    kicker = "What it costs in a month, and otherwise"
    return fleet_report(title, kicker, about, main, render(comparison, "dict"))


def _compared(comparison: FleetComparison, shown: FleetResult) -> list[Part]:
    """Return the parts of a comparison that has fleets."""
    which = "The cheapest fleet that holds the objective" if comparison.slo else "The cheapest fleet"
    missed: list[Part] = []
    if comparison.best is None:
        which = "The fleet with the fewest late requests"
        text = f"No fleet holds {comparison.slo}. The one with the fewest late requests is shown."
        missed.append(Panel("", [Text(text)], css="bad"))
    return [
        *missed,
        cards(shown, comparison.static_peak(shown.deployment)),
        *_scatter(comparison),
        _all(comparison),
        *_savings(comparison, shown),
        Heading(f"{which}: {shown.policy} on {shown.deployment}", objective_text(shown)),
        over_time_panels(shown),
        bill_panels(shown),
        replicas_panel("Its replicas", shown),
        *_small(comparison, shown),
        *notes_panel(shown.notes),
    ]


def plan_page(plan: FleetPlan) -> str:
    """Return the report of a plan: one file, which loads nothing."""
    best = plan.best
    title = f"{plan.model or 'Requests'}: the cheapest fleet within {plan.slo}"
    about = [("traffic", plan.traffic), ("objective", plan.slo), ("searched", searched_text(plan))]
    if best is not None:
        about.insert(0, ("found", f"{best.policy} on {best.deployment}"))
    if plan.interrupted:
        about.append(("stopped", "the search did not end: there may be better ones"))
    main: list[Part] = []
    if best is None:
        main.append(Panel("", [Text(f"No fleet holds {plan.slo}.")], css="bad"))
    else:
        note = verification_note(best, plan.verified)
        said = Text(note.text, "bad" if note.style == ALARM else "")
        verified = table(verification_columns(best, plan.verified))
        main += [cards(best), Panel("On the traffic of the plan, and on other traffic", [said, verified])]
    main += [*_choice_scatter(plan), *_choices(plan)]
    if best is not None:
        main += [
            Heading(f"The plan: {best.policy} on {best.deployment}", objective_text(best)),
            over_time_panels(best),
            bill_panels(best),
            replicas_panel("Its replicas", best),
            *notes_panel(best.notes),
        ]
    main += out_panel(plan.out)
    kicker = "What it costs in a month, planned"
    return fleet_report(title, kicker, about, main, render(plan, "dict", series=False))


def _choice_scatter(plan: FleetPlan) -> list[Part]:
    """Return the fleets that were simulated on all of the traffic."""
    known = [each for each in plan.choices if each.late_share is not None and each.stage == "all"]
    if not known:
        return []
    cheapest = min(each.usd_per_month for each in known)
    end = max(each.usd_per_month for each in known if each.usd_per_month <= _FAR * cheapest)
    dots = []
    for rank, each in reversed(list(enumerate(known[:_DOTS], 1))):
        kind = " ".join(["many"] * (rank > _NUMBERED) + ["missed"] * (not each.slo_met) + ["front"] * (rank == 1))
        text = "" if rank > _NUMBERED else f"{rank}{_BEYOND if each.usd_per_month > end else ''}"
        words = f"{rank}: {each.policy} on {each.deployment}, {money(each.usd_per_month)} USD/month"
        dots.append(Dot(each.usd_per_month, each.late_share or 0.0, text, words, kind))
    legend = [("full", "the plan"), ("ring", "other fleets"), ("dashed", "misses the objective")]
    chart = scatter(_LATE_AGAINST_COST, dots, [], end, unit="USD in a month", legend=legend)
    return [Panel(_LATE_AGAINST_COST, [chart], "Numbers are those of the table.")]


def _choices(plan: FleetPlan) -> list[Part]:
    shown = plan.choices[:_ROWS]
    if not shown:
        return []
    columns = choice_columns(shown)
    best = shown[0].usd_per_month
    place = next(number for number, column in enumerate(columns) if column.name == "cost")
    more = [signed(each.usd_per_month - best) if number else "" for number, each in enumerate(shown)]
    columns.insert(place + 1, Column("against the first", "USD/month", more, spare=1))
    columns.insert(0, Column("", "", [str(rank) for rank in range(1, len(shown) + 1)]))
    kinds = ["best" if number == 0 and plan.best is not None else "" for number in range(len(shown))]
    left = len(plan.choices) - len(shown)
    note = "Fleets that hold the objective by their cost, then those that miss it, then those that were out before."
    note += f" {left} more are in CSV and JSON." if left else ""
    return [Panel("What was considered", [table(columns, kinds=kinds, name="fleets")], note)]


def _scatter(comparison: FleetComparison) -> list[Part]:
    """Return cost against late requests: each fleet is a dot with its number in the table; nothing for one fleet."""
    if len(comparison.fleets) <= 1:
        return []
    many = len(comparison.fleets) > _NUMBERED
    front = comparison.front
    on_front = set(map(id, front))
    dots = []
    costs = [monthly(each) for each in (*comparison.fleets, *comparison.bounds)]
    most = _FAR * min(map(monthly, comparison.fleets[:1]), default=0.0)
    near = [cost for cost in costs if cost <= most]
    # Where most fleets are near the best one, those that cost far more do not decide the axis.
    end = max(near) if 2 * len(near) >= len(costs) else max(costs, default=0.0)
    shown = [(n, e) for n, e in enumerate(comparison.fleets, 1) if n <= _DOTS or id(e) in on_front]
    for rank, each in reversed(shown):  # the best ones on top
        kinds = ["front"] * (id(each) in on_front) + ["missed"] * (each.slo_met is False) + ["many"] * many
        title = f"{rank}: {each.policy} on {each.deployment}, {cost_text(each)}, {share_text(each.late_share)} % late"
        text = "" if many else f"{rank}{_BEYOND if monthly(each) > end else ''}"
        dots.append(Dot(monthly(each), each.late_share, text, title, " ".join(kinds)))
    for each in comparison.bounds:
        title = f"bound of {each.deployment}: {cost_text(each)}"
        dots.append(Dot(monthly(each), 0.0, "", title, "bound" + " many" * many))
    dots.sort(key=lambda dot: "front" in dot.kind)
    steps = [(monthly(each), each.late_share) for each in front]
    unit = "USD in a month" if monthly_unit(comparison.fleets[0]) == "USD" else "paid hours of replicas in a month"
    legend = [
        ("full", "Pareto-optimal in cost and late requests"),
        ("ring", "other fleets"),
        *([("dashed", "misses the objective")] if comparison.slo else []),
        ("square", "bound of a deployment"),
    ]
    note = "" if many else "Numbers are those of the table."
    beyond = sum(cost > end for cost in costs)
    note += f" {beyond} at the right edge cost more than the axis shows." if beyond else ""
    left = len(comparison.fleets) - len(shown)
    note += f" {left} fleets behind the first {_DOTS:,} are not drawn." if left else ""
    chart = scatter(_LATE_AGAINST_COST, dots, steps, end, unit=unit, legend=legend)
    return [Panel(_LATE_AGAINST_COST, [chart], note)]


def _all(comparison: FleetComparison) -> Panel:
    """Return the table of fleets: the first ones by rank, and the bounds."""
    columns = [column for column in fleet_columns(comparison, most=_ROWS) if column.spare < _SPARE]
    count = min(len(comparison.fleets), _ROWS)
    ranks = [*map(str, range(1, count + 1)), *("" for _ in comparison.bounds)]
    kinds = ["" for _ in range(count)] + ["bound" for _ in comparison.bounds]
    if comparison.best is not None:
        kinds[0] = "best"
    more = len(comparison.fleets) - count
    note = "Those that hold the objective by their cost, then the others by late requests. " if comparison.slo else ""
    note += f"{more} more are in CSV and JSON." if more else ""
    body = table([Column("", "", ranks), *columns], kinds=kinds, name="fleets")
    return Panel("All fleets", [body], note.strip())


def _savings(comparison: FleetComparison, shown: FleetResult) -> list[Part]:
    """Return what each policy costs more or less than the best fleet, and than replicas for the peak."""
    fleets = [each for each in comparison.fleets[:_ROWS] if each is not shown]
    if not fleets:
        return []
    rows = sorted([shown, *fleets], key=cost_of)
    statics = {each.deployment: comparison.static_peak(each.deployment) for each in rows}
    several = len(statics) > 1
    unit = monthly_unit(shown)
    columns = [Column("deployment", "", [each.deployment for each in rows], numeric=False)] if several else []
    columns += [
        Column("policy", "", [each.policy for each in rows], numeric=False),
        Column("cost", f"{unit}/month", [money(monthly(each)) for each in rows]),
        Column("against the best", f"{unit}/month", [_against(each, shown) for each in rows]),
        Column("", "%", [_relative(each, shown) for each in rows], spare=1),
    ]
    if any(statics.values()):
        columns += [
            Column("against static peak", f"{unit}/month", [_against(e, statics[e.deployment]) for e in rows]),
            Column("", "%", [_relative(each, statics[each.deployment]) for each in rows]),
        ]
    columns += [
        Column("late", "%", [share_text(each.late_share) for each in rows]),
        Column("late against the best", "points", [_points(each, shown) for each in rows]),
    ]
    note = (
        "A negative difference is a saving. Static peak: as many replicas all the time as the peak of the same "
        "deployment needs."
    )
    kinds = ["best" if each is shown else "" for each in rows]
    return [Panel("What each change of policy saves", [table(columns, kinds=kinds, colored=True)], note)]


def _against(one: FleetResult, other: FleetResult | None) -> str:
    if other is None or one is other:
        return ""
    return signed(monthly(one) - monthly(other))


def _relative(one: FleetResult, other: FleetResult | None) -> str:
    if other is None or one is other or not monthly(other):
        return ""
    change = monthly(one) / monthly(other) - 1
    return f"{'+' if change > 0 else MINUS if change < 0 else ''}{abs(100 * change):,.0f}"


def _points(one: FleetResult, other: FleetResult) -> str:
    if one is other:
        return ""
    difference = _POINTS_OF_SHARE * (one.late_share - other.late_share)
    return f"{'+' if difference > 0 else MINUS if difference < 0 else ''}{abs(difference):.2f}"


def _small(comparison: FleetComparison, shown: FleetResult) -> list[Part]:
    """Return replicas over time of the policies on the deployment of the best fleet, side by side."""
    fleets = [each for each in comparison.fleets if each.deployment == shown.deployment][:_SMALL]
    if len(fleets) < len(("one", "other")):
        return []
    series = [series_of(each, most=_FEW_POINTS) for each in fleets]
    # One axis for all of them, except for policies with far more replicas than the others.
    peaks = [float(each.paid.max()) for each in series]
    usual = _FAR * sorted(peaks)[len(peaks) // 2]
    shared = max(peak for peak in peaks if peak <= usual)
    charts = []
    for each, over, peak in zip(fleets, series, peaks, strict=True):
        words = f"{each.policy}: {cost_text(each)}, {share_text(each.late_share)} % late"
        chart = over_time(words, over.edges_s, areas=uses_of(over), top=max(peak, shared), small=True)
        charts.append(Group([chart], ""))
    others = [each.policy for each, peak in zip(fleets, peaks, strict=True) if peak > usual]
    note = f"{', '.join(others)}: axis of its own." if others else ""
    title = f"Replicas over time by policy, on {shown.deployment}"
    return [Panel(title, [Group(charts, "trio"), Legend([("", color_of(use), use) for use in USES[:3]])], note)]


def signed(amount: float) -> str:
    """Return an amount of money with its sign."""
    return f"{'+' if amount > 0 else MINUS if amount < 0 else ''}{money(abs(amount))}"

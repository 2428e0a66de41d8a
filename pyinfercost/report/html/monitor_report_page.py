"""HTML report of a monitor's log: findings, predicted against measured, money, and the time against the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...results.live_figures import USES
from ...results.units import percent, significant
from ..colors import ALARM, FLEET, PLAIN, color_variables
from ..derived import headlines
from ..fleet_plans import choice_columns
from ..fleets import money
from ..layout import ALARM as LOUD
from ..monitor_report import (
    farthest,
    felt_columns,
    heading_pairs,
    part_columns,
    slot_columns,
    slots_text,
    span_text,
    stretch_columns,
    time_text,
    use_columns,
    verified_notes,
)
from .charts import Curve
from .fleet_parts import chart_panel, notes_panel
from .parts import asset
from .static_page import Bullets, Cards, Details, Group, Panel, Part, Text, static_page, table

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from ...results.monitor_report import MonitorReport, Stretch, Suggestion

    Numbers = NDArray[np.float64]

_COLORS = {**{use: FLEET[use] for use in USES}, "demand": PLAIN, "late": ALARM}
_ROWS = 400  # slots in a table
_OPEN = 48  # more are collapsed
_CHOICES = 10
_FEW_PARTS = 3  # whose ratios have a card each


def report_page(report: MonitorReport) -> str:
    """Return the report: one file, which loads nothing."""
    title = f"{report.model or 'A model'}: {span_text(report.whole.length_s)} from {time_text(report.start_s)}"
    main: list[Part] = [_cards(report), *_findings(report)]
    if report.parts:
        note = "Ratio: measured / predicted time. Now: after the last change."
        main.append(Panel("Predicted and measured time", [table(part_columns(report))], note))
    main.append(_charts(report))
    if report.times:
        main.append(Panel("What users felt", [table(felt_columns(report))]))
    if report.whole.reserved_s:
        main.append(Panel("Paid time by use", [table(use_columns(report), total=True)]))
    note = "Peak: time with more requests than the mean of the plan; without a plan, of what was recorded."
    name, note = ("Peak and the rest", note) if report.stretches else ("In all", "")
    beside = ", beside the plan" if report.whole.planned else ""
    main.append(Panel(f"{name}{beside}", [table(stretch_columns(report))], note))
    main += _slots(report)
    if report.suggestion is not None:
        main.append(_suggestion(report.suggestion))
    main += notes_panel(_notes(report))
    return static_page(
        title,
        main,
        kicker="What it cost, beside what was predicted and planned",
        heading=title,
        about=heading_pairs(report),
        style=color_variables(_COLORS) + asset("monitor_report.css"),
        foot=(
            " from the log of a monitor. Times are UTC. A month is a twelfth of 365.25 days in which the same happens "
            "again and again. --format json has all figures."
        ),
    )


def _notes(report: MonitorReport) -> list[str]:
    gaps = [f"Nothing was recorded from {time_text(e.start_s)} to {time_text(e.end_s)}." for e in report.gaps[:20]]
    return [*gaps, *report.notes]


def _cards(report: MonitorReport) -> Cards:
    whole = report.whole
    found = []
    if whole.usd is not None and whole.usd_per_month is not None:
        found.append((f"{money(whole.usd)} USD", f"paid; {money(whole.usd_per_month)} USD a month"))
    if tokens := headlines(whole):
        found += tokens
    elif whole.usd_per_thousand_requests is not None:
        found.append((f"{significant(whole.usd_per_thousand_requests)} USD", "for 1,000 requests"))
    if 1 < len(report.parts) <= _FEW_PARTS:
        for part in report.parts:
            words = f"{part.part}: measured / predicted; band {part.low:.2f} to {part.high:.2f}"
            found.append((f"{part.measured_to_predicted:.2f}", words))
    elif whole.measured_to_predicted is not None:
        low, high = (value / whole.predicted_s for value in (whole.predicted_low_s, whole.predicted_high_s))
        found.append((f"{whole.measured_to_predicted:.2f}", f"measured / predicted; band {low:.2f} to {high:.2f}"))
    idle = whole.share("idle")
    if idle is not None:
        found.append((f"{percent(idle)} %", f"of paid time without requests; {report.cold_starts:,.0f} cold starts"))
    change = whole.against_plan.get("usd_per_h")
    if change is not None:
        found.append((f"{100 * change:+.0f} %", "money against the plan"))
    change = whole.against_plan.get("requests_per_s")
    if change is not None:
        found.append((f"{100 * change:+.0f} %", "requests against the plan"))
    suggestion = report.suggestion
    if suggestion is not None and suggestion.saved_usd_per_month is not None:
        saved = suggestion.saved_usd_per_month
        found.append((f"{money(abs(saved))} USD", f"{'less' if saved >= 0 else 'more'} a month as suggested"))
    return Cards(found)


def _findings(report: MonitorReport) -> list[Part]:
    lines = [("bad" if "outside of its band" in each else "", each) for each in report.findings]
    return [Panel("What to know", [Bullets(lines, "findings")])] if lines else []


def _charts(report: MonitorReport) -> Group:
    """Return requests, money, replicas, and measured / predicted over time, against the plan."""
    import numpy as np

    slots = report.slots
    edges = np.array([*(each.start_s for each in slots), slots[-1].start_s + slots[-1].length_s])
    edges -= edges[0]

    def column(of: Callable[[Stretch], float | None]) -> Numbers:
        return np.array([of(each) or 0.0 for each in slots])

    found = []
    for figure, title in (("requests_per_s", "Requests per s"), ("usd_per_h", "Money (USD per hour)"),
                          ("replicas", "Replicas")):  # fmt: skip
        areas: list[Curve] = []
        lines: list[Curve] = []
        has_plan = figure in report.whole.planned
        if figure == "usd_per_h":
            if report.whole.usd is None:
                continue
            uses = {use: column(lambda each, use=use: _hourly(each, use)) for use in USES}  # type: ignore[misc]
            if has_plan:  # a line is not seen on areas of every color
                paid = column(lambda each: each.usd_per_h)
                lines = [Curve("paid", "demand", paid), Curve("of these busy", "good", uses["busy"])]
            else:
                areas = [Curve(use, use, values) for use, values in uses.items()]
        else:
            lines = [Curve("measured", "demand", column(lambda each, name=figure: each.measured(name)))]  # type: ignore[misc]
        if has_plan:
            plan = column(lambda each, name=figure: each.planned.get(name))  # type: ignore[misc]
            lines.append(Curve("plan", "ink", plan, dashed=True))
        found.append(chart_panel(title, edges, areas=areas, lines=lines))
    if report.parts:
        ratios = [Curve("measured", "demand", _carried(slots, lambda each: each.measured_to_predicted))]
        for name, words in (("predicted_low_s", "low end of the band"), ("predicted_high_s", "high end")):
            values = _carried(
                slots,
                lambda each, name=name: getattr(each, name) / each.predicted_s if each.predicted_s else None,  # type: ignore[misc]
            )
            ratios.append(Curve(words, "late", values, dashed=True))
        note = "Without requests, the value before them."
        found.append(chart_panel("Measured / predicted time", edges, lines=ratios, note=note))
    return Group(found)


def _hourly(each: Stretch, use: str) -> float | None:
    return None if each.covered_s <= 0 else 3600.0 * each.cost_usd.get(use, 0.0) / each.covered_s


def _carried(slots: tuple[Stretch, ...], of: Callable[[Stretch], float | None]) -> Numbers:
    """Return values of slots; those that are unknown are as before, and at the begin as the first one."""
    import numpy as np

    values = [of(each) for each in slots]
    last = next((value for value in values if value is not None), 0.0)
    found = []
    for value in values:
        last = last if value is None else value
        found.append(last)
    return np.array(found)


def _slots(report: MonitorReport) -> list[Part]:
    """Return all slots as a table, collapsed if they are many, and then those farthest from the plan above it."""
    slots = report.slots
    if len(slots) < 2:  # noqa: PLR2004  # one slot is the whole
        return []
    name = slots_text(report)
    whole = table(slot_columns(slots[:_ROWS]), name="fleets")
    if len(slots) <= _OPEN:
        beside = ", beside the plan" if report.whole.planned else ""
        return [Panel(f"{name.capitalize()}{beside}", [whole])]
    left = len(slots) - _ROWS
    more = [Text(f"{left} more are in CSV and JSON.")] if left > 0 else []
    shown = table(slot_columns(farthest(report)))
    by = "farthest from the plan" if report.whole.planned else "with most requests"
    return [Panel(f"The {name} {by}", [shown, Details(f"All {len(slots)} {name}", [whole, *more])])]


def _suggestion(suggestion: Suggestion) -> Panel:
    plan = suggestion.plan
    body: list[Part] = [Text(each.text, "bad" if each.style == LOUD else "") for each in verified_notes(suggestion)]
    shown = [each for each in plan.choices if each.stage == "all"][:_CHOICES]
    if shown:
        kinds = ["best" if place == 0 and plan.best is not None else "" for place in range(len(shown))]
        body.append(table(choice_columns(shown), kinds=kinds, name="fleets"))
    body += [Text(each, "note") for each in suggestion.notes]
    note = f"The cheapest fleets within {plan.slo} for the {suggestion.requests:,} recorded requests."
    return Panel("Suggested change", body, note)

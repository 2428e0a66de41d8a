"""Parts of the pages of fleets: frame, panels, and what happens over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...results.documents import FLEET_ID
from ...results.units import percent, significant
from ..colors import ALARM, FLEET, PLAIN, color_variables
from ..derived import headlines
from ..documents import as_json
from ..fleet_series import series_of
from ..fleets import (
    bill_columns,
    hours_per_month,
    money,
    monthly,
    monthly_unit,
    pool_columns,
    settings_pairs,
    share_text,
    use_columns,
)
from .charts import Curve, over_time
from .parts import embedded
from .static_page import Cards, Group, Pairs, Panel, Part, Text, static_page, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ...results.fleet_result import FleetResult
    from ..fleet_series import FleetSeries

_COLORS = {**FLEET, "demand": PLAIN, "late": ALARM, "other": PLAIN}

_POINTS = 300  # of a curve
_MOST_EMBEDDED = 200_000  # bytes of JSON; a page is below 500 kB
_OUT = 40


def fleet_report(
    title: str,
    kicker: str,
    about: Sequence[tuple[str, str]],
    main: Sequence[Part],
    document: dict[str, Any],
) -> str:
    """Return a page with its head and its parts, and the JSON document in it, if that is not too large."""
    text = embedded(as_json(document, indent=None))
    return static_page(
        title,
        main,
        kicker=kicker,
        heading=title,
        about=about,
        style=color_variables(_COLORS),
        template="fleet.html",
        data=text if len(text.encode()) <= _MOST_EMBEDDED else "",
        data_id=FLEET_ID,
    )


def color_of(name: str) -> str:
    """Return the name of the color of a part of the money or of a curve."""
    return name if name in _COLORS else "other"


def cards(result: FleetResult, static: FleetResult | None = None) -> Cards:
    """Return the headline figures of a fleet, and its saving against replicas for the peak."""
    bill = result.bill
    found = [_cost_card(result)]
    if static is not None and static is not result:
        found.append(_saved_card(result, static))
    if bill is not None:
        found += headlines(bill)
        if bill.usd_per_thousand_requests is not None:
            found.append((f"{significant(bill.usd_per_thousand_requests)} USD", "for 1,000 requests"))
    found.append((f"{share_text(result.late_share)} %", "of requests late"))
    replicas = f"{significant(result.mean_replicas)} / {result.peak_replicas}"
    found.append((replicas, "replicas, mean / most"))
    found.append((f"{percent(result.idle_share)} %", f"of paid time without requests; {result.starts:,} cold starts"))
    if result.carbon_g_per_month is not None:
        found.append((f"{money(result.carbon_g_per_month / 1e3)} kg", "CO2 equivalent in a month"))
    return Cards(found)


def _cost_card(result: FleetResult) -> tuple[str, str]:
    if result.usd_per_month is None:
        return f"{significant(hours_per_month(result))} h", "paid hours of replicas in a month"
    return f"{money(result.usd_per_month)} USD", "in a month"


def _saved_card(result: FleetResult, static: FleetResult) -> tuple[str, str]:
    saved = monthly(static) - monthly(result)
    unit = monthly_unit(result)
    return f"{money(abs(saved))} {unit}", f"{'less' if saved >= 0 else 'more'} in a month than replicas for the peak"


def over_time_panels(result: FleetResult) -> Group:
    """Return the panels of demand, replicas, waits and money over time."""
    over = series_of(result, most=_POINTS)
    arrivals = [Curve("requests that arrive", color_of("demand"), over.arrived_per_s)]
    if over.late_per_s.any():
        arrivals.append(Curve("of these, late", color_of("late"), over.late_per_s))
    waits = [Curve("longest", color_of("late"), over.most_wait_s), Curve("mean", color_of("demand"), over.wait_s)]
    found = [
        chart_panel("Demand (requests per s)", over.edges_s, lines=arrivals),
        chart_panel("Replicas that are paid", over.edges_s, areas=uses_of(over, cold="cold: not ready yet")),
        chart_panel("Who waits when: wait before service (s), by arrival", over.edges_s, lines=waits)
        if over.most_wait_s.any()
        else Panel("Who waits when", [Text("No request waits.")]),
    ]
    if over.usd_per_h:
        areas = [Curve(kind, color_of(kind), over.usd_per_h[kind]) for kind in over.money_kinds]
        note = "Machines by the use of their time, other lines of the bill above them."
        found.append(chart_panel("Money (USD per hour)", over.edges_s, areas=areas, note=note))
    return Group(found)


def uses_of(over: FleetSeries, *, cold: str = "cold") -> list[Curve]:
    """Return the curves of busy, idle and cold replicas."""
    labeled = (("busy", "busy", over.busy), ("idle", "idle", over.idle), ("cold", cold, over.cold))
    return [Curve(label, color_of(use), values) for use, label, values in labeled]


def chart_panel(
    title: str,
    edges_s: NDArray[np.float64],
    *,
    areas: Sequence[Curve] = (),
    lines: Sequence[Curve] = (),
    top: float | None = None,
    note: str = "",
) -> Panel:
    """Return a panel with a chart over time; arguments as in `over_time`, and a note."""
    return Panel(title, [over_time(title, edges_s, areas=areas, lines=lines, top=top)], note)


def bill_panels(result: FleetResult) -> Part:
    """Return the bill of a month, and what machines are paid for."""
    if result.bill is None:
        return Panel("The bill of a month", [Text("The deployment has no price; give one by price=.")])
    return Group(
        [
            Panel("The bill of a month", [table(bill_columns(result.bill), total=True)]),
            Panel(
                "What machines are paid for",
                [table(use_columns(result.bill))],
                "Cold: before they are ready. Draining: before they leave.",
            ),
        ]
    )


def replicas_panel(title: str, result: FleetResult) -> Panel:
    """Return the pools of replicas, and the settings of autoscalers and replicas."""
    return Panel(title, [table(pool_columns(result)), Pairs(settings_pairs(result))])


def notes_panel(notes: Sequence[str]) -> list[Part]:
    """Return what limits a result; nothing without notes."""
    return [Panel("What limits these figures", [Text(each) for each in notes])] if notes else []


def out_panel(out: Mapping[str, str]) -> list[Part]:
    """Return the deployments that cannot serve the model; nothing without any."""
    lines = list(out.items())
    more = [Text(f"{len(lines) - _OUT} more", "note")] if len(lines) > _OUT else []
    return [Panel("Deployments that are out", [Pairs(lines[:_OUT], "out"), *more])] if lines else []

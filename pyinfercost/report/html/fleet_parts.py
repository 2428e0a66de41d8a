"""Parts of the pages of fleets: frame, panels, tables, and what happens over time."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from ... import _core
from ...results.documents import FLEET_ID
from ...results.units import percent, significant
from ..colors import ALARM, FLEET, PLAIN, color_variables
from ..documents import as_json
from ..fleet_series import series_of
from ..fleets import (
    bill_columns,
    hours_per_month,
    money,
    monthly,
    monthly_unit,
    settings_pairs,
    share_text,
    use_columns,
)
from .charts import Curve, over_time
from .parts import asset, embedded
from .snippet import standalone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...results.fleet_result import FleetResult
    from ..layout import Column

_COLORS = {**FLEET, "demand": PLAIN, "late": ALARM, "other": PLAIN}

MINUS = "\u2212"
"""Sign of negative amounts in tables."""

_POINTS = 300  # of a curve
_MOST_EMBEDDED = 200_000  # bytes of JSON; a page is below 500 kB
_OUT = 40


def page_of(title: str, head: str, main: Sequence[str], document: dict[str, Any]) -> str:
    """Return a page: head, panels, and the JSON document in it, if that is not too large."""
    text = embedded(as_json(document, indent=None))
    held = len(text.encode()) <= _MOST_EMBEDDED
    data = f'<script type="application/json" id="{FLEET_ID}">{text}</script>' if held else ""
    told = (
        "The figures are inside this file: <code>pyinfercost diff this.html other.html</code> reads them back."
        if held
        else "The figures are too many for this file: --format json has them."
    )
    foot = (
        f"<footer><p>Written by pyinfercost {escape(_core.__version__)}. A month is a twelfth of 365.25 days in which "
        f"the same traffic comes again and again. {told} Nothing is loaded from a network.</p></footer>"
    )
    body = f"{head}<main>{''.join(main)}</main>{foot}{data}"
    return standalone(title, body, color_variables(_COLORS) + asset("base.css") + asset("fleet.css"), headed=False)


def color_of(name: str) -> str:
    """Return the color of a part of the money or of a curve, which differs on dark pages."""
    return f"var(--{name if name in _COLORS else 'other'})"


def head(kicker: str, title: str, lines: Sequence[tuple[str, str]]) -> str:
    """Return the head of a page: a line above the title, and names with values below it."""
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in lines if text)
    return f'<header><p class="subtitle">{kicker}</p><h1>{escape(title)}</h1><dl>{pairs}</dl></header>'


def panel(title: str, body: str, note: str = "") -> str:
    """Return a panel with a title and, in small type, a note."""
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f'<section class="panel"><h2>{escape(title)}</h2>{said}{body}</section>'


def cards(result: FleetResult, static: FleetResult | None = None) -> str:
    """Return the headline figures of a fleet, and what it saves against replicas for the peak."""
    bill = result.bill
    found = [_cost_card(result)]
    if static is not None and static is not result:
        found.append(_saved_card(result, static))
    if bill is not None:
        if bill.usd_per_million_tokens is not None:
            found.append((f"{significant(bill.usd_per_million_tokens)} USD", "for 10^6 generated tokens"))
        if bill.usd_per_thousand_requests is not None:
            found.append((f"{significant(bill.usd_per_thousand_requests)} USD", "for 1,000 requests"))
    found.append((f"{share_text(result.late_share)} %", "of requests late"))
    replicas = f"{significant(result.mean_replicas)} / {result.peak_replicas}"
    found.append((replicas, "replicas, mean / most"))
    found.append((f"{percent(result.idle_share)} %", f"of paid time without requests; {result.starts:,} cold starts"))
    if result.carbon_g_per_month is not None:
        found.append((f"{money(result.carbon_g_per_month / 1e3)} kg", "CO2 equivalent in a month"))
    items = "".join(
        f'<div class="card"><output>{escape(value)}</output><span class="title">{escape(words)}</span></div>'
        for value, words in found
    )
    return f'<section class="cards" aria-label="Headline figures">{items}</section>'


def _cost_card(result: FleetResult) -> tuple[str, str]:
    if result.usd_per_month is None:
        return f"{significant(hours_per_month(result))} h", "paid hours of replicas in a month"
    return f"{money(result.usd_per_month)} USD", "in a month"


def _saved_card(result: FleetResult, static: FleetResult) -> tuple[str, str]:
    saved = monthly(static) - monthly(result)
    unit = monthly_unit(result)
    return f"{money(abs(saved))} {unit}", f"{'less' if saved >= 0 else 'more'} in a month than replicas for the peak"


def over_time_panels(result: FleetResult) -> str:
    """Return the panels of demand, replicas, waits and money over time."""
    over = series_of(result, most=_POINTS)
    found = ['<div class="pair">']
    arrivals = [Curve("requests that arrive", color_of("demand"), over.arrived_per_s)]
    if over.late_per_s.any():
        arrivals.append(Curve("of these, late", color_of("late"), over.late_per_s))
    found.append(panel("Demand (requests per s)", over_time(over.edges_s, lines=arrivals)))
    replicas = [
        Curve("busy", color_of("busy"), over.busy),
        Curve("idle", color_of("idle"), over.idle),
        Curve("cold: not ready yet", color_of("cold"), over.cold),
    ]
    found.append(panel("Replicas that are paid", over_time(over.edges_s, areas=replicas)))
    waits = [Curve("longest", color_of("late"), over.most_wait_s), Curve("mean", color_of("demand"), over.wait_s)]
    if over.most_wait_s.any():
        chart = over_time(over.edges_s, lines=waits)
        found.append(panel("Who waits when: wait before service (s), by arrival", chart))
    else:
        found.append(panel("Who waits when", "<p>No request waits.</p>"))
    if over.usd_per_h:
        areas = [Curve(kind, color_of(kind), over.usd_per_h[kind]) for kind in over.money_kinds]
        note = "Machines by the use of their time, other lines of the bill above them."
        found.append(panel("Money (USD per hour)", over_time(over.edges_s, areas=areas), note))
    return "".join([*found, "</div>"])


def bill_panels(result: FleetResult) -> str:
    """Return the bill of a month, and what machines are paid for."""
    if result.bill is None:
        return panel("The bill of a month", "<p>The deployment has no price; give one by price=.</p>")
    bill, use = table(bill_columns(result.bill), total=True), table(use_columns(result.bill))
    return (
        '<div class="pair">'
        + panel("The bill of a month", bill)
        + panel("What machines are paid for", use, "Cold: before they are ready. Draining: before they leave.")
        + "</div>"
    )


def settings(result: FleetResult) -> str:
    """Return the settings of autoscalers and replicas."""
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in settings_pairs(result))
    return f"<dl>{lines}</dl>"


def notes_panel(notes: Sequence[str]) -> str:
    """Return what limits a result; empty without notes."""
    if not notes:
        return ""
    return panel("What limits these figures", "".join(f"<p>{escape(each)}</p>" for each in notes))


def out_panel(out: Mapping[str, str]) -> str:
    """Return the deployments that cannot serve the model; empty without any."""
    if not out:
        return ""
    lines = list(out.items())
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(reason)}</dd>" for name, reason in lines[:_OUT])
    more = f'<p class="note">{len(lines) - _OUT} more</p>' if len(lines) > _OUT else ""
    return panel("Deployments that are out", f'<dl class="out">{pairs}</dl>{more}')


def table(
    columns: Sequence[Column],
    *,
    kinds: Sequence[str] = (),
    name: str = "",
    total: bool = False,
    colored: bool = False,
) -> str:
    """Return a table that scrolls if it is wider than the page; spare columns are left out on a phone and in print."""
    kept = [("" if c.numeric else "t", "wide" if c.spare else "", "extra" if c.spare > 1 else "") for c in columns]
    classes = [" ".join(filter(None, each)) for each in kept]
    head = "".join(
        f"<th{_class(kind)}>{escape(column.name)}<small>{escape(column.unit)}</small></th>"
        for kind, column in zip(classes, columns, strict=True)
    )
    rows = list(zip(*(column.cells for column in columns), strict=True))
    lines = []
    for number, cells in enumerate(rows):
        kind = kinds[number] if kinds else "total" if total and number == len(rows) - 1 else ""
        found = []
        for own, column, cell in zip(classes, columns, cells, strict=True):
            marks = [own, "long" if column.flexible else ""]
            if colored and cell[:1] in ("+", MINUS):
                marks.append("more" if cell[0] == "+" else "less")
            found.append(f"<td{_class(' '.join(filter(None, marks)))}>{escape(cell)}</td>")
        lines.append(f"<tr{_class(kind)}>{''.join(found)}</tr>")
    table = f"<table{_class(name)}><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""

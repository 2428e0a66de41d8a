"""HTML reports of fleets under traffic: one fleet, or all policies and deployments of a comparison."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from ... import _core
from ...results.bill import USES
from ...results.fleet_result import cost_of
from ...results.units import percent, significant
from ..colors import ALARM, FLEET, PLAIN
from ..documents import as_json
from ..fleet_series import series_of
from ..fleets import (
    bill_columns,
    cost_text,
    duration_text,
    energy_text,
    fleet_columns,
    hours_per_month,
    latency_columns,
    money,
    monthly,
    monthly_unit,
    objective_text,
    per_text,
    pool_columns,
    requests_text,
    settings_pairs,
    share_text,
    use_columns,
)
from ..layout import Column
from ..render import render
from .charts import Curve, Dot, over_time, scatter
from .page import asset, embedded
from .snippet import standalone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...results.fleet_result import FleetComparison, FleetResult

_COLORS = {**FLEET, "demand": PLAIN, "late": ALARM, "other": PLAIN}
_LIGHTER = 0.35  # of the way to white

FLEET_ID = "pyinfercost-fleet"
"""Id of the script element that holds the JSON of fleets; `pyinfercost diff` reads it back."""

_POINTS, _FEW_POINTS = 300, 120  # of a curve, and of a small one
_ROWS = 60  # most fleets in tables
_SMALL = 9  # most small charts
_NUMBERED = 30  # most dots with numbers
_MOST_EMBEDDED = 200_000  # bytes of JSON; a page is below 500 kB
_OUT = 40
_SPARE = 3  # columns with this `spare` or more are left out
_FAR = 4  # times the median of the peaks, and times the cost of the best fleet: shown apart
_POINTS_OF_SHARE = 100


def fleet_page(result: FleetResult) -> str:
    """Return the report of one fleet: one file without scripts, which loads nothing."""
    title = f"{result.model or 'Requests'}: {result.policy} on {result.deployment}"
    body = _head("What it costs in a month", title, _about(result))
    main = [_cards(result, None), *_of_time(result), _panel("Times of requests", _table(latency_columns(result)))]
    main += [_bill(result), _panel("Replicas", _table(pool_columns(result)) + _settings(result)), _notes(result.notes)]
    return _page(title, body, main, _without_times(result))


def comparison_page(comparison: FleetComparison) -> str:
    """Return the report of a comparison: one file without scripts, which loads nothing."""
    shown = comparison.best or next(iter(comparison.fleets), None)
    subject = comparison.model or "Requests"
    deployments = list(dict.fromkeys(each.deployment for each in comparison.fleets))
    title = f"{subject}: {len(comparison)} fleets of {len(deployments)} deployment{'s' * (len(deployments) != 1)}"
    lines = [("traffic", comparison.traffic)]
    if shown is not None:
        lines.append(("requests", f"{shown.requests:,} in {duration_text(shown)}"))
    if comparison.slo:
        lines.append(("objective", comparison.slo))
    if comparison.interrupted:
        lines.append(("stopped", "not all fleets were simulated: there may be better ones"))
    body = _head("What it costs in a month, and otherwise", title, lines)
    main: list[str] = []
    if shown is not None:
        if comparison.best is None:
            main.append(
                f'<section class="panel bad">No fleet holds {escape(comparison.slo)}. The one with the fewest late '
                "requests is shown.</section>"
            )
        main += [_cards(shown, comparison), _scatter(comparison), _all(comparison), _savings(comparison, shown)]
        which = "The cheapest fleet that holds the objective" if comparison.slo else "The cheapest fleet"
        which = which if comparison.best is not None else "The fleet with the fewest late requests"
        words = f"{shown.policy} on {shown.deployment}"
        main.append(
            f'<h2 class="part">{which}: {escape(words)}</h2><p class="note">{escape(objective_text(shown))}</p>'
        )
        main += [*_of_time(shown), _bill(shown), _panel("Its replicas", _table(pool_columns(shown)) + _settings(shown))]
        main += [_small(comparison, shown), _notes(shown.notes)]
    main.append(_out(comparison))
    return _page(title, body, main, render(comparison, "dict"))


def _without_times(result: FleetResult) -> dict[str, Any]:
    document = render(result, "dict")
    return {**document, "fleet": {name: each for name, each in document["fleet"].items() if name != "timeline"}}


def _page(title: str, head: str, main: Sequence[str], document: dict[str, Any]) -> str:
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
    return standalone(title, body, _colors() + asset("base.css") + asset("fleet.css"), headed=False)


def _colors() -> str:
    """Return the colors of charts as CSS variables, lighter on dark pages."""
    plain = "".join(f"--{name}: {color}; " for name, color in _COLORS.items())
    light = "".join(f"--{name}: {_lighter(color)}; " for name, color in _COLORS.items())
    return f":root {{ {plain}}}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {light}}} }}\n"


def _lighter(color: str) -> str:
    parts = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
    return "#" + "".join(f"{round(part + _LIGHTER * (255 - part)):02x}" for part in parts)


def _color(name: str) -> str:
    return f"var(--{name if name in _COLORS else 'other'})"


def _head(kicker: str, title: str, lines: Sequence[tuple[str, str]]) -> str:
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in lines if text)
    return f'<header><p class="subtitle">{kicker}</p><h1>{escape(title)}</h1><dl>{pairs}</dl></header>'


def _about(result: FleetResult) -> list[tuple[str, str]]:
    return [
        ("traffic", result.traffic),
        ("requests", requests_text(result)),
        ("objective", objective_text(result)),
        ("cost", per_text(result)),
        ("energy", energy_text(result)),
    ]


def _panel(title: str, body: str, note: str = "") -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f'<section class="panel"><h2>{escape(title)}</h2>{said}{body}</section>'


def _cards(result: FleetResult, comparison: FleetComparison | None) -> str:
    bill = result.bill
    cards = [_cost_card(result)]
    if comparison is not None:
        static = comparison.static_peak(result.deployment)
        if static is not None and static is not result:
            cards.append(_saved_card(result, static))
    if bill is not None:
        if bill.usd_per_million_tokens is not None:
            cards.append((f"{significant(bill.usd_per_million_tokens)} USD", "for 10^6 generated tokens"))
        if bill.usd_per_thousand_requests is not None:
            cards.append((f"{significant(bill.usd_per_thousand_requests)} USD", "for 1,000 requests"))
    cards.append((f"{share_text(result.late_share)} %", "of requests late" if result.slo else "of requests unanswered"))
    replicas = f"{significant(result.mean_replicas)} / {result.peak_replicas}"
    cards.append((replicas, "replicas, mean / most"))
    cards.append((f"{percent(result.idle_share)} %", f"of paid time without requests; {result.starts:,} cold starts"))
    if result.carbon_g_per_month is not None:
        cards.append((f"{money(result.carbon_g_per_month / 1e3)} kg", "CO2 equivalent in a month"))
    items = "".join(
        f'<div class="card"><output>{escape(value)}</output><span class="title">{escape(words)}</span></div>'
        for value, words in cards
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


def _of_time(result: FleetResult) -> list[str]:
    """Return the panels of demand, replicas, waits and money over time."""
    over = series_of(result, most=_POINTS)
    found = ['<div class="pair">']
    arrivals = [Curve("requests that arrive", _color("demand"), over.arrived_per_s)]
    if over.late_per_s.any():
        arrivals.append(Curve("of these, late", _color("late"), over.late_per_s))
    found.append(_panel("Demand (requests per s)", over_time(over.edges_s, lines=arrivals)))
    replicas = [
        Curve("busy", _color("busy"), over.busy),
        Curve("idle", _color("idle"), over.idle),
        Curve("cold: not ready yet", _color("cold"), over.cold),
    ]
    found.append(_panel("Replicas that are paid", over_time(over.edges_s, areas=replicas)))
    waits = [Curve("longest", _color("late"), over.most_wait_s), Curve("mean", _color("demand"), over.wait_s)]
    if over.most_wait_s.any():
        chart = over_time(over.edges_s, lines=waits)
        found.append(_panel("Who waits when: wait before service (s), by arrival", chart))
    else:
        found.append(_panel("Who waits when", "<p>No request waits.</p>"))
    if over.usd_per_h:
        areas = [Curve(kind, _color(kind), over.usd_per_h[kind]) for kind in over.money_kinds]
        note = "Machines by the use of their time, other lines of the bill above them."
        found.append(_panel("Money (USD per hour)", over_time(over.edges_s, areas=areas), note))
    return ["".join([*found, "</div>"])]


def _bill(result: FleetResult) -> str:
    if result.bill is None:
        return _panel("The bill of a month", "<p>The deployment has no price; give one by price=.</p>")
    bill, use = _table(bill_columns(result.bill), total=True), _table(use_columns(result.bill))
    return (
        '<div class="pair">'
        + _panel("The bill of a month", bill)
        + _panel("What machines are paid for", use, "Cold: before they are ready. Draining: before they leave.")
        + "</div>"
    )


def _settings(result: FleetResult) -> str:
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in settings_pairs(result))
    return f"<dl>{lines}</dl>"


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return _panel("What limits these figures", "".join(f"<p>{escape(each)}</p>" for each in notes))


def _scatter(comparison: FleetComparison) -> str:
    """Return cost against late requests: each fleet is a dot with its number in the table."""
    many = len(comparison.fleets) > _NUMBERED
    front = comparison.front
    on_front = set(map(id, front))
    dots = []
    costs = [monthly(each) for each in (*comparison.fleets, *comparison.bounds)]
    most = _FAR * min(map(monthly, comparison.fleets[:1]), default=0.0)
    near = [cost for cost in costs if cost <= most]
    # Where most fleets are near the best one, those that cost far more do not decide the axis.
    end = max(near) if 2 * len(near) >= len(costs) else max(costs, default=0.0)
    for rank, each in reversed(list(enumerate(comparison.fleets, 1))):  # the best ones on top
        kinds = ["front"] * (id(each) in on_front) + ["missed"] * (each.slo_met is False) + ["many"] * many
        title = f"{rank}: {each.policy} on {each.deployment}, {cost_text(each)}, {share_text(each.late_share)} % late"
        text = "" if many else f"{rank}{'›' if monthly(each) > end else ''}"
        dots.append(Dot(monthly(each), each.late_share, text, title, " ".join(kinds)))
    for each in comparison.bounds:
        title = f"bound of {each.deployment}: {cost_text(each)}"
        dots.append(Dot(monthly(each), 0.0, "", title, "bound" + " many" * many))
    dots.sort(key=lambda dot: "front" in dot.kind)
    steps = [(monthly(each), each.late_share) for each in front]
    if not comparison.fleets:
        return ""
    unit = "USD in a month" if monthly_unit(comparison.fleets[0]) == "USD" else "paid hours of replicas in a month"
    legend = (
        '<ul class="legend"><li><span class="swatch full"></span>on the front: no other fleet is cheaper with as few '
        'late requests</li><li><span class="swatch ring"></span>other fleets</li>'
        + ('<li><span class="swatch dashed"></span>misses the objective</li>' if comparison.slo else "")
        + '<li><span class="swatch square"></span>bound of a deployment</li></ul>'
    )
    note = "" if many else "Numbers are those of the table."
    beyond = sum(cost > end for cost in costs)
    note += f" {beyond} at the right edge cost more than the axis shows." if beyond else ""
    chart = scatter(dots, steps, end, unit=unit).replace('class="plot"', 'class="plot tall"', 1)
    return _panel("Late requests (% of all) against cost", chart + legend, note)


def _all(comparison: FleetComparison) -> str:
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
    body = _table([Column("", "", ranks), *columns], kinds=kinds, name="fleets")
    return _panel("All fleets", body, note.strip())


def _savings(comparison: FleetComparison, shown: FleetResult) -> str:
    """Return what each policy costs more or less than the best fleet, and than replicas for the peak."""
    fleets = [each for each in comparison.fleets[:_ROWS] if each is not shown]
    if not fleets:
        return ""
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
    note = "A negative difference is a saving. Static peak: as many replicas all the time as the peak of the same deployment needs."
    kinds = ["best" if each is shown else "" for each in rows]
    return _panel("What each change of policy saves", _table(columns, kinds=kinds, signed=True), note)


def _against(one: FleetResult, other: FleetResult | None) -> str:
    if other is None or one is other:
        return ""
    difference = monthly(one) - monthly(other)
    return f"{'+' if difference > 0 else '−' if difference < 0 else ''}{money(abs(difference))}"


def _relative(one: FleetResult, other: FleetResult | None) -> str:
    if other is None or one is other or not monthly(other):
        return ""
    change = monthly(one) / monthly(other) - 1
    return f"{'+' if change > 0 else '−' if change < 0 else ''}{abs(100 * change):,.0f}"


def _points(one: FleetResult, other: FleetResult) -> str:
    if one is other:
        return ""
    difference = _POINTS_OF_SHARE * (one.late_share - other.late_share)
    return f"{'+' if difference > 0 else '−' if difference < 0 else ''}{abs(difference):.2f}"


def _small(comparison: FleetComparison, shown: FleetResult) -> str:
    """Return replicas over time of the policies on the deployment of the best fleet, beside each other."""
    fleets = [each for each in comparison.fleets if each.deployment == shown.deployment][:_SMALL]
    if len(fleets) < len(("one", "other")):
        return ""
    series = [series_of(each, most=_FEW_POINTS) for each in fleets]
    # One axis for all of them, except for policies with far more replicas than the others.
    peaks = [float(each.paid.max()) for each in series]
    usual = _FAR * sorted(peaks)[len(peaks) // 2]
    shared = max(peak for peak in peaks if peak <= usual)
    charts = []
    for each, over, peak in zip(fleets, series, peaks, strict=True):
        top = max(peak, shared)
        areas = [
            Curve("busy", _color("busy"), over.busy),
            Curve("idle", _color("idle"), over.idle),
            Curve("cold", _color("cold"), over.cold),
        ]
        words = f"{each.policy}: {cost_text(each)}, {share_text(each.late_share)} % late"
        charts.append(f"<div><h3>{escape(words)}</h3>{over_time(over.edges_s, areas=areas, top=top, small=True)}</div>")
    legend = "".join(
        f'<li><span class="swatch" style="background:{_color(name)}"></span>{name}</li>' for name in USES[:3]
    )
    body = f'<div class="trio">{"".join(charts)}</div><ul class="legend">{legend}</ul>'
    others = [each.policy for each, peak in zip(fleets, peaks, strict=True) if peak > usual]
    note = f"{', '.join(others)}: axis of its own." if others else ""
    return _panel(f"Replicas over time by policy, on {shown.deployment}", body, note)


def _out(comparison: FleetComparison) -> str:
    if not comparison.out:
        return ""
    lines = list(comparison.out.items())
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(reason)}</dd>" for name, reason in lines[:_OUT])
    more = f'<p class="note">{len(lines) - _OUT} more</p>' if len(lines) > _OUT else ""
    return _panel("Deployments that are out", f'<dl class="out">{pairs}</dl>{more}')


def _table(
    columns: Sequence[Column],
    *,
    kinds: Sequence[str] = (),
    name: str = "",
    total: bool = False,
    signed: bool = False,
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
            if signed and cell[:1] in ("+", "−"):
                marks.append("more" if cell[0] == "+" else "less")
            found.append(f"<td{_class(' '.join(filter(None, marks)))}>{escape(cell)}</td>")
        lines.append(f"<tr{_class(kind)}>{''.join(found)}</tr>")
    table = f"<table{_class(name)}><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""

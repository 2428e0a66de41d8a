"""HTML report of a server under load: the verdict, headline figures, the server over time, and its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...results.latency import TITLES
from ...results.serving_result import LATENCIES
from ...results.units import amount, percent, significant
from ..colors import ALARM, FLEET, PLAIN, color_variables
from ..derived import headline_of, headlines, pairs_of
from ..layout import Column
from ..serving import figure_pairs, latency_columns
from .charts import Curve
from .fleet_parts import chart_panel, notes_panel
from .static_page import Cards, Group, Pairs, Panel, Part, Text, static_page, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...results.serving_result import ServingRates, ServingResult

_COLORS = {**FLEET, "demand": PLAIN, "late": ALARM, "other": PLAIN}
_POINTS = 300  # of a curve
_RATES = 8  # of a table
_MILLI = 1e3


def serving_page(result: ServingResult) -> str:
    """Return the report: one file, which loads nothing."""
    title = f"{result.model or 'A model'}: {result.engine} on {result.devices} x {result.hardware}"
    main = [
        _verdict(result),
        _cards(result),
        *_over_time(result),
        Panel("Times of requests", [table(latency_columns(result))]),
    ]
    if result.rates is not None:
        note = "The same servers at other Poisson rates, in closed form: means."
        main.append(Panel("At other rates", [table(_rate_columns(result.rates))], note))
    main += [Panel("Figures", [Pairs(figure_pairs(result))]), *notes_panel(result.notes)]
    return static_page(
        title,
        main,
        kicker="What a server under load takes and costs",
        heading=title,
        about=pairs_of(result, figures=False),
        style=color_variables(_COLORS),
        foot=". Each step of the engine's scheduler is simulated.",
    )


def _verdict(result: ServingResult) -> Panel:
    """Return whether the objective is met, and the limits of the server."""
    said = f"Bottleneck: {result.bottleneck}."
    if result.slo:
        share = f"{percent(result.slo_share or 0)} % of the requests are within it."
        holds = "holds" if result.slo_met else f"is missed: {'; '.join(result.slo_missed)}"
        said = f"The objective {result.slo} {holds}{':' if result.slo_met else '.'} {share} {said}"
    return Panel("", [Text(said)], css="bad" if result.slo and not result.slo_met else "")


def _cards(result: ServingResult) -> Cards:
    """Return the headline figures."""
    found = headlines(result)
    if result.usd_per_h is not None:
        found.append((amount(result.usd_per_h, "USD"), "per hour"))
    found.append((f"{significant(result.tokens_per_s)} /s", "generated tokens"))
    of = "" if result.capacity_per_s is None else f"; capacity {significant(result.capacity_per_s)}"
    found.append((f"{significant(result.requests_per_s)} /s", f"requests answered{of}"))
    found += [
        (f"{significant(_MILLI * result[name].p99)} ms", f"{TITLES[name]}, p99; median {_median(result, name)}")
        for name in ("ttft_s", "tpot_s")
    ]
    found.append((f"{percent(result.utilization)} %", "of the time in steps"))
    found.append((f"{percent(result.kv_use_peak)} %", "of the cache in use at the peak"))
    return Cards(found)


def _median(result: ServingResult, name: str) -> str:
    return f"{significant(_MILLI * result[name].p50)} ms"


def _over_time(result: ServingResult) -> list[Part]:
    """Return the panels of requests and of the cache over time."""
    import numpy as np

    timeline = result.timeline
    if not len(timeline.running):
        return []
    every = -(-len(timeline.running) // _POINTS)
    count = -(-len(timeline.running) // every)
    edges = np.linspace(0.0, timeline.interval_s * every * count, count + 1)

    def thinned(values: Sequence[float], color: str, label: str) -> Curve:
        most = [max(values[first : first + every]) for first in range(0, len(values), every)]
        return Curve(label, color, np.asarray(most, dtype=np.float64))

    requests = [thinned(timeline.running, "busy", "running"), thinned(timeline.waiting, "late", "waiting")]
    cache = [thinned([100 * each for each in timeline.kv_use], "memory", "blocks in use")]
    return [
        Group(
            [
                chart_panel("Requests in the servers", edges, areas=requests),
                chart_panel("Cache (% of the blocks)", edges, areas=cache, top=100.0),
            ]
        )
    ]


def _rate_columns(rates: ServingRates) -> list[Column]:
    """Return mean times and costs at some rates."""
    count = len(rates.rate_per_s)
    chosen = sorted({round(count * (number + 1) / _RATES) - 1 for number in range(_RATES)} - {-1})

    def cells(values: Sequence[float], factor: float = 1.0) -> list[str]:
        return [significant(factor * values[place]) for place in chosen]

    columns = [Column("requests", "per s", cells(rates.rate_per_s))]
    for name in LATENCIES:
        if hasattr(rates, name):
            columns.append(Column(TITLES[name], "ms", cells(getattr(rates, name), _MILLI)))
    leading = headline_of(rates)
    if (costs := getattr(rates, leading.name)) is not None:
        columns.append(Column(leading.title, leading.unit, cells(costs)))
    if rates.joules_per_token is not None:
        columns.append(Column("energy of a token", "J", cells(rates.joules_per_token)))
    return columns

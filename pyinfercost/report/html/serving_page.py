"""HTML report of a server under load: the verdict, headline figures, the server over time, and its tables."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ... import _core
from ...results.latency import TITLES
from ...results.serving_result import LATENCIES
from ...results.units import amount, percent, significant
from ..colors import ALARM, FLEET, PLAIN, color_variables
from ..derived import pairs_of
from ..layout import Column
from ..serving import latency_columns
from .charts import Curve, over_time
from .fleet_parts import head, notes_panel, panel, table
from .parts import asset
from .snippet import standalone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...results.serving_result import ServingRates, ServingResult

_COLORS = {**FLEET, "demand": PLAIN, "late": ALARM, "other": PLAIN}
_POINTS = 300  # of a curve
_RATES = 8  # of a table
_MILLI = 1e3


def serving_page(result: ServingResult) -> str:
    """Return the report: one file without scripts, which loads nothing."""
    title = f"{result.model or 'A model'}: {result.engine} on {result.devices} x {result.hardware}"
    main = [
        _verdict(result),
        _cards(result),
        _over_time(result),
        panel("Times of requests", table(latency_columns(result))),
    ]
    if result.rates is not None:
        note = "The same servers at other Poisson rates, in closed form: means."
        main.append(panel("At other rates", table(_rate_columns(result.rates)), note))
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in pairs_of(result, figures=True))
    main += [panel("Figures", f"<dl>{pairs}</dl>"), notes_panel(result.notes)]
    body = head("What a server under load takes and costs", title, pairs_of(result, figures=False))
    foot = (
        f"<footer><p>Written by pyinfercost {escape(_core.__version__)}. Each step of the engine's scheduler is "
        "simulated. Nothing is loaded from a network.</p></footer>"
    )
    style = color_variables(_COLORS) + asset("base.css") + asset("fleet.css")
    return standalone(title, f"{body}<main>{''.join(main)}</main>{foot}", style, headed=False)


def _verdict(result: ServingResult) -> str:
    """Return whether the objective holds, and what limits the server."""
    said = f"Bottleneck: {result.bottleneck}."
    kind = ""
    if result.slo:
        share = f"{percent(result.slo_share or 0)} % of the requests are within it."
        if result.slo_met:
            said = f"The objective {result.slo} holds: {share} {said}"
        else:
            kind = " bad"
            said = f"The objective {result.slo} is missed: {'; '.join(result.slo_missed)}. {share} {said}"
    return f'<section class="panel{kind}">{escape(said)}</section>'


def _cards(result: ServingResult) -> str:
    """Return the headline figures."""
    found = []
    if result.usd_per_million_tokens is not None:
        found.append((amount(result.usd_per_million_tokens, "USD"), "for 10^6 generated tokens"))
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
    items = "".join(
        f'<div class="card"><output>{escape(value)}</output><span class="title">{escape(words)}</span></div>'
        for value, words in found
    )
    return f'<section class="cards" aria-label="Headline figures">{items}</section>'


def _median(result: ServingResult, name: str) -> str:
    return f"{significant(_MILLI * result[name].p50)} ms"


def _over_time(result: ServingResult) -> str:
    """Return the panels of requests and of the cache over time."""
    import numpy as np

    timeline = result.timeline
    if not len(timeline.running):
        return ""
    every = -(-len(timeline.running) // _POINTS)
    count = -(-len(timeline.running) // every)
    edges = np.linspace(0.0, timeline.interval_s * every * count, count + 1)

    def thinned(values: Sequence[float], color: str, label: str) -> Curve:
        most = [max(values[first : first + every]) for first in range(0, len(values), every)]
        return Curve(label, f"var(--{color})", np.asarray(most, dtype=np.float64))

    requests = [thinned(timeline.running, "busy", "running"), thinned(timeline.waiting, "late", "waiting")]
    cache = [thinned([100 * each for each in timeline.kv_use], "memory", "blocks in use")]
    return (
        '<div class="pair">'
        + panel("Requests in the servers", over_time(edges, areas=requests))
        + panel("Cache (% of the blocks)", over_time(edges, areas=cache, top=100.0))
        + "</div>"
    )


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
    if rates.usd_per_million_tokens is not None:
        columns.append(Column("10^6 tokens", "USD", cells(rates.usd_per_million_tokens)))
    if rates.joules_per_token is not None:
        columns.append(Column("energy of a token", "J", cells(rates.joules_per_token)))
    return columns

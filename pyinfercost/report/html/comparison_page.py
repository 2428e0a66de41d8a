"""HTML page of models side by side: a sentence, figures with their ratios, bars of times, and modules of each model."""

from __future__ import annotations

from functools import cache
from html import escape
from typing import TYPE_CHECKING

from ...results import figures
from ...results.figures import MORE
from ...results.units import quantity
from ..colors import BOUND, color_variables
from ..comparison import (
    RATIOS,
    SHOWN,
    figure_text,
    fitting,
    is_of_million,
    ratio_text,
    row_name,
    shared_terms,
    shown_figures,
    warnings_of,
)
from ..glossary import BOUNDS
from .about import written_by
from .parts import asset
from .snippet import profile_snippet, standalone

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...results.comparison import ComparedModel, Comparison

_MOST_DETAILS = 24
_ALIKE = 1.005
"""Ratio below which two figures are said to be alike."""


def comparison_page(comparison: Comparison, *, command: str = "") -> str:
    """Return the page, which has no script and loads nothing.

    Args:
        comparison: The comparison.
        command: Command that made it, which the page states.
    """
    good = [row for row in comparison.rows if not row.error]
    names = ", ".join(dict.fromkeys(row.model for row in comparison.rows))
    parts = [
        f"<header><h1>{escape(names)}</h1>{_terms(comparison)}<p id='sentence'>{escape(_sentence(comparison))}</p>"
    ]
    parts.append("</header><main>")
    parts += [
        f'<p class="bad">{escape(row_name(comparison, row))} failed: {escape(row.error)}</p>'
        for row in comparison.failed
    ]
    parts += [f'<p class="bad">{escape(text)}</p>' for text in warnings_of(comparison)]
    parts += [f"<p>{escape(text)}</p>" for text in comparison.notes]
    if good:
        parts += [_figures(comparison, good), _times(comparison, good), _details(comparison, good)]
    parts.append(f"</main><footer><p>{escape(written_by(command))}</p></footer>")
    return standalone(f"{names}: side by side", "".join(parts), _style(), headed=False)


@cache
def _style() -> str:
    return color_variables(BOUND) + asset("base.css") + asset("comparison.css")


def _terms(comparison: Comparison) -> str:
    text = " · ".join(f"{name} {value}" for name, value in shared_terms(comparison))
    return f'<p class="note">{escape(text)}</p>' if text else ""


def _sentence(comparison: Comparison) -> str:
    """Return which row is the fastest and which the cheapest, against the first one."""
    good = [row for row in comparison.rows if not row.error]
    first = comparison.first
    if first is None:
        return "Every model failed."
    if first.figures["latency_s"] is None:
        return "Counted only: a machine (--hardware) adds time, energy and cost."
    if first.phase:
        return f"Ratios are to the first row of the phase, of {first.model.removesuffix(f' ({first.phase})')}."
    good = fitting(good)
    parts = [_best(comparison, good, "latency_s", "fastest", "of the time")]
    tokens = all(row.figures["tokens_per_s"] is not None for row in good)
    cost = "usd_per_million_tokens" if tokens else "cost_usd"
    if any(row.figures[cost] is not None for row in good):
        parts.append(_best(comparison, good, cost, "cheapest", "of the cost"))
    return "; ".join(filter(None, parts)) + f"; ratios are to {row_name(comparison, first)}."


def _best(comparison: Comparison, rows: Sequence[ComparedModel], key: str, word: str, what: str) -> str:
    known = [(value, place) for place, row in enumerate(rows) if isinstance(value := row.figures[key], (int, float))]
    if not known:
        return ""
    row = rows[min(known)[1]]
    text = f"{row_name(comparison, row)} is the {word}, {figure_text(row, key)}"
    ratio = comparison.ratio(row, key)
    return text if ratio is None or ratio > 1 / _ALIKE else f"{text}, {100 * ratio:.3g} % {what} of the first"


def _figures(comparison: Comparison, rows: Sequence[ComparedModel]) -> str:
    """Return the table: a row for each model, a column for each figure, with the ratio below, the best one bold."""
    shown = shown_figures(rows)
    best = {key: _best_value(fitting(rows), key) for key, *_ in shown}
    titles = "".join(
        f'<th title="{escape(figures.FIGURES[key].words)}">{escape(figures.FIGURES[key].title)}'
        f"{'<small>per million</small>' if is_of_million(key) else ''}</th>"
        for key, *_ in shown
    )
    body = []
    for row in rows:
        cells = []
        for key, *_ in shown:
            ratio = ratio_text(comparison.ratio(row, key)) if key in RATIOS and len(rows) > 1 else ""
            kind = ' class="best"' if row.figures[key] is not None and row.figures[key] == best[key] else ""
            cells.append(f"<td{kind}>{escape(figure_text(row, key, per=False))}<small>{escape(ratio)}</small></td>")
        name = f"{escape(row_name(comparison, row))}{_misfit(row)}"
        body.append(f"<tr><th scope=row>{name}</th>{''.join(cells)}<td>{_bound(row)}</td></tr>")
    head = f"<tr><th>Model</th>{titles}<th>Bound by</th></tr>"
    return (
        '<section class="panel"><h2>Figures</h2><div class="scroll" tabindex="0">'
        f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table></div></section>"
    )


def _misfit(row: ComparedModel) -> str:
    """Return the mark of a row that does not fit the memory of its machine."""
    return "" if row.figures["fits_in_memory"] is not False else "<small>does not fit the memory</small>"


def _best_value(rows: Sequence[ComparedModel], key: str) -> float | None:
    values = [value for row in rows if isinstance(value := row.figures[key], (int, float))]
    if len(set(values)) < 2 or key not in {each.key for each in SHOWN}:  # noqa: PLR2004 - of equal values none is best
        return None
    return max(values) if figures.FIGURES[key].better == MORE else min(values)


def _bound(row: ComparedModel) -> str:
    """Return the shares of the terms that bind the latency as a bar, with a text for those who do not see it."""
    shares = sorted(((share, name) for name, share in row.bound_shares.items() if share > 0), reverse=True)
    if not shares:
        return ""
    text = ", ".join(f"{name} {100 * share:.0f} %" for share, name in shares)
    bars = "".join(f'<i style="width:{100 * share:.1f}%;background:var(--{name})"></i>' for share, name in shares)
    bar = f'<span class="bar" role="img" aria-label="{text}" title="{text}">{bars}</span>'
    return f"{bar}<small>{text.partition(',')[0]}</small>"


def _times(comparison: Comparison, rows: Sequence[ComparedModel]) -> str:
    """Return the latencies as bars from zero, with the ends of their bands."""
    timed = [row for row in rows if isinstance(row.figures["latency_s"], (int, float))]
    most = max((_seconds(row, "latency_high_s") for row in timed), default=0.0)
    if not most:
        return ""
    lines = []
    for row in timed:
        value, low, high = (_seconds(row, key) for key in ("latency_s", "latency_low_s", "latency_high_s"))
        parts = [(share * value / most, name) for name, share in row.bound_shares.items() if share > 0]
        bars = "".join(f'<i style="width:{100 * share:.2f}%;background:var(--{name})"></i>' for share, name in parts)
        band = f'<b style="left:{100 * low / most:.2f}%;width:{100 * (high - low) / most:.2f}%"></b>'
        lines.append(
            f'<div class="time"><span>{escape(row_name(comparison, row))}</span><span class="track">{bars}{band}</span>'
            f'<span class="number">{quantity(value, "s")}</span></div>'
        )
    legend = "".join(
        f'<li title="{escape(BOUNDS[name])}"><i class="swatch" style="background:var(--{name})"></i>{name}-bound</li>'
        for name in BOUND if any(row.bound_shares.get(name, 0) > 0 for row in timed)
    )  # fmt: skip
    return (
        '<section class="panel"><h2>Latency</h2><p class="note">Colors are bounds of the time, lines are error bands: '
        "four of five measurements are expected inside.</p>"
        f'{"".join(lines)}<ul class="legend">{legend}</ul></section>'
    )


def _seconds(row: ComparedModel, key: str) -> float:
    value = row.figures[key]
    return float(value) if isinstance(value, (int, float)) else 0.0


def _details(comparison: Comparison, rows: Iterable[ComparedModel]) -> str:
    """Return the totals and the modules of each model, closed."""
    profiled = [row for row in rows if row.profile is not None]
    parts = [
        f"<details><summary>{escape(row_name(comparison, row))}</summary>{profile_snippet(row.profile)}</details>"
        for row in profiled[:_MOST_DETAILS]
        if row.profile is not None
    ]
    left = len(profiled) - len(parts)
    note = f'<p class="note">{left} more rows have no modules here.</p>' if left > 0 else ""
    return f'<section class="panel"><h2>Modules</h2>{"".join(parts)}{note}</section>' if parts else ""

"""HTML page of models side by side: a sentence, figures with their ratios, bars of times, and modules of each model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    read_tokens,
    row_name,
    shared_terms,
    shown_figures,
    warnings_of,
)
from ..glossary import BOUNDS
from .about import written_by
from .parts import asset, policy_of, rendered
from .snippet import profile_snippet

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    failed = [f"{row_name(comparison, row)} failed: {row.error}" for row in comparison.failed]
    shown = shown_figures(good) if good else []
    profiled = [(row_name(comparison, row), row.profile) for row in good if row.profile is not None]
    timed = [row for row in good if isinstance(row.figures["latency_s"], (int, float))]
    return rendered(
        "comparison.html",
        title=f"{names}: side by side",
        names=names,
        terms=" · ".join(f"{name} {value}" for name, value in shared_terms(comparison)),
        sentence=_sentence(comparison),
        bad=[*failed, *warnings_of(comparison)],
        notes=comparison.notes,
        heads=[_head(key) for key, *_ in shown],
        rows=_rows(comparison, good, [key for key, *_ in shown]),
        times=_times(comparison, timed),
        bounds=[(name, BOUNDS[name]) for name in BOUND if any(row.bound_shares.get(name, 0) > 0 for row in timed)],
        profiles=[(name, profile_snippet(profile)) for name, profile in profiled[:_MOST_DETAILS]],
        left=max(0, len(profiled) - _MOST_DETAILS),
        origin=written_by(command),
        style=color_variables(BOUND) + asset("base.css") + asset("comparison.css"),
        script="",
        policy=policy_of(""),
    )


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
    cost = figures.OF_TOKENS["cost_usd"] if read_tokens(good) else "cost_usd"
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


def _head(key: str) -> tuple[str, str, str]:
    figure = figures.FIGURES[key]
    return figure.title, figure.words, "per million" if is_of_million(key) else ""


def _rows(comparison: Comparison, rows: Sequence[ComparedModel], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of the table: a cell for each figure with the ratio below, the best one marked."""
    best = {key: _best_value(fitting(rows), key) for key in keys}
    return [
        {
            "name": row_name(comparison, row),
            "is_too_large": row.figures["fits_in_memory"] is False,
            "cells": [
                {
                    "text": figure_text(row, key, per=False),
                    "ratio": ratio_text(comparison.ratio(row, key)) if key in RATIOS and len(rows) > 1 else "",
                    "is_best": row.figures[key] is not None and row.figures[key] == best[key],
                }
                for key in keys
            ],
            "bounds": [(f"{100 * share:.1f}", name) for share, name in _shares(row)],
            "bound": ", ".join(f"{name} {100 * share:.0f} %" for share, name in _shares(row)),
        }
        for row in rows
    ]


def _shares(row: ComparedModel) -> list[tuple[float, str]]:
    """Return the shares of the terms that bind the latency, the largest first."""
    return sorted(((share, name) for name, share in row.bound_shares.items() if share > 0), reverse=True)


def _best_value(rows: Sequence[ComparedModel], key: str) -> float | None:
    values = [value for row in rows if isinstance(value := row.figures[key], (int, float))]
    if len(set(values)) < 2 or key not in {each.key for each in SHOWN}:  # noqa: PLR2004 - of equal values none is best
        return None
    return max(values) if figures.FIGURES[key].better == MORE else min(values)


def _times(comparison: Comparison, timed: Sequence[ComparedModel]) -> list[dict[str, Any]]:
    """Return the latencies as bars from zero, with the ends of their bands, in percent of the largest."""
    most = max((_seconds(row, "latency_high_s") for row in timed), default=0.0)
    lines = []
    for row in timed if most else ():
        value, low, high = (_seconds(row, key) for key in ("latency_s", "latency_low_s", "latency_high_s"))
        parts = [(share * value / most, name) for name, share in row.bound_shares.items() if share > 0]
        lines.append(
            {
                "name": row_name(comparison, row),
                "parts": [(f"{100 * share:.2f}", name) for share, name in parts],
                "low": f"{100 * low / most:.2f}",
                "band": f"{100 * (high - low) / most:.2f}",
                "text": quantity(value, "s"),
            }
        )
    return lines


def _seconds(row: ComparedModel, key: str) -> float:
    value = row.figures[key]
    return float(value) if isinstance(value, (int, float)) else 0.0

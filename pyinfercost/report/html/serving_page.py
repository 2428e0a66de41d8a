"""HTML report of a server under load: its tables, and its plots as images in the page."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ...errors import MissingLibraryError
from ..plots.draw_serving import plot_latencies, plot_rates, plot_timeline
from ..plots.drawing import library
from ..render import render
from .snippet import standalone

if TYPE_CHECKING:
    from ...results.serving_result import ServingResult

_PLOTS = (
    ("Over time", plot_timeline),
    ("Latencies", plot_latencies),
    ("Cost against the rate", plot_rates),
)
_STYLE = (
    "body{font-family:sans-serif;margin:2em auto;max-width:62em;padding:0 1em}"
    "figure{margin:1.5em 0}figcaption{font-weight:600;margin-bottom:.3em}"
    "svg{max-width:100%;height:auto;background:#fff;border-radius:4px}"
)


def serving_page(result: ServingResult) -> str:
    """Return the report: one file without scripts, which loads nothing.

    Without matplotlib, the page has the tables and says how to get the plots.
    """
    title = f"{result.model or 'A model'} on {result.devices} x {result.hardware}, {result.engine}"
    return standalone(title, render(result, "snippet") + _figures(result), _STYLE)


def _figures(result: ServingResult) -> str:
    try:
        library("matplotlib")
    except MissingLibraryError:
        return "<p>Plots are left out: they need matplotlib; run pip install 'pyinfercost[plot]'</p>"
    parts = []
    for caption, draw in _PLOTS:
        if draw is plot_rates and result.rates is None:
            continue
        # A figure of its own, without pyplot: no window, and nothing of the caller's state.
        figure = library("matplotlib.figure").Figure(figsize=(8.5, 3.8), layout="constrained")
        draw(result, figure.subplots(), title=False)
        text = io.StringIO()
        with library("matplotlib").rc_context({"svg.hashsalt": caption}):  # the same page each time
            figure.savefig(text, format="svg", metadata={"Date": None})
        image = text.getvalue()
        parts.append(f"<figure><figcaption>{caption}</figcaption>{image[image.index('<svg') :]}</figure>")
    return "".join(parts)

"""Plots of a server under load with matplotlib: over time, distributions of latencies, and cost against the rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...results.latency import TITLES
from ...results.serving_result import LATENCIES
from ..derived import headline_of
from ..serving import serving_line
from .axes import axes_for, label_axis, title_and_caption

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...results.serving_result import ServingResult

_LEAST_S = 1e-6  # of a logarithmic axis: a request without a wait has none
_STEPS = 512  # of a distribution


def plot_timeline(
    result: ServingResult,
    ax: Axes | None = None,
    *,
    legend: bool = True,
    title: str | bool = True,
    caption: bool = True,
    **kwargs: Any,
) -> Axes:
    """Plot running and waiting requests over time, and the share of the cache in use on a second axis.

    Args:
        result: The result of `serve`.
        ax: Axes to draw into; None for a new figure.
        legend: Whether to draw a legend.
        title: Title; True for the default, False for none.
        caption: Whether to draw a line below the title with what limits the server.
        **kwargs: Further arguments of `Axes.plot` for the lines.

    Returns:
        The axes: seconds on x, requests on y.
    """
    ax = axes_for(ax, 8.0, 4.0)
    over = result.timeline
    times = [place * over.interval_s for place in range(len(over.running))]
    options = {"linewidth": 1.2, **kwargs}
    lines = [
        *ax.plot(times, over.running, color="C0", label="running", **options),
        *ax.plot(times, over.waiting, color="C3", label="waiting", **options),
    ]
    second = ax.twinx()
    lines += second.plot(
        times, [100 * share for share in over.kv_use], color="C2", label="cache in use", **{**options, "alpha": 0.7}
    )
    second.set_ylim(0, 105)
    second.set_ylabel("cache in use (%)")
    ax.set_xlim(0, max(times[-1], over.interval_s) if times else 1)
    ax.set_ylim(0, 1.15 * max(1, *over.running, *over.waiting))
    label_axis(ax.xaxis, "time", "s")
    ax.set_ylabel("requests")
    if legend:
        second.legend(lines, [str(line.get_label()) for line in lines], loc="upper right", fontsize="small")
    title_and_caption(ax, title, serving_line(result), [result.bottleneck], captioned=caption)
    return ax


def plot_latencies(
    result: ServingResult,
    ax: Axes | None = None,
    *,
    legend: bool = True,
    title: str | bool = True,
    caption: bool = True,
    **kwargs: Any,
) -> Axes:
    """Plot the share of the requests whose latency is at most x, for each latency; dots are p50, p90 and p99.

    Args:
        result: The result of `serve`.
        ax: Axes to draw into; None for a new figure.
        legend: Whether to draw a legend.
        title: Title; True for the default, False for none.
        caption: Whether to draw a line below the title with the objective.
        **kwargs: Further arguments of `Axes.plot` for the lines.

    Returns:
        The axes: seconds on a logarithmic x, percent of the requests on y.
    """
    import numpy as np

    ax = axes_for(ax, 8.0, 4.0)
    ax.set_xscale("log")
    shares = np.linspace(0, 100, _STEPS + 1)
    for place, name in enumerate(LATENCIES):
        latency = result[name]
        if not latency.sorted_s.size:
            continue
        values = np.maximum(np.percentile(latency.sorted_s, shares), _LEAST_S)
        ax.plot(values, shares, color=f"C{place}", label=TITLES[name], **{"linewidth": 1.4, **kwargs})
        marks = [max(getattr(latency, each), _LEAST_S) for each in ("p50", "p90", "p99")]
        ax.plot(marks, [50, 90, 99], "o", color=f"C{place}", markersize=3)
    ax.set_ylim(0, 102)
    label_axis(ax.xaxis, "latency", "s", log=True)
    ax.set_ylabel("requests (%)")
    if legend and ax.lines:
        ax.legend(loc="lower right", fontsize="small")
    met = {True: "holds", False: "does not hold", None: ""}[result.slo_met]
    note = f"{result.slo}: {met}" if result.slo else ""
    title_and_caption(ax, title, serving_line(result), [note], captioned=caption)
    return ax


def plot_rates(
    result: ServingResult,
    ax: Axes | None = None,
    *,
    legend: bool = True,
    title: str | bool = True,
    caption: bool = True,
    **kwargs: Any,
) -> Axes:
    """Plot USD for 10^6 tokens against the rate of requests, and mean latencies on a second axis, in closed form.

    Without a price, joules of a token take the place of USD.

    Args:
        result: The result of `serve`.
        ax: Axes to draw into; None for a new figure.
        legend: Whether to draw a legend.
        title: Title; True for the default, False for none.
        caption: Whether to draw a line below the title.
        **kwargs: Further arguments of `Axes.plot` for the line of the cost.

    Returns:
        The axes: requests per second on x, USD or joules on y.

    Raises:
        InputError: The result has no figures at other rates, as with prompts that share tokens.
    """
    rates = result.rates
    if rates is None:
        raise InputError(
            "the result has no figures at other rates: its prompts share tokens, or its lengths are unknown; "
            "plot_timeline and plot_latencies need none"
        )
    ax = axes_for(ax, 8.0, 4.0)
    leading = headline_of(rates)
    costs, name = getattr(rates, leading.name), f"{leading.unit} for {leading.title}"
    if costs is None:
        costs, name = rates.joules_per_token, "joules of a token"
    lines = []
    if costs is not None:
        lines += ax.plot(rates.rate_per_s, costs, color="C0", label=name, **{"linewidth": 1.6, **kwargs})
        ax.set_ylim(0, 1.1 * max(costs))
        ax.set_ylabel(name)
    second = ax.twinx()
    for color, latency in (("C1", "ttft_s"), ("C2", "tpot_s")):
        values = [1e3 * each for each in getattr(rates, latency)]
        lines += second.plot(rates.rate_per_s, values, color=color, label=f"{TITLES[latency]}, mean", linewidth=1.2)
    second.set_yscale("log")
    second.set_ylabel("latency (ms)")
    ax.set_xlim(0, rates.rate_per_s[-1] * 1.02)
    ax.set_xlabel("requests per second")
    own = result.requests_per_s
    if own <= rates.rate_per_s[-1]:
        ax.axvline(own, color="gray", linewidth=1.0, linestyle=":")
    if legend:
        second.legend(lines, [str(line.get_label()) for line in lines], loc="upper center", fontsize="small")
    text = "closed form at Poisson rates up to the capacity; dotted: this run"
    title_and_caption(ax, title, serving_line(result), [text], captioned=caption)
    return ax

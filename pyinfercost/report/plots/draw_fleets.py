"""Plots of fleets with matplotlib: demand and replicas over time, money by kind of cost, and lateness against cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ..colors import ALARM, FLEET, PLAIN
from ..fleet_series import series_of
from ..fleets import comparison_line, fleet_line, monthly, monthly_unit, objective_text
from .axes import Labels, axes_for, label_axis, library, title_and_caption

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...results.fleet_result import FleetComparison, FleetResult
    from ..fleet_series import FleetSeries

_POINTS = 1000
_ALL = 100  # percent
_DECADE = 10.0
_LABELS = 24  # most dots with names, without the front


def plot_fleet_timeline(
    result: FleetResult,
    ax: Axes | None = None,
    *,
    legend: bool = True,
    title: str | bool = True,
    caption: bool = True,
    **kwargs: Any,
) -> Axes:
    """Plot replicas over time, busy, idle and cold, and the requests that arrive on a second axis.

    Args:
        result: A fleet.
        ax: Axes to draw into; None for a new figure.
        legend: Whether to draw a legend.
        title: Title; True for the default, False for none.
        caption: Whether to draw a line below the title with the objective.
        **kwargs: Further arguments of `Axes.plot` for the line of requests.

    Returns:
        The axes: seconds on x, replicas on y.
    """
    import numpy as np

    ax = axes_for(ax, 8.0, 4.0)
    over = series_of(result, most=_POINTS)
    names = ("busy", "idle", "cold")
    colors = [FLEET[name] for name in names]
    areas = ax.stackplot(*_steps(over, [over.busy, over.idle, over.cold]), labels=names, colors=colors, alpha=0.75)
    second = ax.twinx()
    values = np.append(over.arrived_per_s, over.arrived_per_s[-1])
    options = {"color": "0.15", "linewidth": 0.9, "label": "requests", **kwargs}
    line = second.plot(over.edges_s, values, drawstyle="steps-post", **options)
    second.set_ylim(0, 1.15 * max(1e-9, float(values.max())))
    second.set_ylabel("requests per second")
    ax.set_xlim(float(over.edges_s[0]), float(over.edges_s[-1]))
    ax.set_ylim(0, 1.15 * max(1.0, float(over.paid.max())))
    label_axis(ax.xaxis, "time", "s")
    ax.set_ylabel("replicas")
    if legend:
        handles = [*areas, *line]
        second.legend(
            handles, [str(each.get_label()) for each in handles], loc="upper right", fontsize="small", ncols=4
        )
    title_and_caption(ax, title, fleet_line(result), [objective_text(result)], captioned=caption)
    return ax


def plot_money(
    result: FleetResult,
    ax: Axes | None = None,
    *,
    legend: bool = True,
    title: str | bool = True,
    caption: bool = True,
    **kwargs: Any,
) -> Axes:
    """Plot USD per hour over time: what machines cost by the use of their time, and other lines of the bill above.

    Args:
        result: A fleet with a price.
        ax: Axes to draw into; None for a new figure.
        legend: Whether to draw a legend.
        title: Title; True for the default, False for none.
        caption: Whether to draw a line below the title with the mean.
        **kwargs: Further arguments of `Axes.stackplot`.

    Returns:
        The axes: seconds on x, USD per hour on y.

    Raises:
        InputError: The fleet has no bill.
    """
    if result.bill is None:
        raise InputError("the fleet has no bill: its deployment has no price; pass price= to the deployment")
    ax = axes_for(ax, 8.0, 4.0)
    over = series_of(result, most=_POINTS)
    kinds = over.money_kinds
    colors = [FLEET.get(kind, PLAIN) for kind in kinds]
    values = [over.usd_per_h[kind] for kind in kinds]
    ax.stackplot(*_steps(over, values), labels=kinds, **{"colors": colors, "alpha": 0.75, **kwargs})
    ax.set_xlim(float(over.edges_s[0]), float(over.edges_s[-1]))
    ax.set_ylim(0, 1.2 * max(1e-9, float(sum(values).max())))  # type: ignore[union-attr]  # a sum of arrays
    label_axis(ax.xaxis, "time", "s")
    ax.set_ylabel("USD per hour")
    if legend:
        ax.legend(loc="upper right", fontsize="small", ncols=4)
    text = f"mean {result.bill.usd_per_h:.4g} USD per hour"
    title_and_caption(ax, title, fleet_line(result), [text], captioned=caption)
    return ax


def plot_front(
    comparison: FleetComparison,
    ax: Axes | None = None,
    *,
    legend: bool = True,
    title: str | bool = True,
    caption: bool = True,
    **kwargs: Any,
) -> Axes:
    """Plot the share of late requests against the cost of a month, with the front and the bounds of deployments.

    Args:
        comparison: Fleets under the same traffic.
        ax: Axes to draw into; None for a new figure.
        legend: Whether to draw a legend.
        title: Title; True for the default, False for none.
        caption: Whether to draw a line below the title with the objective.
        **kwargs: Further arguments of `Axes.plot` for the dots.

    Returns:
        The axes: USD on x (paid hours of replicas without a price), percent of the requests on y.

    Raises:
        InputError: There are no fleets.
    """
    if not comparison.fleets:
        raise InputError("the comparison has no fleets: it was stopped before the first one; run it again")
    ax = axes_for(ax, 8.0, 5.0)
    by_deployment: dict[str, list[FleetResult]] = {}
    for each in comparison.fleets:
        by_deployment.setdefault(each.deployment, []).append(each)
    for place, (name, fleets) in enumerate(by_deployment.items()):
        options = {"marker": "o", "linestyle": "", "color": f"C{place % 10}", "label": name, **kwargs}
        ax.plot([monthly(each) for each in fleets], [_ALL * each.late_share for each in fleets], **options)
    costs = [monthly(each) for each in (*comparison.fleets, *comparison.bounds)]
    if max(costs) > _DECADE * min(costs) > 0:
        ax.set_xscale("log")
        ax.set_xlim(0.85 * min(costs), max(costs) / 0.85)
    else:
        ax.set_xlim(0, 1.1 * max(costs))
    most = max(_ALL * each.late_share for each in comparison.fleets) or 1.0
    ax.set_ylim(-0.04 * most, 1.15 * most)
    front = comparison.front
    x, y = [monthly(each) for each in front], [_ALL * each.late_share for each in front]
    ends = [*x, ax.get_xlim()[1]], [*y, y[-1]]
    ax.step(*ends, where="post", color="gray", linewidth=1.0, label="front", zorder=0)
    for each in comparison.bounds:
        ax.axvline(monthly(each), color=ALARM, linewidth=0.9, linestyle=":")
    ax.xaxis.set_major_formatter(library("matplotlib.ticker").FuncFormatter(lambda value, _: f"{value:,.6g}"))
    ax.set_xlabel(f"{monthly_unit(comparison.fleets[0])} per month")
    ax.set_ylabel("late requests (%)")
    drawn = ax.legend(loc="upper right", fontsize="small") if legend else None
    labels = Labels(ax)
    if drawn is not None:
        labels.took(drawn)
    labels.keep_clear([monthly(e) for e in comparison.fleets], [_ALL * each.late_share for each in comparison.fleets])
    others = [each for each in comparison.fleets if not any(each is one for one in front)]
    for each in (*front, *others[:_LABELS]):
        labels.put(monthly(each), _ALL * each.late_share, each.policy)
    bound = "dotted: bound of a deployment" if comparison.bounds else ""
    title_and_caption(ax, title, comparison_line(comparison), [comparison.slo, bound], captioned=caption)
    return ax


def _steps(over: FleetSeries, values: list[Any]) -> tuple[Any, list[Any]]:
    """Return edges and values of areas that are constant between edges."""
    import numpy as np

    return np.repeat(over.edges_s, 2)[1:-1], [np.repeat(each, 2) for each in values]

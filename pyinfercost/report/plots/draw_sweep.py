"""Plot of the curves of a sweep, with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...sources.sizes import BATCH
from .curves import MEASURES, Curve, SweepCurves, sweep_curves
from .drawing import Labels, axes_for, label_axis, library, title_and_caption

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...sweeps.result import Sweep

_SPAN = 10.0  # axes that span more than a decade are logarithmic
_FEW = 24  # maximum number of points of a curve with markers
_FEW_KNEES = 12  # maximum number of knees with labels


def plot_sweep(
    sweep: Sweep,
    ax: Axes | None = None,
    *,
    x: str = "latency_s",
    y: str = "throughput_per_s",
    along: str | None = BATCH,
    knee: bool = True,
    pareto: bool | str | Sequence[str] = (),
    log: bool | None = None,
    legend: bool = True,
    title: str | bool = True,
    caption: bool = True,
    **kwargs: Any,
) -> Axes:
    """Plot one column of a sweep against another, as curves along the batch for each machine, precision and so on.

    Numbers beside a curve are batch sizes at its ends and at its knee (`Sweep.knee`), beyond which throughput grows
    little. Crosses mark points that exceed the memory of their machine. Of a large sweep, a few thousand evenly chosen
    points are drawn; more than a dozen curves become clouds with one color per machine. The front is always that of all
    points; so are the knees unless there are thousands of curves.

    Args:
        sweep: The result of `sweep`.
        ax: Axes to draw into; None for a new figure.
        x: A numeric column.
        y: A numeric column.
        along: The size along each curve; None for unconnected points.
        knee: Whether to mark knees.
        pareto: Columns whose Pareto front is marked, such as `("latency_s", "cost_usd")`; True for x and y.
        log: Whether both axes are logarithmic; None chooses it for ranges beyond a decade.
        legend: Whether to name the curves.
        title: Title; True for the default, False for none.
        caption: Whether to draw a line below the title that explains numbers and omissions.
        **kwargs: Further arguments of `Axes.plot` for the curves.

    Returns:
        The axes, in units without prefixes: seconds, bytes, joules, USD.

    Raises:
        ValueError: The sweep is empty; a column is missing, not numeric or unknown at all points; or `along` is not an
            axis of the sweep.
    """
    shown = sweep_curves(sweep, x=x, y=y, along=along, knee=knee, pareto=pareto)
    ax = axes_for(ax, 8.0, 5.5)
    logs = _scales(ax, shown, log)
    colors = {curve.name: _draw(ax, curve, kwargs) for curve in shown.curves}
    for place, curve in enumerate(curve for curve in shown.curves if not curve.fits.all()):
        no, label = ~curve.fits, None if place else "does not fit into memory"
        ax.plot(curve.x[no], curve.y[no], "x", markersize=5, color=colors[curve.name], label=label)
    text_color = library("matplotlib").rcParams["text.color"]
    if shown.knees:
        ax.scatter(
            [mark.x for mark in shown.knees],
            [mark.y for mark in shown.knees],
            s=70 if len(shown.knees) <= _FEW_KNEES else 16,
            facecolors="none",
            edgecolors=text_color,
            linewidths=1.3 if len(shown.knees) <= _FEW_KNEES else 0.5,
            zorder=4,
            label="knee",
        )
    if shown.front:
        _draw_front(ax, shown, text_color)
    for axis, column, is_log in ((ax.xaxis, x, logs[0]), (ax.yaxis, y, logs[1])):
        label_axis(axis, *MEASURES.get(column, (column, "")), log=is_log)
    labels = Labels(ax)
    if legend and (len(shown.curves) > 1 or shown.knees or shown.front):
        ax.legend(loc="best", fontsize="small")
        labels.took(ax.get_legend())
    if along is not None:
        _label(ax, shown, labels, colors)
    title_and_caption(ax, title, sweep_title(shown), sweep_text(shown), captioned=caption)
    return ax


def sweep_text(shown: SweepCurves) -> list[str]:
    """Return notes on the meaning of numbers and on omitted points."""
    texts = []
    if shown.along is not None and shown.curves[0].joined:
        texts.append(f"numbers: {shown.along}")
    left = shown.points - shown.unknown
    if shown.drawn < left:
        texts.append(f"{shown.drawn:,} of {left:,} points drawn")
    if shown.unknown:
        texts.append(
            f"{shown.unknown:,} without known {MEASURES.get(shown.x, (shown.x,))[0]} and "
            f"{MEASURES.get(shown.y, (shown.y,))[0]}"
        )
    return texts


def sweep_title(shown: SweepCurves) -> str:
    """Return the model and the axis values that all points share."""
    return ", ".join([shown.model or "graph", *(_shared_text(*pair) for pair in shown.shared)])


def is_spanning(values: Sequence[float]) -> bool:
    """Return whether a logarithmic axis suits the values: positive, and over more than a decade."""
    return min(values) > 0 and max(values) >= _SPAN * min(values)


def front_text(shown: SweepCurves) -> str:
    """Return the name of the front in the legend."""
    return "Pareto front of " + ", ".join(MEASURES.get(name, (name,))[0] for name in shown.objectives)


def _shared_text(name: str, value: str) -> str:
    return value if name in ("hardware", "precision", "execution", "price") else f"{name} {value}"


def _scales(ax: Axes, shown: SweepCurves, log: bool | None) -> tuple[bool, bool]:
    """Set the scales of the axes; return which are logarithmic."""
    found = []
    for values, set_scale in (
        ([value for curve in shown.curves for value in curve.x.tolist()], ax.set_xscale),
        ([value for curve in shown.curves for value in curve.y.tolist()], ax.set_yscale),
    ):
        is_log = is_spanning(values) if log is None else log
        if is_log:
            set_scale("log")
        found.append(is_log)
    return found[0], found[1]


def _draw(ax: Axes, curve: Curve, kwargs: dict[str, Any]) -> Any:
    """Draw a curve or a cloud in the next color of the axes' cycle; return the color."""
    options: dict[str, Any] = {"linewidth": 1.6, "marker": "o", "markersize": 3 if len(curve.rows) <= _FEW else 0}
    if not curve.joined:
        options = {"linestyle": "none", "marker": "." if len(curve.rows) > _FEW else "o", "markersize": 5, "alpha": 0.6}
    (line,) = ax.plot(curve.x, curve.y, **{**options, "label": curve.name or None, **kwargs})
    return line.get_color()


def _draw_front(ax: Axes, shown: SweepCurves, color: Any) -> None:
    x, y = [mark.x for mark in shown.front], [mark.y for mark in shown.front]
    style: dict[str, Any] = {"linestyle": "none"}
    if set(shown.objectives) == {shown.x, shown.y}:  # only then is the front monotonic in the plot
        style = {"linestyle": "-"}
    ax.plot(
        x,
        y,
        marker="D",
        markersize=3.5,
        markerfacecolor="none",
        color=color,
        linewidth=0.8,
        alpha=0.8,
        zorder=3,
        label=front_text(shown),
        **style,
    )


def _label(ax: Axes, shown: SweepCurves, labels: Labels, colors: dict[str, Any]) -> None:
    """Draw the batch at the knees and the ends of each curve."""
    for curve in shown.curves:
        labels.keep_clear(curve.x, curve.y)
    if len(shown.knees) <= _FEW_KNEES:
        for mark in shown.knees:
            labels.put(mark.x, mark.y, f"{mark.along:,}", weight="bold", color=colors.get(mark.name), zorder=5)
    knees = {mark.row for mark in shown.knees}
    for curve in shown.curves:
        if curve.joined:
            for place in dict.fromkeys((0, len(curve.rows) - 1)):
                if int(curve.rows[place]) not in knees:
                    text = f"{curve.along[place].item():,}"
                    labels.put(curve.x[place], curve.y[place], text, color=colors[curve.name], zorder=5)

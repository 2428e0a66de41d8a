"""Plot of the curves of a sweep, with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...results.units import amount
from ...sources.sizes import BATCH
from ..colors import ALARM
from .axes import Labels, axes_for, label_axis, library, title_and_caption
from .curves import MEASURES, Curve, SweepCurves, default_x, sweep_curves, title_of

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
    x: str | None = None,
    y: str | None = None,
    along: str | None = BATCH,
    knee: bool = True,
    pareto: bool | str | Sequence[str] = (),
    log: bool | None = None,
    legend: bool = True,
    title: str | bool = True,
    caption: bool = True,
    **kwargs: Any,
) -> Axes:
    """Plot columns of a sweep, as curves along the batch for each machine, precision and so on.

    By default, a new figure shows throughput and latency against the batch, one above the other; given `x` or `y`, one
    plot shows y (throughput) against x (the batch, if it has several values, and no front is marked; else latency).

    Rings mark the knee of each curve (`Sweep.knee`), beyond which throughput grows little, with its batch. In a plot
    against another column than the batch, numbers at the ends of a curve are batches, too. Crosses mark points that
    exceed the memory of their machine; dashed lines are the limits of the condition by which points were selected
    (`where`). Of a large sweep, a few thousand evenly chosen points are drawn; more than a dozen curves become clouds
    with one color per machine. The front and the knees are always of all points, unless there are thousands of curves.

    Args:
        sweep: The result of `sweep`.
        ax: Axes to draw into; None for a new figure.
        x: A numeric column, such as `"latency_s"`; None chooses it.
        y: A numeric column; None is throughput.
        along: The size along each curve; None for unconnected points.
        knee: Whether to mark knees.
        pareto: Columns whose Pareto front is marked, such as `("latency_s", "cost_usd")`; True for x and y.
        log: Whether both axes are logarithmic; None chooses it for ranges beyond a decade.
        legend: Whether to name the curves.
        title: Title; True for the default, False for none.
        caption: Whether to draw a line below the title that explains numbers and omissions.
        **kwargs: Further arguments of `Axes.plot` for the curves.

    Returns:
        The axes, in units without prefixes: seconds, bytes, joules, USD. Of two plots the upper one; `ax.figure.axes`
        has both.

    Raises:
        ValueError: The sweep is empty; a column is missing, not numeric or unknown at all points; or `along` is not an
            axis of the sweep.
    """
    drawn = {"along": along, "knee": knee, "pareto": pareto, "log": log, "caption": caption, **kwargs}
    if ax is None and x is None and y is None and len(sweep) and default_x(sweep, along, pareto) == along:
        plots = library("matplotlib.pyplot").subplots(2, 1, figsize=(8.0, 7.5), sharex=True, layout="constrained")[1]
        upper: Axes = plots[0]
        plot_sweep(sweep, upper, legend=legend, title=title, **drawn)
        plot_sweep(sweep, plots[1], y="latency_s", legend=False, title=False, **{**drawn, "caption": False})
        upper.set_xlabel("")
        return upper
    shown = sweep_curves(sweep, x=x, y=y or "throughput_per_s", along=along, knee=knee, pareto=pareto)
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
    _draw_limits(ax, shown)
    for axis, column, is_log in ((ax.xaxis, shown.x, logs[0]), (ax.yaxis, shown.y, logs[1])):
        label_axis(axis, title_of(column), MEASURES.get(column, ("", ""))[1], log=is_log)
    labels = Labels(ax)
    if legend and (len(shown.curves) > 1 or shown.knees or shown.front or shown.limits_x or shown.limits_y):
        ax.legend(loc="best", fontsize="small")
        labels.took(ax.get_legend())
    if along is not None:
        _label(ax, shown, labels, colors)
    title_and_caption(ax, title, _sweep_title(shown), _sweep_text(shown), captioned=caption)
    return ax


def _sweep_text(shown: SweepCurves) -> list[str]:
    """Return notes on the meaning of numbers and on omitted points."""
    texts = []
    if shown.along is not None and shown.curves[0].joined:
        what = title_of(shown.along)
        if shown.along != shown.x:
            texts.append(f"numbers beside a curve: {what} at its ends" + (" and at its knee" if shown.knees else ""))
        elif shown.knees:
            texts.append(f"rings: the knee of a curve with its {what}; beyond it, throughput grows little")
    left = shown.points - shown.unknown
    if shown.drawn < left:
        texts.append(f"{shown.drawn:,} of {left:,} points drawn")
    if shown.unknown:
        texts.append(f"{shown.unknown:,} without known {title_of(shown.x)} and {title_of(shown.y)}")
    return texts


def _sweep_title(shown: SweepCurves) -> str:
    """Return the drawn figures, the model, and the axis values that all points share."""
    drawn = (
        f"{title_of(shown.y)} by {title_of(shown.x)}"
        if shown.x == shown.along
        else (f"{title_of(shown.y)} against {title_of(shown.x)}")
    )
    whose = ", ".join([shown.model or "graph", *(_shared_text(*pair) for pair in shown.shared)])
    return f"{drawn[0].upper()}{drawn[1:]}: {whose}"


def _is_spanning(values: Sequence[float]) -> bool:
    """Return whether a logarithmic axis suits the values: positive, and over more than a decade."""
    return min(values) > 0 and max(values) >= _SPAN * min(values)


def _front_text(shown: SweepCurves) -> str:
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
        is_log = _is_spanning(values) if log is None else log
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


def _draw_limits(ax: Axes, shown: SweepCurves) -> None:
    """Draw the limits of the condition of the points."""
    style: dict[str, Any] = {"linestyle": "--", "linewidth": 1, "color": ALARM, "zorder": 2}
    for numbers, column, draw in ((shown.limits_x, shown.x, ax.axvline), (shown.limits_y, shown.y, ax.axhline)):
        for number in numbers:
            unit = MEASURES.get(column, ("", ""))[1]
            draw(number, label=f"limit: {title_of(column)} {amount(number, unit)}".rstrip(), **style)


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
        label=_front_text(shown),
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
    for curve in shown.curves if shown.x != shown.along else ():
        if curve.joined:
            for place in dict.fromkeys((0, len(curve.rows) - 1)):
                if int(curve.rows[place]) not in knees:
                    text = f"{curve.along[place].item():,}"
                    labels.put(curve.x[place], curve.y[place], text, color=colors[curve.name], zorder=5)

"""Shared parts of plots: axes, titles, captions, units of axes, and placement of labels without overlap.

All data is drawn in units without a prefix (seconds, bytes, FLOP/s), so that further lines by the caller match. Ticks
use a suitable prefix, which the axis states.
"""

from __future__ import annotations

import textwrap
from importlib import import_module
from math import log10
from typing import TYPE_CHECKING, Any

from ...errors import InputTypeError, MissingLibraryError
from ...results.units import scale_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.text import Annotation

_DECADES = 2.5  # axes with fewer decades have ticks at 1, 2 and 5
_PREFIXED = ("s", "J", "B", "FLOP")
_NARROW = 20  # minimum characters of a caption line
_MARGIN = 50.0  # points left of the axes of a default figure
_GAP = 1.5  # points between labels
_NEAR = 12  # offsets in points: first next to the mark, then at the end of a leader line
_FAR = 30
_CROSSING = 8  # crossing another label's line is as bad as covering this many marks


def library(name: str) -> Any:
    """Import a module of matplotlib; the error of a missing one names the extra to install."""
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            f"a plot needs matplotlib, which cannot be imported ({error}); run pip install 'pyinfercost[plot]'",
            name="matplotlib",
        ) from error


def axes_for(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the axes to draw into: the given axes, or the axes of a new figure.

    Args:
        ax: Axes, or None.
        width: Width of a new figure in inches.
        height: Height of a new figure in inches.

    Returns:
        The axes.

    Raises:
        InputTypeError: `ax` is not matplotlib Axes, such as a figure or the array returned by `plt.subplots(2)`.
    """
    if ax is None:
        made: Axes = library("matplotlib.pyplot").subplots(figsize=(width, height), layout="constrained")[1]
        return made
    library("matplotlib")
    if not hasattr(ax, "transData"):
        raise InputTypeError(f"ax is of type {type(ax).__name__}; expected matplotlib Axes, or None for new ones")
    return ax


def title_and_caption(
    ax: Axes, title: str | bool, default: str, caption: Sequence[str], *, captioned: bool, names: Sequence[str] = ()
) -> None:
    """Draw the title, and below it a caption in smaller type.

    Args:
        ax: The axes.
        title: A text, True for the default, False for none.
        default: The default title.
        caption: Parts of the caption; empty ones are skipped.
        captioned: Whether to draw the caption.
        names: Labels left of the axes, which reduce the width of the axes.
    """
    reserved = 0.5 * _points(ax, "medium") * max((len(name) for name in names), default=0)
    text = "; ".join(part for part in caption if part)
    lines = _wrapped(ax, text, "small", reserved) if captioned and text else []
    if lines:
        ax.annotate(
            "\n".join(lines),
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 4),
            textcoords="offset points",
            va="bottom",
            fontsize="small",
            alpha=0.85,
            annotation_clip=False,
        ).set_gid("caption")
    wanted = default if title is True else title
    if wanted:
        pad = 6 + len(lines) * 1.35 * _points(ax, "small") + (3 if lines else 0)
        ax.set_title("\n".join(_wrapped(ax, wanted, "large", reserved)), loc="left", pad=pad)


def label_axis(axis: Axis, name: str, unit: str, *, log: bool = False) -> None:
    """Name an axis and format its ticks with a suitable prefix; rates always use TFLOP/s."""
    ticker = library("matplotlib.ticker")
    low, high = axis.get_view_interval()
    factor, shown = 1.0, unit
    if unit == "FLOP/s":
        factor, shown = 1e12, "TFLOP/s"
    elif unit == "items/s":
        scale = scale_for(high, "")
        factor, shown = scale.factor, f"{scale.unit} {unit}".strip()
    elif unit.endswith("/1M"):
        factor = 1e-6
    elif unit in _PREFIXED:
        scale = scale_for((low * high) ** 0.5 if log else high, unit)
        factor, shown = scale.factor, scale.unit
    axis.set_label_text(f"{name} ({shown})" if shown else name)
    if log:
        decades = log10(high / low) if low > 0 else _DECADES
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if decades < _DECADES else (1,)))
        axis.set_minor_formatter(ticker.NullFormatter())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value / factor:,.6g}"))


def halo(ax: Axes) -> list[Any]:
    """Return path effects that keep text legible on lines and dots on any background."""
    effects: list[Any] = [library("matplotlib.patheffects").withStroke(linewidth=2.5, foreground=ax.get_facecolor())]
    return effects


def shortened(name: str, longest: int = 34) -> str:
    """Shorten a long name in its middle; its end is the most specific part."""
    if len(name) <= longest:
        return name
    kept = (longest - 1) // 3
    return f"{name[:kept]}…{name[-(longest - 1 - kept) :]}"


class Labels:
    """Placement of labels next to points, without overlap with other labels and over as few marks as possible.

    Positions are computed for the current axes: set their limits before the first label.
    """

    def __init__(self, ax: Axes) -> None:
        import numpy as np

        self._ax = ax
        self._pixels = ax.figure.dpi / 72  # per point
        self._taken: list[Any] = []
        self._marks = np.empty((0, 2))
        self._large = np.empty((0, 2))  # half extents of marks with an area

    def keep_clear(self, x: Iterable[float], y: Iterable[float], areas: Iterable[float] | None = None) -> None:
        """Register marks or points of a line that labels should not cover; areas of marks are in square points."""
        import numpy as np

        there = self._ax.transData.transform(np.column_stack([list(x), list(y)]))
        self._marks = np.concatenate([self._marks, there])
        if areas is not None:
            radius = np.sqrt(np.asarray(list(areas)) / np.pi)[:, None] * self._pixels
            angles = np.arange(0, 2 * np.pi, np.pi / 4)
            rings = [
                there + part * radius * (np.cos(angle), np.sin(angle)) for angle in angles for part in (0, 0.5, 0.95)
            ]
            self._large = np.concatenate([self._large, *rings])
            self._marks = np.concatenate([self._marks, *rings])

    def took(self, artist: Any) -> None:
        """Register an existing artist, such as a legend."""
        self._taken.append(artist.get_window_extent())

    def stands(self, text: Any, *, beside_marks: bool = False) -> bool:
        """Register a text if its position is free; `beside_marks` also requires that it covers no mark."""
        box = self._box(text)
        if beside_marks and box.count_contains(self._large):
            return False
        if not self._inside(box) or any(box.overlaps(other) for other in self._taken):
            return False
        self._taken.append(box)
        return True

    def put(self, x: float, y: float, text: str, *, pointed: bool = False, **style: Any) -> Annotation | None:
        """Place a label next to a point.

        Args:
            x: Position of the point.
            y: Position of the point.
            text: The label.
            pointed: Whether a leader line to the point is drawn, which allows positions farther away.
            **style: Further arguments of `Axes.annotate`.

        Returns:
            The label; None if there is no room for it.
        """
        import numpy as np

        distances = (_NEAR, _FAR, 2 * _FAR, 3 * _FAR) if pointed else (_NEAR / 2, _NEAR)
        line = {"arrowstyle": "-", "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0, "alpha": 0.7} if pointed else None
        label = self._ax.annotate(
            text, (x, y), textcoords="offset points", xytext=(0, 0), arrowprops=line, path_effects=halo(self._ax)
        )
        label.set(**{"fontsize": "small", **style})
        best: tuple[int, tuple[float, float], Any] | None = None
        for distance in distances:
            for across, upwards in ((1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0)):
                covered, box = self._try(label, across, upwards, distance)
                if covered is not None and (best is None or covered < best[0]):
                    best = (covered, (across, upwards), distance)
            if best is not None and best[0] == 0:
                break
        if best is None:
            label.remove()
            return None
        _, box = self._try(label, *best[1], best[2])
        self._taken.append(box)
        if pointed:
            self._marks = np.concatenate([self._marks, self._line_to(label)])
        return label

    def _try(self, label: Annotation, across: float, upwards: float, distance: float) -> tuple[int | None, Any]:
        """Return the number of marks that a label covers at a position; None if it overlaps a label or the border."""
        label.set(ha=("center", "left", "right")[int(across)], va=("center", "bottom", "top")[int(upwards)])
        label.set_position((across * distance, upwards * distance / (2 if across else 1)))
        box = self._box(label)
        if not self._inside(box) or any(box.overlaps(other) for other in self._taken):
            return None, box
        marks = self._marks
        covered = (marks[:, 0] > box.x0) & (marks[:, 0] < box.x1) & (marks[:, 1] > box.y0) & (marks[:, 1] < box.y1)
        crossed = 0
        if label.arrow_patch is not None:
            line = self._line_to(label)
            crossed = sum(bool(other.count_contains(line)) for other in self._taken)
        return int(covered.sum()) + _CROSSING * crossed, box

    def _line_to(self, label: Annotation) -> Any:
        """Return points along the leader line of a label."""
        import numpy as np

        start = self._ax.transData.transform(label.xy)
        return start + np.linspace(0.1, 1, 12)[:, None] * (np.asarray(label.get_position()) * self._pixels)

    def _inside(self, box: Any) -> bool:
        axes = self._ax.bbox
        return bool(axes.x0 <= box.x0 and box.x1 <= axes.x1 and axes.y0 <= box.y0 and box.y1 <= axes.y1)

    def _box(self, text: Any) -> Any:
        """Return the bounding box of a text without its leader line."""
        text.get_window_extent()  # positions an annotation; its own result includes the leader line
        box = library("matplotlib.text").Text.get_window_extent(text)
        return box.padded(_GAP * self._pixels)


def _points(ax: Axes, size: str) -> float:
    points: float = library("matplotlib.font_manager").FontProperties(size=size).get_size_in_points()
    return points


def _wrapped(ax: Axes, text: str, size: str, reserved: float) -> list[str]:
    """Wrap a text to the width of the axes, assuming letters half as wide as high."""
    width = ax.get_window_extent().width * 72 / ax.figure.dpi - max(0.0, reserved - _MARGIN)
    return textwrap.wrap(text, max(_NARROW, int(width / (0.52 * _points(ax, size)))))

"""Charts of pages without scripts: curves and areas over time, and dots, which fit any width.

Shapes are SVG that is stretched to the width of the page, with lines of constant width. Labels and dots are HTML, so
that their size does not depend on the width.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

_WIDE, _HIGH = 2000, 500  # units of a drawing
_TICKS = 4
_TIMES = 8  # most ticks of time
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
_DECADES = 1.2  # shares of more decades are on a logarithmic axis
_NEAR_ZERO = 0.3
_MARGIN = 0.06


@dataclass(frozen=True)
class Curve:
    """Values over time.

    Attributes:
        label: Its name in the legend.
        color: A color of CSS.
        values: Value of each interval.
        dashed: Whether its line is dashed.
    """

    label: str
    color: str
    values: NDArray[np.float64]
    dashed: bool = False


@dataclass(frozen=True)
class Dot:
    """A dot of a scatter.

    Attributes:
        x: Amount on the horizontal axis, above 0.
        y: Share on the vertical axis, 0 to 1.
        text: A short text in the dot.
        title: A text that is shown when the mouse points at it.
        kind: Class of CSS.
    """

    x: float
    y: float
    text: str
    title: str
    kind: str


def over_time(
    edges_s: NDArray[np.float64],
    *,
    areas: Sequence[Curve] = (),
    lines: Sequence[Curve] = (),
    top: float | None = None,
    small: bool = False,
) -> str:
    """Return areas on top of each other and lines over time, as steps from edge to edge.

    Args:
        edges_s: Edges of the intervals, in seconds.
        areas: Curves that add up, the lowest one first.
        lines: Curves that do not.
        top: End of the vertical axis; None for that of the values.
        small: Whether the chart is one of several small ones, without a legend.

    Returns:
        The chart with its legend.
    """
    import numpy as np

    sums = list(np.cumsum([each.values for each in areas], axis=0)) if areas else []
    most = max(float(each.max()) for each in (*sums[-1:], *(each.values for each in lines)))
    ticks = _ticks(most if top is None else top)
    high = ticks[-1]
    x = _WIDE * (edges_s - edges_s[0]) / max(1e-9, float(edges_s[-1] - edges_s[0]))
    shapes = [
        f'<path d="{_steps(x, total / high, closed=True)}" style="fill:{each.color}"/>'
        for each, total in reversed(list(zip(areas, sums, strict=True)))
        if each.values.any()
    ]
    for each in lines:
        dashes = ";stroke-dasharray:5 4" if each.dashed else ""
        shapes.append(f'<path class="line" d="{_steps(x, each.values / high)}" style="stroke:{each.color}{dashes}"/>')
    legend = "" if small else _legend([*lines, *reversed(areas)])
    chart = _frame(shapes, _vertical(ticks), _times(edges_s), small=small)
    return chart + legend


def scatter(dots: Sequence[Dot], front: Sequence[tuple[float, float]], end: float, *, unit: str) -> str:
    """Return dots of an amount and a share, with the steps of their front.

    Args:
        dots: The dots.
        front: Points of the front in the order of x, y falling.
        end: Amount at which the horizontal axis ends; dots beyond it are at its edge.
        unit: Unit of the amount.

    Returns:
        The chart. The vertical axis is logarithmic if shares span more than a decade, with shares of 0 at its bottom.
    """
    across = _Amounts(min(dot.x for dot in dots), end)
    up = _Shares([dot.y for dot in dots])
    points = [(across.place(x), up.place(y)) for x, y in front]
    path = ""
    for number, (x, y) in enumerate(points):
        here = f"{_WIDE * x:.0f} {_HIGH * (1 - y):.0f}"
        path += f"M{here}" if number == 0 else f"H{_WIDE * x:.0f}V{_HIGH * (1 - y):.0f}"
    if points:
        path += f"H{_WIDE}"
    spots = "".join(_spot(dot, across.place(dot.x), up.place(dot.y)) for dot in dots)
    shapes = [f'<path class="line front" d="{path}"/>'] if path else []
    ticks = [(up.place(value), text) for value, text in up.ticks]
    return _frame(shapes, ticks, [(across.place(value), text) for value, text in across.ticks], spots=spots) + (
        f'<p class="axis">{escape(unit)}</p>'
    )


def _spot(dot: Dot, x: float, y: float) -> str:
    place = f"left:{100 * x:.2f}%;bottom:{100 * y:.2f}%"
    return f'<span class="dot {dot.kind}" style="{place}" title="{escape(dot.title)}">{escape(dot.text)}</span>'


class _Amounts:
    """A horizontal axis: linear from 0 if amounts begin near it, else from somewhat below the smallest one."""

    def __init__(self, low: float, high: float) -> None:
        self.low = 0.0 if low < _NEAR_ZERO * high else max(0.0, low - _MARGIN * (high - low or high))
        self.high = high + _MARGIN * (high - self.low or 1.0)
        step = _ticks(self.high - self.low)[1]
        values = [step * number for number in range(ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9) + 1)]
        self.ticks = [(value, f"{value:,.6g}") for value in values]

    def place(self, value: float) -> float:
        """Return the place of an amount, 0 at the left and 1 at the right; larger ones are at the right edge."""
        return min(1.0, (value - self.low) / (self.high - self.low))


class _Shares:
    """A vertical axis of shares in percent: linear or, if they span more than a decade, logarithmic above 0.01 %."""

    def __init__(self, shares: Sequence[float]) -> None:
        most = 100 * max([*shares, 0.0])
        known = [100 * share for share in shares if share > 0]
        self.low = -2.0
        self.log = bool(known) and log10(most / min(known)) > _DECADES
        if self.log:
            self.low = max(-2.0, floor(log10(min(known)) + 1e-9))
            self.high = log10(most) + 0.15
            powers = range(round(self.low), ceil(self.high) + 1)
            values = [base * 10.0**power for power in powers for base in (1, 3)]
            texts = [(0.0, "0 %"), *((value, f"{value:g} %") for value in values)]
        else:
            ticks = _ticks(max(most, 1e-6))
            self.high = 1.1 * max(ticks[-1] if most == 0 else most, 1e-6)
            texts = [(value, f"{value:g} %") for value in ticks]
        self.ticks = [(value / 100, text) for value, text in texts if self.place(value / 100) <= 1]

    def place(self, share: float) -> float:
        """Return the place of a share, 0 at the bottom and 1 at the top."""
        value = 100 * share
        least = 0.03  # dots stay inside
        if not self.log:
            return least + (1 - least) * value / self.high
        bottom = 0.12  # above it is the logarithmic part, below it are shares of 0
        if value < 10**self.low:
            return least
        return bottom + (1 - bottom) * (log10(value) - self.low) / (self.high - self.low)


def _frame(
    shapes: Sequence[str],
    vertical: Sequence[tuple[float, str]],
    horizontal: Sequence[tuple[float, str]],
    *,
    spots: str = "",
    small: bool = False,
) -> str:
    """Return shapes with a grid and the labels of both axes, whose places are shares of the extent."""
    grid = "".join(f'<path class="grid" d="M0 {_HIGH * (1 - y):.0f}H{_WIDE}"/>' for y, _ in vertical)
    left = "".join(f'<span class="y" style="bottom:{100 * y:.2f}%">{escape(text)}</span>' for y, text in vertical)
    below = "".join(
        f'<span class="x{" odd" if number % 2 else ""}" style="left:{100 * x:.2f}%">{escape(text)}</span>'
        for number, (x, text) in enumerate(horizontal)
    )
    return (
        f'<div class="plot{" small" if small else ""}">'
        f'<svg viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" aria-hidden="true">'
        f"{grid}{''.join(shapes)}</svg>{left}{below}{spots}</div>"
    )


def _legend(curves: Sequence[Curve]) -> str:
    lines = "".join(
        f'<li><span class="swatch" style="background:{each.color}"></span>{escape(each.label)}</li>' for each in curves
    )
    return f'<ul class="legend">{lines}</ul>'


def _steps(x: NDArray[np.float64], shares: NDArray[np.float64], *, closed: bool = False) -> str:
    """Return the path of a value that is constant between edges; a closed one is the area below."""
    heights = [round(_HIGH * (1 - min(1.0, float(share)))) for share in shares]
    places = [round(float(each)) for each in x]
    parts = [f"M{places[0]} {_HIGH}V{heights[0]}" if closed else f"M{places[0]} {heights[0]}"]
    for number, height in enumerate(heights):
        if number + 1 < len(heights) and heights[number + 1] == height:
            continue
        parts.append(f"H{places[number + 1]}")
        if number + 1 < len(heights):
            parts.append(f"V{heights[number + 1]}")
    return "".join(parts) + (f"V{_HIGH}Z" if closed else "")


def _ticks(most: float) -> list[float]:
    """Return round numbers from 0 to at least `most`."""
    if most <= 0:
        return [0.0, 1.0]
    raw = most / _TICKS
    base = 10.0 ** floor(log10(raw))
    step = next(base * each for each in (1, 2, 2.5, 5, 10) if base * each >= raw * (1 - 1e-9))
    return [float(f"{number * step:.6g}") for number in range(ceil(most / step - 1e-9) + 1)]


def _vertical(ticks: Sequence[float]) -> list[tuple[float, str]]:
    return [(value / ticks[-1], f"{value:,.6g}") for value in ticks]


def _times(edges_s: NDArray[np.float64]) -> list[tuple[float, str]]:
    """Return the places and texts of ticks of time."""
    span = max(1e-9, float(edges_s[-1] - edges_s[0]))
    step = next((each for each in _STEPS_S if span / each <= _TIMES), None)
    if step is None:
        step = _DAY_S * max(1, ceil(span / _TIMES / _DAY_S))
    unit, seconds = next(
        each for each in (("days", _DAY_S), ("h", _HOUR_S), ("min", _MINUTE_S), ("s", 1)) if step >= each[1]
    )
    return [
        (number * step / span, f"{number * step / seconds:g} {unit}" if number else "0")
        for number in range(floor(span / step) + 1)
    ]

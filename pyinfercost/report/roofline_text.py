"""Roofline in text: logarithmic axes, roofs and slopes as lines, and one mark for the layers of each cell."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import field
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from .._records import dataclass
from ..results.estimate import BOUNDS
from ..results.units import percent, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .roofline import Dot, Ridge, Roofline, Slope

ROWS = 13
"""Height of the plot in lines, without its axis and legend."""
_LEAST_COLUMNS = 24
_MARGIN = 7  # width of a tick label: "100 T" and a space
_SHARES = (0.01, 0.05, 0.20)  # shares of the total time at which the next larger mark begins
_THIRDS = 3
_AROUND = 10**0.15  # margin factor around the outermost content
_FALLBACK = 100.0  # without dots, the axis spans two decades on both sides of the ridge

Line = list[tuple[str, str]]
"""Pieces of a line, each with the bound that determines its color, or an empty string."""


@dataclass(frozen=True)
class _Characters:
    marks: str  # by share of the time
    slope: str  # a line in the lower, middle and upper third of a cell
    inner: str  # the same for caches
    roof: str
    axis: str
    corner: str
    tick: str
    foot: str  # the lower axis, and its crossing with a ridge
    ridge: str


_PLAIN = _Characters("+oO@", ".-'", ":::", "-", "|", "+", "+", "-", "^")
_DRAWN = _Characters("·•●◉", "▁─▔", "┄┄┄", "─", "│", "└", "┤", "─", "▲")


@dataclass(frozen=True)
class Axes:
    """Mapping of values to cells of a plot.

    Attributes:
        columns: Number of cells from left to right (FLOP per byte).
        rows: Number of cells from top to bottom (FLOP per second).
        left: Intensity at the left edge.
        right: Intensity at the right edge.
        low: Rate at the lower edge.
        high: Rate at the upper edge.
    """

    columns: int
    rows: int
    left: float
    right: float
    low: float
    high: float

    def column(self, intensity: float) -> int:
        """Return the cell of an intensity, counted from the left."""
        return floor(self.columns * log10(intensity / self.left) / log10(self.right / self.left))

    def height(self, rate: float) -> float:
        """Return the height of a rate above the lower edge, in cells."""
        return self.rows * log10(rate / self.low) / log10(self.high / self.low)

    def row(self, rate: float) -> int:
        """Return the cell of a rate, counted from the top."""
        return self.rows - 1 - floor(self.height(rate))

    def intensity(self, column: int) -> float:
        """Return the intensity at the center of a column."""
        return float(self.left * (self.right / self.left) ** ((column + 0.5) / self.columns))


@dataclass
class _Plot:
    axes: Axes
    characters: _Characters
    cells: list[list[tuple[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cells = [[(" ", "")] * self.axes.columns for _ in range(self.axes.rows)]

    def put(self, row: int, column: int, character: str, bound: str = "") -> None:
        if 0 <= row < self.axes.rows and 0 <= column < self.axes.columns:
            self.cells[row][column] = (character, bound)

    def rising(self, byte_per_s: float, peak: float, thirds: str) -> None:
        """Draw the slope of a memory level up to a roof."""
        for column in range(self.axes.columns):
            rate = self.axes.intensity(column) * byte_per_s
            if self.axes.low <= rate < peak:
                height = self.axes.height(rate)
                self.put(self.axes.row(rate), column, thirds[min(int(_THIRDS * (height % 1)), _THIRDS - 1)])

    def level(self, rate: float, from_intensity: float) -> None:
        """Draw a roof, from its crossing with the innermost drawn memory level."""
        for column in range(max(self.axes.column(from_intensity), 0), self.axes.columns):
            self.put(self.axes.row(rate), column, self.characters.roof)

    def name(self, text: str, row: int) -> None:
        """Write the name of a roof on its line, right-aligned before any mark; omit it if there is no room."""
        line = (" ", self.characters.roof)
        text = f" {text} "
        for column in range(self.axes.columns - len(text) - 2, -1, -1):
            if 0 <= row < self.axes.rows and all(cell in line for cell, _ in self.cells[row][column:][: len(text)]):
                for place, character in enumerate(text):
                    self.put(row, column + place, character)
                return


def axes_of(roofline: Roofline, columns: int, rows: int = ROWS) -> Axes:
    """Return axes that include every layer, every roof in use, and the ridges of the outermost memory level."""
    rates = [roof.flop_per_s for roof in roofline.roofs if roof.used] or [roofline.roofs[0].flop_per_s]
    ridges = [ridge.intensity for ridge in _outer(roofline)] or [rates[0] / roofline.slopes[-1].byte_per_s]
    wide = [dot.intensity for dot in roofline.dots] or [ridges[0] / _FALLBACK, ridges[0] * _FALLBACK]
    high = [dot.flop_per_s for dot in roofline.dots] or [rates[0] / _FALLBACK**2]
    return Axes(
        columns=columns,
        rows=rows,
        left=min(*wide, *ridges) / _AROUND,
        right=max(*wide, *ridges) * _AROUND * _AROUND,
        low=min(*high, *rates) / _AROUND,
        high=max(*high, *rates) * _AROUND,
    )


def mark_of(share: float) -> int:
    """Return the size of a mark, from 0 to 3, by the share of the total time in its cell."""
    return sum(share >= least for least in _SHARES)


def drawn(roofline: Roofline, width: int, *, blocks: bool = False, colors: bool = False) -> list[Line]:
    """Return the lines of a plot with its axes and its legend.

    Args:
        roofline: The roofline.
        width: Width of the page in characters.
        blocks: Whether characters beyond ASCII are available.
        colors: Whether the caller colors pieces by their bound; the legend then explains the colors.

    Returns:
        The lines.
    """
    characters = _DRAWN if blocks else _PLAIN
    axes = axes_of(roofline, max(width - _MARGIN - 1, _LEAST_COLUMNS))
    plot = _Plot(axes, characters)
    used = [roof for roof in roofline.roofs if roof.used]
    peak = max((roof.flop_per_s for roof in used), default=roofline.roofs[0].flop_per_s)
    for slope in _levels(roofline):
        outermost = slope is roofline.slopes[-1]
        plot.rising(slope.byte_per_s, peak, characters.slope if outermost else characters.inner)
    for roof in used:
        plot.level(roof.flop_per_s, roof.flop_per_s / _levels(roofline)[0].byte_per_s)
    _place_marks(plot, roofline.dots)
    for roof in used:
        plot.name(f"{roof.label} {quantity(roof.flop_per_s, 'FLOP/s')}", axes.row(roof.flop_per_s))
    lines = [Line([("FLOP/s", "")])]
    ticks = {axes.row(rate): quantity(rate, "").split() for rate in _decades(axes.low, axes.high)}
    for row, cells in enumerate(plot.cells):
        tick = " ".join(_short(ticks[row])) if row in ticks else ""
        edge = characters.tick if row in ticks else characters.axis
        lines.append([(f"{tick:>{_MARGIN - 1}} {edge}", ""), *cells])
    return [
        *lines,
        *_feet(axes, roofline, characters),
        *_legend(roofline, characters, axes.columns + _MARGIN + 1, colors=colors),
    ]


def _place_marks(plot: _Plot, dots: Sequence[Dot]) -> None:
    """Draw one mark for all layers of a cell, sized by their share, in the color of the bound with the most time."""
    shares: dict[tuple[int, int], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for dot in dots:
        shares[plot.axes.row(dot.flop_per_s), plot.axes.column(dot.intensity)][dot.bound] += dot.share
    for (row, column), by_bound in shares.items():
        size = mark_of(sum(by_bound.values()))
        plot.put(row, column, plot.characters.marks[size], max(by_bound, key=by_bound.__getitem__))


def _feet(axes: Axes, roofline: Roofline, characters: _Characters) -> list[Line]:
    """Return the lower axis with its ticks, and the ridges of the outermost memory level."""
    ridges = _outer(roofline)
    foot = [characters.foot] * axes.columns
    for ridge in ridges:
        foot[axes.column(ridge.intensity)] = characters.ridge
    numbers = [" "] * axes.columns
    unit = "FLOP/B"
    for intensity in _decades(axes.left, axes.right):
        text, column = f"{intensity:g}", axes.column(intensity)
        first = min(max(column - len(text) // 2, 0), axes.columns - len(unit) - len(text) - 1)
        if all(cell == " " for cell in numbers[max(first - 1, 0) : first + len(text) + 1]):
            numbers[first : first + len(text)] = text
            if foot[column] != characters.ridge:
                foot[column] = characters.tick if characters is _PLAIN else "┬"
    numbers[-len(unit) :] = unit
    margin = " " * _MARGIN
    lines = [
        [(margin + characters.corner + "".join(foot), "")],
        [(margin + " " + "".join(numbers), "")],
    ]
    return [*lines, *_wrapped([_ridge_text(ridge, characters) for ridge in ridges], axes.columns + _MARGIN + 1)]


def _ridge_text(ridge: Ridge, characters: _Characters) -> tuple[str, str]:
    return f"{characters.ridge} ridge of {ridge.roof} with {ridge.level}: {ridge.intensity:.3g} FLOP/B", ""


def _legend(roofline: Roofline, characters: _Characters, width: int, *, colors: bool) -> list[Line]:
    marks = [(f"{characters.marks[0]} below {percent(_SHARES[0])} %", "")]
    marks += [
        (f"{mark} from {percent(share)} %", "") for mark, share in zip(characters.marks[1:], _SHARES, strict=True)
    ]
    slopes = [
        (f"{characters.slope if slope is roofline.slopes[-1] else characters.inner} {slope.level} "
         f"{quantity(slope.byte_per_s, 'B/s')}", "")
        for slope in _levels(roofline)
    ]  # fmt: skip
    lines = _wrapped(slopes, width)
    lines += _wrapped([("layers by share of time:", ""), *marks], width)
    if colors:
        lines += _wrapped([("bound by", ""), *((bound, bound) for bound in BOUNDS)], width)
    number, share = roofline.without_flops, percent(roofline.without_flops_share)
    if number:
        who = "1 layer computes" if number == 1 else f"{number:,} layers compute"
        lines.append([(f"{who} nothing, in {share} % of the time: not shown", "")])
    else:
        lines.append([("every layer with nonzero time has FLOPs and is shown", "")])
    return lines


def _wrapped(pieces: Sequence[tuple[str, str]], width: int) -> list[Line]:
    """Join pieces to lines, as many as fit on each."""
    lines: list[Line] = []
    used = width
    for text, bound in pieces:
        if used + 3 + len(text) > width:
            lines.append([])
            used = 0
        if lines[-1]:
            lines[-1].append(("   ", ""))
            used += 3
        lines[-1].append((text, bound))
        used += len(text)
    return lines


def _levels(roofline: Roofline) -> Sequence[Slope]:
    """Return the outermost memory level and the cache next to it; more lines would hide the dots."""
    return roofline.slopes[-2:]


def _outer(roofline: Roofline) -> list[Ridge]:
    """Return the ridges of the outermost memory level with the roofs in use."""
    return [ridge for ridge in roofline.ridges if ridge.level == roofline.slopes[-1].level]


def _decades(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(ceil(log10(low)), floor(log10(high)) + 1)]


def _short(parts: list[str]) -> list[str]:
    """Return `10 T` for `10.00 T`."""
    return [f"{float(parts[0]):g}", *parts[1:]]

"""Charts of pages that do not change: their data, which `static_charts.js` reads and uPlot draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .static_page import Chart, Legend

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Curve:
    """Values over time.

    Attributes:
        label: Its name in the legend.
        color: Name of a color, which is a variable of CSS.
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
    title: str,
    edges_s: NDArray[np.float64],
    *,
    areas: Sequence[Curve] = (),
    lines: Sequence[Curve] = (),
    top: float | None = None,
    small: bool = False,
) -> Chart:
    """Return areas on top of each other and lines over time, as steps from edge to edge.

    Args:
        title: Description for screen readers; a small chart has it as its heading.
        edges_s: Edges of the intervals, in seconds.
        areas: Curves that add up, the lowest one first.
        lines: Curves that do not.
        top: End of the vertical axis; by default the largest value.
        small: Whether the chart is one of several small ones, without a legend.
    """
    document = {
        "title": title,
        "edges": _numbers(edges_s - edges_s[0]),
        "areas": [_curve(each) for each in areas],
        "lines": [_curve(each) for each in lines],
        "top": None if top is None else float(top),
    }
    legend = [] if small else [("", each.color, each.label) for each in (*lines, *reversed(areas))]
    return Chart(document, Legend(legend), css="small" if small else "", heading=title if small else "")


def scatter(
    title: str,
    dots: Sequence[Dot],
    front: Sequence[tuple[float, float]],
    end: float,
    *,
    unit: str,
    legend: Sequence[tuple[str, str]],
) -> Chart:
    """Return dots of an amount and a share, with the steps of their front.

    Args:
        title: Description for screen readers.
        dots: The dots, the lowest one first.
        front: Points of the front in the order of x, y falling.
        end: Amount at which the horizontal axis ends; dots beyond it are at its edge.
        unit: Unit of the amount.
        legend: Class of CSS and label of each kind of dots.
    """
    document = {
        "title": title,
        "unit": unit,
        "end": end,
        "dots": [[*_numbers((dot.x, dot.y)), dot.text, dot.title, dot.kind] for dot in dots],
        "front": [_numbers(point) for point in front],
    }
    return Chart(document, Legend([(kind, "", label) for kind, label in legend]), css="tall")


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "label": curve.label,
        "color": curve.color,
        "values": _numbers(curve.values),
        **({"dash": [5, 4]} if curve.dashed else {}),
    }


def _numbers(values: Iterable[float]) -> list[float]:
    """Return numbers in the precision of a screen, which is short in JSON."""
    rounded = (float(f"{value:.6g}") for value in values)
    return [int(value) if value.is_integer() else value for value in rounded]

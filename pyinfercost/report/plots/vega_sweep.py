"""Vega-Lite specification of the curves of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...sources.sizes import BATCH
from ..colors import ALARM
from .curves import MEASURES, Mark, sweep_curves, title_of
from .draw_sweep import front_text, is_spanning, sweep_text, sweep_title
from .vega import axis, specification

if TYPE_CHECKING:
    from ...sweeps.result import Sweep

_ROOM = 1.15  # factor of the margin on a logarithmic axis


def sweep_vega(
    sweep: Sweep,
    *,
    x: str | None = None,
    y: str | None = None,
    along: str | None = BATCH,
    knee: bool = True,
    pareto: bool | str | Sequence[str] = (),
) -> dict[str, Any]:
    """Return the curves of a sweep as one Vega-Lite specification; the arguments are those of `plot_sweep`.

    Returns:
        The specification.

    Raises:
        ValueError: As in `plot_sweep`.
    """
    shown = sweep_curves(sweep, x=x, y=y or "throughput_per_s", along=along, knee=knee, pareto=pareto)
    order = "along" if along is None else along
    points = [
        {"curve": curve.name, "x": at_x, "y": at_y, "fits": fits, **({} if place is None else {order: place})}
        for curve in shown.curves
        for at_x, at_y, fits, place in zip(
            curve.x.tolist(),
            curve.y.tolist(),
            curve.fits.tolist(),
            curve.along.tolist() or [None] * len(curve.rows),
            strict=True,
        )
    ]

    def channel(field: str, column: str) -> dict[str, Any]:
        name, unit = title_of(column), MEASURES.get(column, ("", ""))[1]
        base = unit.removesuffix("/1M")  # the data is per item
        values = [row[field] for row in points]
        scale: dict[str, Any] = {"zero": False}
        if is_spanning(values):
            scale = {"type": "log", "domain": [min(values) / _ROOM, max(values) * _ROOM], "nice": False}
        return axis(field, f"{name} ({base})" if base else name, scale=scale)

    encoding = {"x": channel("x", shown.x), "y": channel("y", shown.y)}
    names = [curve.name for curve in shown.curves]
    color: dict[str, Any] = {"field": "curve", "type": "nominal", "title": None, "scale": {"domain": names}}
    if len(names) == 1:
        color["legend"] = None
    tooltip = [{"field": "curve"}, *([{"field": order}] if along else []), {"field": "x"}, {"field": "y"}]
    joined = bool(shown.curves) and shown.curves[0].joined
    layers: list[dict[str, Any]] = []
    if joined:
        path = {"field": order, "type": "quantitative"}
        layers.append(
            {"data": {"values": points}, "mark": "line", "encoding": {**encoding, "color": color, "order": path}}
        )
    layers.append(
        {
            "data": {"values": points},
            "mark": {"type": "point", "filled": True, "size": 12},
            "encoding": {
                **encoding,
                "color": color,
                "opacity": {"condition": {"test": "datum.fits", "value": 0.9}, "value": 0.25},
                "tooltip": tooltip,
            },
        }
    )
    for place, numbers in (("x", shown.limits_x), ("y", shown.limits_y)):
        if numbers:
            rule = {"type": "rule", "strokeDash": [5, 4], "color": ALARM}
            limits = {"values": [{place: number} for number in numbers]}
            layers.append({"data": limits, "mark": rule, "encoding": {place: encoding[place]}})
    for marks, shape, title in ((shown.front, "diamond", front_text(shown)), (shown.knees, "circle", "knee")):
        if marks:
            layers.append(_ringed(marks, order, shape, title, encoding, tooltip))
    if joined and shown.knees:
        layers.append(
            {
                "data": {"values": [_row(mark, order) for mark in shown.knees]},
                "mark": {"type": "text", "dx": 8, "dy": -8, "align": "left", "fontWeight": "bold"},
                "encoding": {**encoding, "text": {"field": order}},
            }
        )
    caption = [*sweep_text(shown), *(["circles: knees"] if shown.knees else [])]
    if shown.front:
        caption.append(f"diamonds: {front_text(shown)}")
    return specification(sweep_title(shown), caption, layer=layers)


def _row(mark: Mark, order: str) -> dict[str, Any]:
    return {"curve": mark.name, "x": mark.x, "y": mark.y, order: mark.along, "row": mark.row}


def _ringed(
    marks: Sequence[Mark], order: str, shape: str, title: str, encoding: dict[str, Any], tooltip: list[dict[str, str]]
) -> dict[str, Any]:
    return {
        "data": {"values": [_row(mark, order) for mark in marks]},
        "mark": {"type": "point", "shape": shape, "size": 50, "color": "gray", "description": title},
        "encoding": {**encoding, "tooltip": tooltip},
    }

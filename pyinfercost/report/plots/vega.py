"""Plots of a profile as Vega-Lite specifications: dicts that include their data, for any page or notebook.

The numbers and units are those of the matplotlib plots. No plotting library is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import atan2, degrees, log10
from typing import Any

from ...errors import InputError
from ...results.units import quantity
from ..colors import ALARM, BOUND, MEMORY
from ..roofline import roofline_of
from .breakdown import VALUES, breakdown_of
from .draw_breakdown import SEGMENTS, whole_text
from .draw_memory import below, capacity_in_reach, memory_text
from .draw_roofline import limits_of, roofline_text, top_of
from .inputs import ProfileLike, document_of, heading, rate_text, share_text, short_op
from .memory import memory_of

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"

_WIDTH, _HEIGHT = 600, 400
_BAR = 24


def specification(title: str, caption: list[str], **parts: Any) -> dict[str, Any]:
    """Return a specification with a title and a caption, in the width of notebook plots."""
    subtitle = "; ".join(part for part in caption if part)
    heading_of = {"text": title, "anchor": "start", **({"subtitle": subtitle} if subtitle else {})}
    return {"$schema": SCHEMA, "title": heading_of, "width": _WIDTH, "height": _HEIGHT, **parts}


def axis(field: str, title: str, **more: Any) -> dict[str, Any]:
    """Return a numeric channel whose ticks have prefixes: `10m`, `2.5G`."""
    return {"field": field, "type": "quantitative", "title": title, "axis": {"format": "~s"}, **more}


def roofline_vega(profile: ProfileLike) -> dict[str, Any]:
    """Return the roofline of a profile, as drawn by `plot_roofline`.

    Args:
        profile: A `Profile`, its JSON object, or the path of a file with it.

    Returns:
        The specification.

    Raises:
        InputError: The profile has no estimate, or none of its layers computes anything.
    """
    document = document_of(profile)
    line = roofline_of(document)
    if not line.dots:
        raise InputError("no layer of this profile has FLOPs and time of its own, so there is nothing to draw")
    top = top_of(line)
    (low, high), (bottom, ceiling) = limits_of([line])
    angle = degrees(atan2(_HEIGHT / log10(ceiling / bottom), _WIDTH / log10(high / low)))
    dots = [
        {
            "module": dot.module or "(itself)",
            "op": dot.op,
            "unit": dot.unit,
            "bound": dot.bound,
            "share": dot.share,
            "latency_s": dot.latency_s,
            "intensity": dot.intensity,
            "flop_per_s": dot.flop_per_s,
        }
        for dot in line.dots
    ]
    fastest = max(slope.byte_per_s for slope in line.slopes)
    roofs = [
        {"name": roof.label, "used": roof.used, "intensity": x, "flop_per_s": roof.flop_per_s}
        for roof in line.roofs
        if bottom < roof.flop_per_s < ceiling
        for x in (max(low, roof.flop_per_s / fastest), high)
    ]
    slopes = [
        {"name": slope.level, "intensity": x, "flop_per_s": x * slope.byte_per_s}
        for slope in line.slopes
        for x in (max(low, bottom / slope.byte_per_s), top / slope.byte_per_s)
    ]
    roof_names = [
        {
            "text": f"{roof.label}: {rate_text(roof.flop_per_s, 'FLOP/s')}",
            "intensity": high,
            "flop_per_s": roof.flop_per_s,
        }
        for roof in line.roofs
        if roof.used
    ]
    slope_names = []
    for slope in line.slopes:
        begin, end = max(low, bottom / slope.byte_per_s), top / slope.byte_per_s
        x_of_name = begin * (end / begin) ** 0.05
        text = f"{slope.level}: {rate_text(slope.byte_per_s, 'B/s')}"
        slope_names.append({"text": text, "intensity": x_of_name, "flop_per_s": x_of_name * slope.byte_per_s})
    ridges = [
        {"text": f"{ridge.intensity:.3g} FLOP/B", "intensity": ridge.intensity, "flop_per_s": ridge.flop_per_s}
        for ridge in line.ridges
        if ridge.level == "dram"
    ]
    log = {"type": "log"}
    x = axis("intensity", "intensity (FLOP/B)", scale={**log, "domain": [low, high], "nice": False})
    y = axis("flop_per_s", "performance (FLOP/s)", scale={**log, "domain": [bottom, ceiling], "nice": False})
    there = [bound for bound in BOUND if any(dot.bound == bound for dot in line.dots)]
    return specification(
        heading(document),
        roofline_text([line]),
        layer=[
            {
                "data": {"values": roofs},
                "mark": {"type": "line", "color": "gray"},
                "encoding": {
                    "x": x,
                    "y": y,
                    "detail": {"field": "name"},
                    "opacity": {"condition": {"test": "datum.used", "value": 1}, "value": 0.3},
                },
            },
            {
                "data": {"values": slopes},
                "mark": {"type": "line", "color": "gray"},
                "encoding": {"x": x, "y": y, "detail": {"field": "name"}},
            },
            {
                "data": {"values": roof_names},
                "mark": {"type": "text", "align": "right", "dx": -4, "dy": -7},
                "encoding": {"x": x, "y": y, "text": {"field": "text"}},
            },
            {
                "data": {"values": slope_names},
                "mark": {"type": "text", "align": "left", "angle": round(360 - angle, 2), "dy": -7},
                "encoding": {"x": x, "y": y, "text": {"field": "text"}},
            },
            {
                "data": {"values": ridges},
                "mark": {"type": "text", "align": "left", "dx": 5, "dy": 10},
                "encoding": {"x": x, "y": y, "text": {"field": "text"}},
            },
            {
                "data": {"values": dots},
                "mark": {"type": "point", "filled": True, "opacity": 0.65, "clip": True},
                "encoding": {
                    "x": x,
                    "y": y,
                    "size": {
                        "field": "share",
                        "type": "quantitative",
                        "title": "share of time",
                        "scale": {"range": [0, 500]},
                        "legend": {"format": ".1%"},
                    },
                    "color": _bounds(there, "bound by"),
                    "tooltip": [
                        {"field": "module"},
                        {"field": "op"},
                        {"field": "unit"},
                        {"field": "share", "format": ".2%"},
                        {"field": "latency_s", "format": ".4s"},
                    ],
                },
            },
        ],
    )


def breakdown_vega(profile: ProfileLike, **options: Any) -> dict[str, Any]:
    """Return the breakdown of a profile, as drawn by `plot_breakdown`.

    Args:
        profile: A `Profile`, its JSON object, or the path of a file with it.
        **options: `by`, `value`, `depth`, `top` and `merge` of `plot_breakdown`.

    Returns:
        The specification.
    """
    document = document_of(profile)
    result = breakdown_of(document, **options)
    name, unit = VALUES[result.value]
    order = list(SEGMENTS)
    values = [
        {
            "part": part.name,
            "bound": bound,
            "place": order.index(bound),
            "value": amount,
            "share": amount / result.whole,
        }
        for part in result.parts
        for bound, amount in part.segments.items()
    ]
    ends = [{"part": part.name, "value": part.value, "text": share_text(part.share)} for part in result.parts]
    there = [bound for bound in SEGMENTS if any(row["bound"] == bound for row in values)]
    y = {"field": "part", "type": "nominal", "title": result.by, "sort": [part.name for part in result.parts]}
    most = max((part.value for part in result.parts), default=0.0)
    x = axis("value", f"{name} ({unit})", scale={"domain": [0, 1.12 * most], "nice": False})
    bars = {
        "data": {"values": values},
        "mark": "bar",
        "encoding": {
            "x": {**x, "stack": "zero"},
            "y": y,
            "color": _bounds(there, "bound by"),
            "order": {"field": "place", "type": "quantitative"},
            "tooltip": [{"field": "part"}, {"field": "bound"}, {"field": "share", "format": ".1%"}],
        },
    }
    texts = {
        "data": {"values": ends},
        "mark": {"type": "text", "align": "left", "dx": 4},
        "encoding": {"x": x, "y": y, "text": {"field": "text"}},
    }
    spec = specification(heading(document), whole_text(result), layer=[bars, texts])
    return {**spec, "height": _BAR * max(1, len(result.parts))}


def memory_vega(profile: ProfileLike, *, fixed: bool | None = None) -> dict[str, Any]:
    """Return the memory of a profile over its nodes, as drawn by `plot_memory`.

    Args:
        profile: A `Profile`, its JSON object, or the path of a file with it.
        fixed: As in `plot_memory`.

    Returns:
        The specification.
    """
    document = document_of(profile)
    held = memory_of(document)
    fixed = below(held, fixed)
    base = held.fixed_bytes if fixed else 0.0
    nodes = len(held.live_bytes)
    values: list[dict[str, Any]] = []
    if fixed:
        for node in (0, nodes):
            values.append({"node": node, "held": "weights", "low": 0, "bytes": held.weight_bytes})
            values.append({"node": node, "held": "inputs", "low": held.weight_bytes, "bytes": base})
    live = [*held.live_bytes, held.live_bytes[-1]]
    values += [
        {"node": node, "held": "activations", "low": base, "bytes": base + size} for node, size in enumerate(live)
    ]
    x = {
        "field": "node",
        "type": "quantitative",
        "title": "node, in the order in which they run",
        "scale": {"nice": False},
    }
    y = axis("bytes", "memory (B)")
    peak = base + max(held.live_bytes)
    text = f"peak {quantity(peak, 'B')}: {held.peak_module or '(itself)'} {short_op(held.peak_op)}"
    color = {
        "field": "held",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(MEMORY), "range": list(MEMORY.values())},
    }
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": values},
            "mark": {"type": "area", "interpolate": "step-after", "opacity": 0.75},
            "encoding": {"x": x, "y": {**y, "stack": None}, "y2": {"field": "low"}, "color": color},
        },
        {
            "data": {"values": [{"node": held.peak_node + 0.5, "bytes": peak, "text": text}]},
            "mark": {
                "type": "text",
                "dy": -8,
                "align": "left" if held.peak_node < nodes / 2 else "right",
            },
            "encoding": {"x": x, "y": y, "text": {"field": "text"}},
        },
    ]
    if capacity_in_reach(held, fixed):
        layers.append(
            {
                "data": {"values": [{"bytes": held.capacity_bytes}]},
                "mark": {"type": "rule", "color": ALARM, "strokeDash": [6, 4]},
                "encoding": {"y": y},
            }
        )
    return specification(heading(document), memory_text(held, fixed), layer=layers)


PLOTS: Mapping[str, Any] = {"roofline": roofline_vega, "breakdown": breakdown_vega, "memory": memory_vega}
"""Plots of `Profile.to_vega` by name."""


def profile_vega(profile: ProfileLike, plot: str = "roofline", **options: Any) -> dict[str, Any]:
    """Return a plot of a profile as a Vega-Lite specification.

    Args:
        profile: A `Profile`, its JSON object, or the path of a file with it.
        plot: `"roofline"`, `"breakdown"` or `"memory"`.
        **options: Options of the plot.

    Returns:
        The specification.

    Raises:
        InputError: `plot` is unknown, or the plot itself cannot be drawn.
    """
    if plot not in PLOTS:
        raise InputError(f"plot is {plot!r}; expected one of {', '.join(map(repr, PLOTS))}")
    spec: dict[str, Any] = PLOTS[plot](profile, **options)
    return spec


def _bounds(there: list[str], title: str) -> dict[str, Any]:
    colors = [SEGMENTS[bound] for bound in there]
    return {"field": "bound", "type": "nominal", "title": title, "scale": {"domain": there, "range": colors}}

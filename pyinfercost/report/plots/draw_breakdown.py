"""Plot of the breakdown of a profile, with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...results.units import quantity
from ..colors import BOUND, PLAIN
from .axes import axes_for, label_axis, shortened, title_and_caption
from .breakdown import UNKNOWN, VALUES, Breakdown, breakdown_of
from .inputs import ProfileLike, document_of, heading, share_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SEGMENTS = {**BOUND, UNKNOWN: PLAIN}
"""Colors of the segments of a bar."""

_TEXTS = {
    **{bound: f"bound by {bound}" for bound in BOUND},
    "fused": "in another layer's kernel",
    UNKNOWN: "nothing binds it",
}
_BAR = 0.34  # inches per bar


def plot_breakdown(
    profile: ProfileLike,
    ax: Axes | None = None,
    *,
    by: str = "module",
    value: str = "latency_s",
    depth: int | None = 1,
    top: int | None = 12,
    merge: bool = False,
    legend: bool = True,
    title: str | bool = True,
    caption: bool = True,
    **kwargs: Any,
) -> Axes:
    """Plot the share of each part of a profile as bars, largest first, each split by the bound of its layers.

    Args:
        profile: A `Profile`, its JSON object, or the path of a file with it.
        ax: Axes to draw into; None for a new figure.
        by: `"module"`, `"op"`, `"bound"` or `"effect"`. A layer is attributed entirely to its bound.
        value: `"latency_s"`, `"energy_j"`, `"flops"` or `"traffic_bytes"`; the last two need no machine.
        depth: Modules below this depth are summed up; None keeps the modules that run the layers.
        top: Maximum number of bars, the last one combining all others; None for all.
        merge: Whether to treat numbers in paths as equal, so that identical blocks form one bar: `layers.*.mlp`.
        legend: Whether to draw a legend.
        title: Title; True for the default, False for none.
        caption: Whether to state the whole below the title.
        **kwargs: Further arguments of `Axes.barh`.

    Returns:
        The axes, with the value on x in its unit (seconds, joules, FLOP, bytes).

    Raises:
        InputError: `by` or `value` is unknown, or the profile does not have the value.
    """
    document = document_of(profile)
    result = breakdown_of(document, by=by, value=value, depth=depth, top=top, merge=merge)
    if not result.parts:
        raise InputError(f"all layers of this profile have a {value} of 0, so there is nothing to draw")
    ax = axes_for(ax, 8.0, max(2.5, 1.3 + _BAR * len(result.parts)))
    places = range(len(result.parts))
    there = [bound for bound in _SEGMENTS if any(bound in part.segments for part in result.parts)]
    begins = [0.0] * len(result.parts)
    for bound in there:
        widths = [part.segments.get(bound, 0.0) for part in result.parts]
        options = {"height": 0.72, "color": _SEGMENTS[bound], "label": _TEXTS[bound], **kwargs}
        ax.barh(places, widths, left=begins, **options)
        begins = [begin + width for begin, width in zip(begins, widths, strict=True)]
    for place, part in zip(places, result.parts, strict=True):
        ax.annotate(
            share_text(part.share),
            (part.value, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )
    names = [shortened(part.name) for part in result.parts]
    ax.set_yticks(list(places), names)
    ax.set_ylim(len(result.parts) - 0.4, -0.6)
    ax.set_xlim(0, 1.12 * max(part.value for part in result.parts))
    name, unit = VALUES[value]
    label_axis(ax.xaxis, name, unit)
    if legend and there != [UNKNOWN] and by != "bound":
        ax.legend(loc="lower right", fontsize="small")
    title_and_caption(ax, title, heading(document), _whole_text(result), captioned=caption, names=names)
    return ax


def _whole_text(result: Breakdown) -> list[str]:
    """Return notes on the whole and on layers in no bar."""
    name, unit = VALUES[result.value]
    texts = [f"{name} by {result.by}, of {quantity(result.whole, unit)} in all"]
    if result.unknown:
        layers = "1 layer is" if result.unknown == 1 else f"{result.unknown} layers are"
        texts.append(f"{layers} not modeled and in no bar")
    return texts

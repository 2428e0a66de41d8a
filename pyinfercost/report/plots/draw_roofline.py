"""Plot of the roofline of a profile, with matplotlib."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log10
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ..colors import BOUND
from ..roofline import Dot, Roofline, roofline_of
from .axes import Labels, axes_for, halo, label_axis, library, shortened, title_and_caption
from .inputs import ProfileLike, document_of, heading, module_at, rate_text, share_text, short_op

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LARGEST = 600.0  # maximum area of a dot in square points
_MOST_AREA = 20_000.0  # area of all dots together in square points
_OF_TIME = 0.995  # the axes include dots with this share of the time

_MARKERS = "osD^v"
_BELOW, _ABOVE = 0.5, 4.0  # factors of the margins
_HEADROOM = 0.12  # additional margin at the top, as a share of the decades
_ON_A_LINE = 60


def plot_roofline(
    profile: ProfileLike | Sequence[ProfileLike],
    ax: Axes | None = None,
    *,
    unused: bool = True,
    annotate: int = 3,
    legend: bool = True,
    title: str | bool = True,
    caption: bool = True,
    **kwargs: Any,
) -> Axes:
    """Plot the performance of each layer of a profile below the limits of its machine.

    Each layer is a dot: x is the FLOPs per byte of its kernel, y the FLOP/s that it reaches, its area its share of the
    time, its color its bound. Horizontal lines are peak rates and slopes are bandwidths of memory levels. The ridge
    point where the slope of DRAM meets a peak is the minimum intensity that can reach the peak.

    Args:
        profile: A `Profile`, its JSON object, or the path of a file with it; several are drawn over each other, with
            one marker each and the roofs of each machine.
        ax: Axes to draw into; None for a new figure.
        unused: Whether to draw roofs that no layer uses, in a faint style.
        annotate: Number of layers to name, by descending time.
        legend: Whether to draw a legend.
        title: Title; True for the default, False for none.
        caption: Whether to draw a line below the title that explains areas and omitted layers.
        **kwargs: Further arguments of `Axes.scatter` for the dots.

    Returns:
        The axes: FLOP/B on x, FLOP/s on y.

    Raises:
        InputError: The profile has no estimate, or none of its layers computes anything.
    """
    documents = [document_of(given) for given in _several(profile)]
    lines = [roofline_of(document) for document in documents]
    dots = [dot for line in lines for dot in line.dots]
    if not dots:
        raise InputError("no layer of this profile has FLOPs and time of its own, so there is nothing to draw")
    ax = axes_for(ax, 8.0, 5.5)
    _limits(ax, lines)
    labels = Labels(ax)
    area = min(_MOST_AREA, _LARGEST / max(dot.share for dot in dots))
    machines = {line.hardware: line for line in lines}
    for place, line in enumerate(machines.values()):
        _machine(ax, line, labels, unused=unused, style=("-", "--", "-.", ":")[place % 4])
    for place, (line, document) in enumerate(zip(lines, documents, strict=True)):
        marker = _MARKERS[place % len(_MARKERS)]
        drawn = sorted(line.dots, key=lambda dot: -dot.share)  # small dots on top of large ones
        ax.scatter(
            [dot.intensity for dot in drawn],
            [dot.flop_per_s for dot in drawn],
            **{
                "s": [area * dot.share for dot in drawn],
                **({} if "color" in kwargs else {"c": [BOUND[dot.bound] for dot in drawn]}),
                "alpha": 0.6,
                "linewidths": 0.6,
                "edgecolors": ax.get_facecolor(),
                "marker": marker,
                "zorder": 3,
                "label": heading(document),
                **kwargs,
            },
        )
        labels.keep_clear(
            [dot.intensity for dot in drawn], [dot.flop_per_s for dot in drawn], [area * dot.share for dot in drawn]
        )
    if legend:
        _legend(ax, lines, documents, labels)
    for line in machines.values():
        _names(ax, line, labels, unused=unused, prefix=f"{line.hardware}: " if len(machines) > 1 else "")
    for line in lines:
        for dot, alike in longest(line, annotate):
            where = f"{alike} x {share_text(dot.share)}" if alike > 1 else share_text(dot.share)
            text = f"{shortened(module_at(dot.module, None), 28)} {short_op(dot.op)}, {where}"
            labels.put(dot.intensity, dot.flop_per_s, text, pointed=True, zorder=5)
    label_axis(ax.xaxis, "intensity", "FLOP/B", log=True)
    label_axis(ax.yaxis, "performance", "FLOP/s", log=True)
    ax.set_xlabel("intensity (FLOP/B)")
    default = heading(documents[0]) if len(documents) == 1 else "Roofline"
    title_and_caption(ax, title, default, [*_roofline_text(lines), _outside(ax, lines)], captioned=caption)
    return ax


def longest(line: Roofline, most: int) -> list[tuple[Dot, int]]:
    """Return the dots with the longest times, with the number of dots at the same position (identical blocks)."""
    alike: dict[tuple[str, float, float], list[Dot]] = {}
    for dot in line.dots:
        alike.setdefault((dot.op, dot.flops, dot.traffic_bytes), []).append(dot)
    ranked = sorted(alike.values(), key=lambda dots: -sum(dot.latency_s for dot in dots))
    return [(max(dots, key=lambda dot: dot.latency_s), len(dots)) for dots in ranked[:most]]


def _roofline_text(lines: Sequence[Roofline]) -> list[str]:
    """Return notes on areas and on layers that have no place on a roofline."""
    if len(lines) > 1:
        return ["area of a dot: its share of the time"]
    (line,) = lines
    greatest = max(dot.share for dot in line.dots)
    texts = [f"area of a dot: its share of the time, at most {share_text(greatest)}"]
    if line.without_flops:
        verbs = ("layer computes", "has") if line.without_flops == 1 else ("layers compute", "have")
        share = share_text(line.without_flops_share)
        texts.append(f"{line.without_flops} {verbs[0]} nothing ({share} of the time) and {verbs[1]} no dot")
    return texts


def _top_of(line: Roofline) -> float:
    """Return the highest roof that a layer uses, where slopes end."""
    return max(roof.flop_per_s for roof in [roof for roof in line.roofs if roof.used] or line.roofs)


def _several(profile: Any) -> list[Any]:
    if isinstance(profile, (list, tuple)):
        if not profile:
            raise InputError("profile is an empty sequence; expected one or several profiles")
        return list(profile)
    return [profile]


def _limits_of(lines: Iterable[Roofline]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the limits of the axes: around the relevant dots, the roofs in use, and their ridges with DRAM."""
    seen = [dot for line in lines for dot in _most_of_time(line)]
    x = [dot.intensity for dot in seen]
    x += [ridge.intensity for line in lines for ridge in line.ridges if ridge.level == "dram"]
    y = [dot.flop_per_s for dot in seen]
    y += [roof.flop_per_s for line in lines for roof in line.roofs if roof.used]
    low, high = min(y) * _BELOW, max(y)
    return (min(x) * _BELOW, max(x) * _ABOVE), (low, high * (high / low) ** _HEADROOM)


def _limits(ax: Axes, lines: Iterable[Roofline]) -> None:
    """Set logarithmic axes around the plot and around existing content."""
    before = (ax.get_xlim(), ax.get_ylim()) if ax.has_data() else None
    ax.set_xscale("log")
    ax.set_yscale("log")
    across, upwards = _limits_of(lines)
    if before is not None:
        across, upwards = (
            (min(new[0], old[0]) if old[0] > 0 else new[0], max(new[1], old[1]))
            for new, old in zip((across, upwards), before, strict=True)
        )
    ax.set_xlim(*across)
    ax.set_ylim(*upwards)


def _most_of_time(line: Roofline) -> list[Dot]:
    """Return the dots with nearly all of the time, so that negligible ones do not stretch the axes by decades."""
    whole, so_far, kept = sum(dot.latency_s for dot in line.dots), 0.0, []
    for dot in sorted(line.dots, key=lambda dot: -dot.latency_s):
        if so_far >= _OF_TIME * whole:
            break
        so_far += dot.latency_s
        kept.append(dot)
    return kept


def _machine(ax: Axes, line: Roofline, labels: Labels, *, unused: bool, style: str) -> None:
    """Draw the roofs, slopes and ridge points of a machine."""
    import numpy as np

    color = library("matplotlib").rcParams["text.color"]
    low, high = ax.get_xlim()
    top = _top_of(line)
    fastest = max((slope.byte_per_s for slope in line.slopes), default=0.0)
    for roof in line.roofs:
        if not roof.used and not unused:
            continue
        begin = max(low, roof.flop_per_s / fastest) if fastest else low
        strength: dict[str, Any] = {"linewidth": 1.4, "alpha": 0.95} if roof.used else {"linewidth": 0.7, "alpha": 0.35}
        if begin < high:
            ax.plot(
                [begin, high], [roof.flop_per_s] * 2, color=color, linestyle=style, zorder=2, **strength
            ).pop().set_gid("roof" if roof.used else "unused roof")
            labels.keep_clear(np.geomspace(begin, high, _ON_A_LINE), [roof.flop_per_s] * _ON_A_LINE)
    for slope in line.slopes:
        ends = np.asarray([low, max(low, top / slope.byte_per_s)])
        ax.plot(
            ends, ends * slope.byte_per_s, color=color, linestyle=style, linewidth=1.0, alpha=0.7, zorder=2
        ).pop().set_gid("slope")
        along = np.geomspace(float(ends[0]), float(ends[1]), _ON_A_LINE)
        labels.keep_clear(along, along * slope.byte_per_s)
    for ridge in line.ridges:
        if ridge.level == "dram":
            ax.plot(ridge.intensity, ridge.flop_per_s, marker="o", markersize=4, color=color, zorder=4).pop().set_gid(
                "ridge"
            )


def _names(ax: Axes, line: Roofline, labels: Labels, *, unused: bool, prefix: str) -> None:
    """Draw the names of roofs, slopes and ridge points; roofs in use first, others last."""
    texts = {roof: f"{prefix}{roof.label}: {rate_text(roof.flop_per_s, 'FLOP/s')}" for roof in line.roofs}
    for roof in line.roofs:
        if roof.used:
            _on_roof(ax, labels, texts[roof], roof.flop_per_s, faint=False)
    for slope in line.slopes:
        text = f"{prefix}{slope.level}: {rate_text(slope.byte_per_s, 'B/s')}"
        _on_slope(ax, labels, text, slope.byte_per_s, _top_of(line))
    for ridge in line.ridges:
        if ridge.level == "dram":
            labels.put(ridge.intensity, ridge.flop_per_s, f"{ridge.intensity:.3g} FLOP/B", zorder=5)
    for roof in line.roofs:
        if unused and not roof.used:
            _on_roof(ax, labels, texts[roof], roof.flop_per_s, faint=True)


def _on_roof(ax: Axes, labels: Labels, text: str, rate: float, *, faint: bool) -> None:
    """Draw a roof's name above its right end; a faint one only if there is room."""
    label = ax.annotate(
        text,
        (1, rate),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize="x-small" if faint else "small",
        alpha=0.55 if faint else 1.0,
        path_effects=halo(ax),
        zorder=4,
    )
    if not ax.get_ylim()[0] < rate < ax.get_ylim()[1] or not labels.stands(label, beside_marks=faint):
        label.remove()


def _on_slope(ax: Axes, labels: Labels, text: str, byte_per_s: float, top: float) -> None:
    """Draw a level's name along its slope, near its lower end."""
    low, bottom = ax.get_xlim()[0], ax.get_ylim()[0]
    begin = max(low, bottom / byte_per_s)
    end = top / byte_per_s
    if end <= begin:
        return
    places = (0.05, 0.12, 0.2, 0.3, 0.5)
    for part, beside in (*((place, True) for place in places), *((place, False) for place in places)):
        x = begin * (end / begin) ** part
        label = ax.text(
            log10(x),
            log10(x * byte_per_s),
            text,
            transform=ax.transLimits + ax.transAxes,  # in decades, where slopes have 45 degrees at any zoom
            rotation=45,
            rotation_mode="anchor",
            transform_rotates_text=True,
            va="bottom",
            fontsize="small",
            alpha=0.9,
            path_effects=halo(ax),
            zorder=4,
            clip_on=True,
        )
        if labels.stands(label, beside_marks=beside):
            return
        label.remove()


def _legend(ax: Axes, lines: list[Roofline], documents: list[Any], labels: Labels) -> None:
    """Draw the legend of colors and, for several profiles, of markers."""
    line_of = library("matplotlib.lines").Line2D
    there = {dot.bound for line in lines for dot in line.dots}

    def mark(marker: str, color: str, text: str) -> Any:
        return line_of([], [], linestyle="none", marker=marker, markersize=7, color=color, label=text)

    handles = [mark("o", color, f"bound by {bound}") for bound, color in BOUND.items() if bound in there]
    if len(lines) > 1:
        color = library("matplotlib").rcParams["text.color"]
        handles += [mark(_MARKERS[i % 5], color, shortened(heading(d), 60)) for i, d in enumerate(documents)]
    labels.took(ax.legend(handles=handles, loc="lower right", fontsize="small"))


def _outside(ax: Axes, lines: list[Roofline]) -> str:
    """Return a note on the number of dots outside the axes."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    dots = [dot for line in lines for dot in line.dots]
    inside = [dot for dot in dots if left <= dot.intensity <= right and bottom <= dot.flop_per_s <= top]
    outside = len(dots) - len(inside)
    return f"{outside} of next to no time lie outside" if outside else ""

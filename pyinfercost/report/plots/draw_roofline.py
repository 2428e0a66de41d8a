"""The roofline of a profile, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log10
from typing import TYPE_CHECKING, Any

from ..colors import BOUND
from ..roofline import Dot, Roofline, roofline_of
from .drawing import Labels, axes_for, halo, label_axis, library, shortened, title_and_caption
from .inputs import Given, document_of, heading, module_at, rate_text, share_text, short_op

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LARGEST = 600.0  # square points of the largest dot, unless all are small
_MOST_AREA = 20_000.0  # square points for all of the time
_OF_TIME = 0.995  # dots of so much of the time are in sight, the others may lie outside

_MARKERS = "osD^v"
_BELOW, _ABOVE = 0.5, 4.0  # room around what is drawn, as factors
_HEADROOM = 0.12  # and above it, as a share of its decades
_ON_A_LINE = 60


def plot_roofline(
    profile: Given | Sequence[Given],
    ax: Axes | None = None,
    *,
    unused: bool = True,
    annotate: int = 3,
    legend: bool = True,
    title: str | bool = True,
    caption: bool = True,
    **kwargs: Any,
) -> Axes:
    """What each layer of a profile reaches on its machine, beside what the machine could give.

    A dot is a layer: across, the FLOP that its kernel makes of a byte; upwards, the FLOP/s that it reaches. Its area is
    its share of the time, its colour what binds it. Horizontal roofs are peak rates, slopes what a level of memory
    serves, and where dram's slope meets a roof stands the intensity below which that peak is out of reach.

    Args:
        profile: a `Profile`, its JSON object, or the path of a file with that; several are laid over each other, each
            with its own mark, and with the roofs of each machine.
        ax: where to draw; None for a new figure.
        unused: whether roofs are drawn that no layer uses, faintly.
        annotate: how many layers are named, those that take most time.
        legend: whether the colours are explained.
        title: a title of your own; False for none.
        caption: whether the line below the title says what areas are and what has no dot.
        **kwargs: what else `Axes.scatter` takes, for the dots.

    Returns:
        The axes. Across are FLOP/B, upwards FLOP/s.

    Raises:
        ValueError: for a profile without an estimate, or one of which no layer computes anything.
    """
    documents = [document_of(given) for given in _several(profile)]
    lines = [roofline_of(document) for document in documents]
    dots = [dot for line in lines for dot in line.dots]
    if not dots:
        raise ValueError("no layer of this profile computes anything in a time of its own: there is nothing to draw")
    ax = axes_for(ax, 8.0, 5.5)
    _limits(ax, lines)
    labels = Labels(ax)
    area = min(_MOST_AREA, _LARGEST / max(dot.share for dot in dots))
    machines = {line.hardware: line for line in lines}
    for place, line in enumerate(machines.values()):
        _machine(ax, line, labels, unused=unused, style=("-", "--", "-.", ":")[place % 4])
    for place, (line, document) in enumerate(zip(lines, documents, strict=True)):
        marker = _MARKERS[place % len(_MARKERS)]
        drawn = sorted(line.dots, key=lambda dot: -dot.share)  # small dots lie on large ones
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
    title_and_caption(ax, title, default, [*roofline_text(lines), _outside(ax, lines)], captioned=caption)
    return ax


def longest(line: Roofline, most: int) -> list[tuple[Dot, int]]:
    """The dots that take most time, and how many lie on the same place: blocks of equal build count together."""
    alike: dict[tuple[str, float, float], list[Dot]] = {}
    for dot in line.dots:
        alike.setdefault((dot.op, dot.flops, dot.traffic_bytes), []).append(dot)
    ranked = sorted(alike.values(), key=lambda dots: -sum(dot.latency_s for dot in dots))
    return [(max(dots, key=lambda dot: dot.latency_s), len(dots)) for dots in ranked[:most]]


def roofline_text(lines: Sequence[Roofline]) -> list[str]:
    """What areas are, and what has no place on a roofline, in words."""
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


def top_of(line: Roofline) -> float:
    """The highest roof that a layer uses, up to which slopes go."""
    return max(roof.flop_per_s for roof in [roof for roof in line.roofs if roof.used] or line.roofs)


def _several(profile: Any) -> list[Any]:
    if isinstance(profile, (list, tuple)):
        if not profile:
            raise ValueError("no profile is given; expected one or several")
        return list(profile)
    return [profile]


def limits_of(lines: Iterable[Roofline]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where the axes begin and end: around the dots that count, the roofs in use, and where dram meets them."""
    seen = [dot for line in lines for dot in _most_of_time(line)]
    x = [dot.intensity for dot in seen]
    x += [ridge.intensity for line in lines for ridge in line.ridges if ridge.level == "dram"]
    y = [dot.flop_per_s for dot in seen]
    y += [roof.flop_per_s for line in lines for roof in line.roofs if roof.used]
    low, high = min(y) * _BELOW, max(y)
    return (min(x) * _BELOW, max(x) * _ABOVE), (low, high * (high / low) ** _HEADROOM)


def _limits(ax: Axes, lines: Iterable[Roofline]) -> None:
    """Logarithmic axes around what is to be seen, and around what is there already."""
    before = (ax.get_xlim(), ax.get_ylim()) if ax.has_data() else None
    ax.set_xscale("log")
    ax.set_yscale("log")
    across, upwards = limits_of(lines)
    if before is not None:
        across, upwards = (
            (min(new[0], old[0]) if old[0] > 0 else new[0], max(new[1], old[1]))
            for new, old in zip((across, upwards), before, strict=True)
        )
    ax.set_xlim(*across)
    ax.set_ylim(*upwards)


def _most_of_time(line: Roofline) -> list[Dot]:
    """The dots that have nearly all of the time: one of no weight should not stretch the axes by decades."""
    whole, so_far, kept = sum(dot.latency_s for dot in line.dots), 0.0, []
    for dot in sorted(line.dots, key=lambda dot: -dot.latency_s):
        if so_far >= _OF_TIME * whole:
            break
        so_far += dot.latency_s
        kept.append(dot)
    return kept


def _machine(ax: Axes, line: Roofline, labels: Labels, *, unused: bool, style: str) -> None:
    """The roofs, slopes and ridge points of a machine."""
    import numpy as np

    color = library("matplotlib").rcParams["text.color"]
    low, high = ax.get_xlim()
    top = top_of(line)
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
    """What the roofs, slopes and ridge points are; roofs in use first, and the others last."""
    texts = {roof: f"{prefix}{roof.label}: {rate_text(roof.flop_per_s, 'FLOP/s')}" for roof in line.roofs}
    for roof in line.roofs:
        if roof.used:
            _on_roof(ax, labels, texts[roof], roof.flop_per_s, faint=False)
    for slope in line.slopes:
        text = f"{prefix}{slope.level}: {rate_text(slope.byte_per_s, 'B/s')}"
        _on_slope(ax, labels, text, slope.byte_per_s, top_of(line))
    for ridge in line.ridges:
        if ridge.level == "dram":
            labels.put(ridge.intensity, ridge.flop_per_s, f"{ridge.intensity:.3g} FLOP/B", zorder=5)
    for roof in line.roofs:
        if unused and not roof.used:
            _on_roof(ax, labels, texts[roof], roof.flop_per_s, faint=True)


def _on_roof(ax: Axes, labels: Labels, text: str, rate: float, *, faint: bool) -> None:
    """A roof's name, above its right end; a faint one only where there is room."""
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
    """A level's name along its slope, near its lower end."""
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
            transform=ax.transLimits + ax.transAxes,  # in decades, where every slope is 45 degrees, at any zoom
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
    """What colours say, and marks where there are several profiles."""
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
    """How many dots are out of sight, in words."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    dots = [dot for line in lines for dot in line.dots]
    inside = [dot for dot in dots if left <= dot.intensity <= right and bottom <= dot.flop_per_s <= top]
    outside = len(dots) - len(inside)
    return f"{outside} of next to no time lie outside" if outside else ""

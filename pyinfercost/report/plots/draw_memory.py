"""Plot of the memory of a profile over its nodes, with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...results.units import quantity
from ..colors import ALARM, MEMORY
from .axes import Labels, axes_for, label_axis, library, shortened, title_and_caption
from .inputs import ProfileLike, document_of, heading, module_at, share_text, short_op
from .memory import MemoryTimeline, memory_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IN_REACH = 3.0
"""A capacity above this multiple of the peak is stated in text, since a line would flatten the plot."""

FLAT = 0.1
"""Variable memory below this share of the peak would be invisible above the constant part."""


def plot_memory(
    profile: ProfileLike,
    ax: Axes | None = None,
    *,
    fixed: bool | None = None,
    legend: bool = True,
    title: str | bool = True,
    caption: bool = True,
    **kwargs: Any,
) -> Axes:
    """Plot the memory in use while each node of a graph runs: weights, inputs, and results of nodes.

    Args:
        profile: A `Profile`, its JSON object, or the path of a file with it.
        ax: Axes to draw into; None for a new figure.
        fixed: Whether to draw weights and inputs, which are constant, below the rest; None omits them, with a note, if
            the rest would be invisible above them.
        legend: Whether to draw a legend.
        title: Title; True for the default, False for none.
        caption: Whether to draw a line below the title with the machine's memory and omitted parts.
        **kwargs: Further arguments of `Axes.fill_between` for the area of results.

    Returns:
        The axes: nodes in execution order on x, bytes on y.
    """
    document = document_of(profile)
    held = memory_of(document)
    fixed = _below(held, fixed)
    ax = axes_for(ax, 8.0, 4.5)
    nodes = len(held.live_bytes)
    # Repeat the last value, so that the last step is as wide as the others.
    edges, live = list(range(nodes + 1)), [*held.live_bytes, held.live_bytes[-1]]
    base = 0.0
    if fixed:
        for name, size in (("weights", held.weight_bytes), ("inputs", held.input_bytes)):
            if size:
                ax.fill_between([0, nodes], base, base + size, color=MEMORY[name], alpha=0.9, linewidth=0, label=name)
                base += size
    options = {"color": MEMORY["activations"], "alpha": 0.9, "linewidth": 0, "label": "activations", **kwargs}
    ax.fill_between(edges, base, [base + size for size in live], step="post", **options)
    peak = base + max(held.live_bytes)
    in_reach = _capacity_in_reach(held, fixed)
    top = max(peak, held.capacity_bytes or 0.0) if in_reach else peak
    ax.set_xlim(0, nodes)
    ax.set_ylim(0, (1.12 if in_reach else 1.3) * max(top, 1.0))
    if in_reach and held.capacity_bytes is not None:
        text = f"{held.hardware} has {quantity(held.capacity_bytes, 'B')}"
        ax.axhline(held.capacity_bytes, color=ALARM, linewidth=1.3, linestyle="--", label=text)
    labels = Labels(ax)
    if legend:
        # Next to the peak, not over it.
        loc: Any = "upper left" if held.peak_node > nodes / 2 else "upper right"
        labels.took(ax.legend(loc=loc, fontsize="small", reverse=True))
    where = shortened(module_at(held.peak_module, None))
    ax.plot(held.peak_node + 0.5, peak, "o", color=library("matplotlib").rcParams["text.color"], markersize=4)
    text = f"peak {quantity(held.peak_bytes if fixed else max(held.live_bytes), 'B')}\n{where} {short_op(held.peak_op)}"
    labels.keep_clear([node + 0.5 for node in range(nodes)], [base + size for size in held.live_bytes])
    labels.put(held.peak_node + 0.5, peak, text, pointed=True)
    _sections(ax, held, labels)
    ax.set_xlabel("node, in the order in which they run")
    label_axis(ax.yaxis, "memory", "B")
    title_and_caption(ax, title, heading(document), _memory_text(held, fixed), captioned=caption)
    return ax


def _below(held: MemoryTimeline, fixed: bool | None) -> bool:
    """Return whether the constant memory is drawn."""
    if fixed is not None:
        return fixed
    return max(held.live_bytes) >= FLAT * held.peak_bytes


def _capacity_in_reach(held: MemoryTimeline, fixed: bool) -> bool:
    """Return whether the machine's memory is drawn as a line."""
    return fixed and held.capacity_bytes is not None and held.capacity_bytes <= IN_REACH * held.peak_bytes


def _memory_text(held: MemoryTimeline, fixed: bool) -> list[str]:
    """Return notes on the parts that are not drawn."""
    texts = []
    if not fixed:
        parts = [("weights", held.weight_bytes), ("inputs", held.input_bytes)]
        texts.append(" and ".join(f"{name} of {quantity(size, 'B')}" for name, size in parts if size) + " not drawn")
    if held.capacity_bytes is not None and not _capacity_in_reach(held, fixed):
        share = share_text(held.peak_bytes / held.capacity_bytes)
        texts.append(f"at most {share} of {quantity(held.capacity_bytes, 'B')} of {held.hardware}")
    if held.lifetimes != "observed":
        texts.append("each tensor held until its last use")
    return texts


def _sections(ax: Axes, held: MemoryTimeline, labels: Labels) -> None:
    """Draw the names of modules along the nodes, and the start of the backward pass."""
    for section in held.sections:
        if section.first:
            ax.axvline(section.first, color="gray", linewidth=0.5, alpha=0.5, zorder=0)
        text = ax.annotate(
            shortened(section.module, 24),
            ((section.first + section.end) / 2, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, -3),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize="x-small",
            alpha=0.8,
        )
        ends = ax.transData.transform([(section.first, 0), (section.end, 0)])[:, 0]
        if text.get_window_extent().width > ends[1] - ends[0] or not labels.stands(text):
            text.remove()
    if held.backward is not None:
        ax.axvline(held.backward, color="gray", linewidth=1.0, linestyle=":")
        labels.put(held.backward, ax.get_ylim()[1] * 0.9, "backward")

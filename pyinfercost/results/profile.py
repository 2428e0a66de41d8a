"""Profiles: the counts of a model and, on a named machine, its estimate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..report.render import render
from .result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from .._core import Counts, Graph, Quantity
    from .estimate import Estimate


@dataclass(frozen=True, repr=False)
class Profile(Result):
    """The cost of a model at one point: `counts` on any machine, `estimate` on the named one.

    `print(profile)` shows a table of the module tree, the totals, and the operators that are not modelled.
    `ic.profile(profile, batch=8)` profiles the same model at another point.

    Attributes:
        graph: the captured graph.
        counts: FLOPs, bytes, parameters and memory.
        estimate: latency, energy and cost on the machine; None without hardware.
        sizes: values of all named sizes, those included that the capture fixed.
        precision: the dtype to run in.
        model: name of the model.
        figures: figures of the model that need no machine, by key: those of `counts.total` and, for example,
            `traffic_bytes`.
        request: the arguments that `profile` was called with, resolved; `profile(profile, ...)` reads it.
    """

    graph: Graph
    counts: Counts
    estimate: Estimate | None
    sizes: Mapping[str, int]
    precision: str
    model: str
    figures: Mapping[str, Quantity | None]
    request: object = field(repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<Profile {render(self, 'line')}>"

    def to_text(
        self,
        *,
        depth: int | None = None,
        sort: str | None = None,
        top: int | None = None,
        roofline: bool = False,
        width: int = 100,
    ) -> str:
        """Return the table as plain text.

        Args:
            depth: modules below it are collapsed; None picks a depth that is short.
            sort: `"latency"`, `"flops"`, `"traffic"`, `"params"`, `"energy"`, `"memory"` (activations that are held) or
                `"share"` (latency, or FLOPs without hardware): modules beside each other are sorted by it, the largest
                first. None keeps the order of the graph.
            top: only so many of the most costly rows, as a list with whole paths; None shows the tree.
            roofline: draw one below the table.
            width: of a line, in characters.

        Raises:
            ValueError: there is no such figure to sort by, `top` is below 1, or a roofline or a time is asked of a
                profile without hardware.
        """
        text: str = render(self, "text", depth=depth, sort=sort, top=top, roofline=roofline, width=width)
        return text

    def to_markdown(self, *, depth: int | None = None, sort: str | None = None, top: int | None = None) -> str:
        """Return the table, totals and ledger as Markdown.

        Args:
            depth: as in `to_text`.
            sort: as in `to_text`.
            top: as in `to_text`.
        """
        text: str = render(self, "markdown", depth=depth, sort=sort, top=top)
        return text

    def to_html(self, *, vary: Mapping[str, Any] | None = None) -> str:
        """Return a report as one HTML page: figures, roofline, module tree, memory, and switches to other points.

        It needs no network and no other file, and the profile's JSON is inside: `compare` and `pyinfercost diff` read
        it back.

        Args:
            vary: axes of the switches (`hardware`, `precision`, `execution`, or a size that the graph leaves open) with
                their values: `{"hardware": ["l4", "t4"], "batch": [1, 8, 64]}`. By default ways of execution, fp16 and,
                if the graph leaves it open, some batches; `{}` for no switches.

        Raises:
            ValueError: for an axis that cannot be varied, or a value that it does not take.
        """
        page: str = render(self, "html", vary=vary)
        return page

    def to_trace(self, *, measured: Result | None = None) -> dict[str, Any]:
        """Return a timeline for Perfetto or chrome://tracing, as the JSON object of the Chrome Trace Event Format.

        Each engine has a track with its kernels, modules are nested on another, and memory and power are counters; all
        of it is marked as estimated.

        Args:
            measured: a `Measurement` of the same model, which becomes a process of its own below.

        Raises:
            ValueError: there is neither an estimate nor a measurement.
        """
        trace: dict[str, Any] = render(self, "trace", measured=measured)
        return trace

    def plot_roofline(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the rate that each layer reaches beside the machine's limits; options as in `plots.plot_roofline`."""
        return render(self, "plot_roofline", ax=ax, **options)  # type: ignore[no-any-return]

    def plot_breakdown(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the shares of modules, ops, bounds or effects; options as in `plots.plot_breakdown`."""
        return render(self, "plot_breakdown", ax=ax, **options)  # type: ignore[no-any-return]

    def plot_memory(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the memory that is held while each node runs; options as in `plots.plot_memory`."""
        return render(self, "plot_memory", ax=ax, **options)  # type: ignore[no-any-return]

    def to_vega(self, plot: str = "roofline", **options: Any) -> dict[str, Any]:
        """Return a plot as a Vega-Lite specification with its data inside.

        Args:
            plot: `"roofline"`, `"breakdown"` or `"memory"`.
            **options: those of the plot that choose its content: `by`, `value`, `depth`, `top` and `merge` of a
                breakdown, `fixed` of memory.
        """
        specification: dict[str, Any] = render(self, "vega", plot=plot, **options)
        return specification

"""Profiles: the counts of a model and, on a named machine, its estimate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from .._core import Counts, Graph
    from .estimate import Estimate
    from .measurement import Measurement


@dataclass(frozen=True, repr=False)
class Profile:
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
        request: the arguments that `profile` was called with, resolved; `profile(profile, ...)` reads it.
    """

    graph: Graph
    counts: Counts
    estimate: Estimate | None
    sizes: Mapping[str, int]
    precision: str
    model: str
    request: object = field(repr=False, compare=False)

    def __repr__(self) -> str:
        from ..report.summary import one_line

        return f"<Profile {one_line(self)}>"

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        from ..report.html.snippet import profile_snippet

        return profile_snippet(self)

    def to_text(
        self,
        *,
        depth: int | None = None,
        sort: str | None = None,
        top: int | None = None,
        roofline: bool = False,
        width: int = 100,
    ) -> str:
        """The table as plain text.

        Args:
            depth: modules below it are collapsed; None picks a depth that is short.
            sort: `"latency"`, `"flops"`, `"traffic"`, `"params"`, `"energy"`, `"memory"` (activations that are held) or
                `"share"` (latency, or FLOPs without hardware): modules beside each other are sorted by it, the largest
                first. None leaves the order of the graph.
            top: only so many of the most costly rows, as a list with whole paths; None shows the tree.
            roofline: draw one below the table.
            width: of the page, in characters.

        Raises:
            ValueError: there is no such figure to sort by, `top` is below 1, or a roofline or a time is asked of a
                profile without hardware.
        """
        from ..report.table import profile_text

        return profile_text(self, depth=depth, sort=sort, top=top, roofline=roofline, width=width)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: `schema_version`, `model`, `sizes`, `totals`, `coverage`, `layers`, `estimate`."""
        from ..report.document import profile_document

        return profile_document(self)

    def to_json(self, *, indent: int | None = 2) -> str:
        """`to_dict` as text."""
        from ..report.document import as_json

        return as_json(self.to_dict(), indent=indent)

    def to_html(self, *, vary: Mapping[str, Any] | None = None) -> str:
        """A report as one HTML page: figures, roofline, module tree, memory, and switches to other points.

        It needs no network and no other file, and the profile's JSON is inside: `compare` and `pyinfercost diff` read
        it back.

        Args:
            vary: what can be switched, as `hardware`, `precision`, `execution` or a size that the graph leaves open,
                each with its values: `{"hardware": ["l4", "t4"], "batch": [1, 8, 64]}`. By default ways of execution,
                fp16 and, where the graph leaves it open, some batches; `{}` nothing.

        Raises:
            ValueError: for what cannot be varied, or not so.
        """
        from ..predict.alternatives import alternatives
        from ..report.html.page import profile_html

        counted_only = self.estimate is None and not vary
        return profile_html(self, None if counted_only else alternatives(self, vary))

    def to_csv(self) -> str:
        """One line per node of the graph, with a line of column names before them."""
        from ..report.delimited import profile_csv

        return profile_csv(self)

    def to_markdown(self, *, depth: int | None = None, sort: str | None = None, top: int | None = None) -> str:
        """The table, totals and ledger as Markdown; `depth`, `sort` and `top` are those of `to_text`."""
        from ..report.delimited import profile_markdown

        return profile_markdown(self, depth=depth, sort=sort, top=top)

    def to_trace(self, *, measured: Measurement | None = None) -> dict[str, Any]:
        """A timeline for Perfetto or chrome://tracing, as the JSON object of the Chrome Trace Event Format.

        Each engine has a track with its kernels, modules are nested on another, and memory and power are counters; all
        of it is estimated and says so.

        Args:
            measured: what `measure` returned of the same model, which becomes a process of its own below.

        Raises:
            ValueError: there is neither an estimate nor a measurement.
        """
        from ..report.trace import trace_of

        return trace_of(self, measured)

    def plot_roofline(self, ax: Axes | None = None, **options: Any) -> Axes:
        """What each layer reaches, beside what the machine could give; options as in `plots.plot_roofline`."""
        from ..report.plots.draw_roofline import plot_roofline

        return plot_roofline(self, ax, **options)

    def plot_breakdown(self, ax: Axes | None = None, **options: Any) -> Axes:
        """What modules, ops, bounds or effects have of the whole; options as in `plots.plot_breakdown`."""
        from ..report.plots.draw_breakdown import plot_breakdown

        return plot_breakdown(self, ax, **options)

    def plot_memory(self, ax: Axes | None = None, **options: Any) -> Axes:
        """What is held while each node runs; options as in `plots.plot_memory`."""
        from ..report.plots.draw_memory import plot_memory

        return plot_memory(self, ax, **options)

    def to_vega(self, plot: str = "roofline", **options: Any) -> dict[str, Any]:
        """A plot as a Vega-Lite specification with its data inside: `"roofline"`, `"breakdown"` or `"memory"`.

        Options are those of the plot that say what is shown: `by`, `value`, `depth`, `top` and `merge` of a breakdown,
        `fixed` of memory.
        """
        from ..report.plots.vega import profile_vega

        return profile_vega(self, plot, **options)

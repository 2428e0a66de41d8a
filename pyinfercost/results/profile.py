"""Profiles: the counts of a model and, for a given machine, its estimate."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from .._records import dataclass
from ..report.render import render
from .result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from .._core import Counts, Graph, Quantity
    from .estimate import Estimate
    from .kv_cache import KVCache
    from .training_memory import TrainingMemory


DEEPEST = 100
"""Names of a module's path that have levels of their own in a table; a path of a damaged file may have thousands."""


def ancestors(module: str) -> list[str]:
    """Return the paths of a module and of those around it, from the outermost one, at most `DEEPEST`."""
    names = module.split(".")[:DEEPEST] if module else []
    return [path for count in range(1, len(names) + 1) if (path := ".".join(names[:count]))]


@dataclass(frozen=True, repr=False)
class Profile(Result):
    """The cost of a model at one point: `counts`, which are valid for any machine, and `estimate` for a given one.

    `print(profile)` shows a table of the module tree, the totals, and the operators that are not modeled.
    `ic.profile(profile, batch=8)` profiles the same model at another point.

    Attributes:
        graph: The captured graph.
        counts: FLOPs, bytes, parameters and memory.
        estimate: Latency, energy and cost on the machine; None without hardware.
        sizes: Values of all named sizes, including those fixed by the capture.
        precision: Dtype of the run.
        model: Name of the model.
        figures: Figures of the model that need no machine, by key: totals of `counts.total` and others, such as
            `traffic_bytes`.
        kv_cache: Keys, values and states that the forward leaves, by kind of layer; None for a model without them.
        training_memory: Memory of training with an optimizer; None if none was given.
        request: Resolved arguments of the call of `profile`, which `profile(profile, ...)` reuses.
        engine_command: Command line of the serving engine that starts this deployment; empty without one.
    """

    graph: Graph
    counts: Counts
    estimate: Estimate | None
    sizes: Mapping[str, int]
    precision: str
    model: str
    figures: Mapping[str, Quantity | float | None]
    kv_cache: KVCache | None
    training_memory: TrainingMemory | None
    request: object = field(repr=False, compare=False)
    engine_command: str = ""

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
            depth: Modules below this depth are collapsed; None picks a moderate depth.
            sort: `"latency"`, `"flops"`, `"traffic"`, `"params"`, `"energy"`, `"memory"` (activations in use) or
                `"share"` (latency, or FLOPs without hardware): sibling modules are sorted by it in descending order.
                None keeps graph order.
            top: Number of most costly rows to show as a list with full paths; None shows the tree.
            roofline: Whether to draw a roofline below the table.
            width: Width of a line in characters.

        Returns:
            The text.

        Raises:
            ValueError: The sort key is unknown, `top` is below 1, or a roofline or a time is requested for a profile
                without hardware.
        """
        text: str = render(self, "text", depth=depth, sort=sort, top=top, roofline=roofline, width=width)
        return text

    def to_markdown(self, *, depth: int | None = None, sort: str | None = None, top: int | None = None) -> str:
        """Return the table, totals and ledger as Markdown.

        Args:
            depth: As in `to_text`.
            sort: As in `to_text`.
            top: As in `to_text`.

        Returns:
            The Markdown text.
        """
        text: str = render(self, "markdown", depth=depth, sort=sort, top=top)
        return text

    def to_html(self, *, hint: str = "", command: str = "") -> str:
        """Return a report as one HTML page: figures, roofline, module tree and memory.

        It needs no network and no other file, and includes the profile's JSON, which `diff` and `pyinfercost diff`
        can read. With a machine the page also has the core, the graph and the catalog: it estimates the model on any
        machine, in any precision, execution and open size.

        Args:
            hint: What would shorten the forward most, for the first sentence; empty names what reduces its main effect.
            command: Command that made the profile, which the page states; empty states the call in Python.

        Returns:
            The HTML text.
        """
        page: str = render(self, "html", hint=hint, command=command)
        return page

    def to_trace(self, *, measured: Result | None = None) -> dict[str, Any]:
        """Return a timeline for Perfetto or chrome://tracing, as the JSON object of the Chrome Trace Event Format.

        Each engine has a track with its kernels, modules are nested on another track, and memory and power are
        counters; all of them are marked as estimated.

        Args:
            measured: A `Measurement` of the same model, added below as a separate process.

        Returns:
            The JSON object of the trace.

        Raises:
            ValueError: There is neither an estimate nor a measurement.
        """
        trace: dict[str, Any] = render(self, "trace", measured=measured)
        return trace

    def plot_roofline(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the rate of each layer below the machine's limits; options as in `plots.plot_roofline`."""
        return render(self, "plot_roofline", ax=ax, **options)  # type: ignore[no-any-return]

    def plot_breakdown(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the shares of modules, operators, bounds or effects; options as in `plots.plot_breakdown`."""
        return render(self, "plot_breakdown", ax=ax, **options)  # type: ignore[no-any-return]

    def plot_memory(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the memory in use while each node runs; options as in `plots.plot_memory`."""
        return render(self, "plot_memory", ax=ax, **options)  # type: ignore[no-any-return]

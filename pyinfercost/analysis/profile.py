"""A profile: the counts of a model and, on a named machine, its estimate."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import index
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, SupportsIndex

from .. import _core
from .arguments import Rules, bind_sizes, work_overrides
from .estimation import Estimate, estimate_on
from .models import Captured, graph_at
from .terms import Asked, Terms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from .._core import Counts, Graph, Hardware
    from ..measuring.result import Measurement


@dataclass(frozen=True)
class Question:
    """What a profile answers, so that it can be asked again at another point."""

    captured: Captured
    machine: Hardware | None
    execution: str
    rules: Rules | None
    threads: int | None
    terms: Terms | None
    said: Asked


@dataclass(frozen=True, repr=False)
class Profile:
    """What a model costs at one point: `counts` on any machine, `estimate` on the named one.

    `print(profile)` shows a table of the module tree, the totals, and what was not modelled.
    """

    graph: Graph
    counts: Counts
    estimate: Estimate | None
    sizes: Mapping[str, int]
    precision: str
    model: str
    asked: Question = field(repr=False, compare=False)

    def at(
        self,
        *,
        hardware: str | PathLike[str] | Hardware | None = None,
        precision: str | None = None,
        execution: str | None = None,
        threads: int | None = None,
        **sizes: SupportsIndex,
    ) -> Profile:
        """The same model at another point; what is not given stays as it is.

        Args:
            hardware: another machine, as in `profile`. The price is asked for anew there.
            precision: the dtype to run in.
            execution: how to run it.
            threads: threads to run on; only for a CPU. Those of this profile stay with its machine.
            **sizes: values of sizes that the graph leaves open.

        Raises:
            ValueError: for an unknown machine, precision, execution or size, or a price that is of another machine.
        """
        asked = self.asked
        machine, terms = asked.machine, asked.terms
        if hardware is not None or threads is not None:
            from ..hardware import load

            if hardware is None and machine is not None:
                hardware = machine.id
            machine = load(hardware, threads=threads) if hardware is not None else None
            terms = None if machine is None else asked.said.of(machine.id, threads)
        elif machine is not None:
            threads = asked.threads
        captured = asked.captured
        return profile_on(
            machine,
            captured._replace(sizes={**captured.sizes, **sizes}),
            precision=precision or self.precision,
            execution=execution or asked.execution,
            rules=asked.rules,
            threads=threads,
            terms=terms,
            said=asked.said,
        )

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
        from ..report.html.page import profile_html
        from .alternatives import alternatives

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


def profile(
    model_or_graph: Any,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    hardware: str | PathLike[str] | Hardware | None = None,
    precision: str = "native",
    execution: str = "eager",
    dynamic: Any = None,
    rules: Rules | None = None,
    threads: int | None = None,
    price: Any = None,
    utilisation: float = 1.0,
    region: str | None = None,
    transfer: Any = None,
    **sizes: SupportsIndex,
) -> Profile:
    """Captures a model, counts it, and with `hardware` given predicts latency, energy and, with `price`, cost.

    Args:
        model_or_graph: a `Graph`, or anything that `capture` takes: a module, an exported program, a file, a spec.
        args: positional inputs of the model, a tuple or a lone input; not for a Graph.
        kwargs: keyword inputs of the model; not for a Graph.
        hardware: an id from the catalogue, the path of a TOML file, or a `Hardware`; None counts only.
        precision: the dtype to run in; `"native"` takes the model's own dtypes.
        execution: `"eager"`, `"compiled"` or `"replayed"`.
        dynamic: which dimensions of the inputs are named sizes, as in `capture`.
        rules: work of the caller's own ops, as in `count`.
        threads: threads to run on; only for a CPU.
        price: what an hour of one device costs, as in `estimate`.
        utilisation: share of the paid time in which the device works.
        region: where the machine stands, as in `estimate`.
        transfer: how inputs get to the device and results back, as in `estimate`.
        **sizes: values of the named sizes; a size left out takes the graph's default. For a spec, the sizes to
            capture it at.
    """
    from ..capture import as_inputs

    args = as_inputs(args)
    said = Asked(price, utilisation, region, transfer)
    machine = terms = None
    if hardware is not None:
        from ..hardware import load

        machine = load(hardware, threads=threads)  # before the capture, which may take long: names fail at once
        terms = said.of(machine.id, threads)
    elif price is not None:
        raise ValueError("price is given without hardware: what is paid is the time of a machine")
    if isinstance(model_or_graph, (str, PathLike)):
        if args or kwargs:
            raise TypeError(f"inputs were given for {model_or_graph!r}, which brings its own; give them with a module")
        captured = graph_at(fspath(model_or_graph), sizes, dynamic)
    elif isinstance(model_or_graph, _core.Graph):
        if args or kwargs or dynamic is not None:
            raise TypeError("a Graph is captured already: args, kwargs and dynamic go with a model")
        captured = Captured(model_or_graph, sizes, {}, model_or_graph.model)
    else:
        from ..capture import capture, is_program

        # Sizes that depend on data are given to the capture, which goes the way that the forward goes at these.
        of_data: dict[str, Any] = {}
        if not is_program(model_or_graph):
            of_data = {name: index(value) for name, value in sizes.items() if _core.depends_on_data(name)}
        graph = capture(model_or_graph, args, kwargs, dynamic=dynamic, **of_data)
        captured = Captured(graph, {n: v for n, v in sizes.items() if n not in of_data}, {}, graph.model)
    return profile_on(
        machine,
        captured,
        precision=precision,
        execution=execution,
        rules=rules,
        threads=threads,
        terms=terms,
        said=said,
    )


def profile_on(
    machine: Hardware | None,
    captured: Captured,
    *,
    precision: str,
    execution: str,
    rules: Rules | None,
    threads: int | None,
    terms: Terms | None = None,
    said: Asked | None = None,
) -> Profile:
    """`profile` with everything looked up; `said` is what `terms` were found from."""
    graph = captured.graph
    given = bind_sizes(graph, captured.sizes)
    bound_sizes = graph.size_values(given)
    overrides = work_overrides(graph, rules)
    counts = _core.count(graph, bound_sizes, precision=precision, overrides=overrides)
    predicted = None
    if machine is not None:
        predicted = estimate_on(
            machine,
            graph,
            given,
            fixed=captured.fixed,
            precision=precision,
            execution=execution,
            overrides=overrides,
            threads=threads,
            terms=terms,
        )
    return Profile(
        graph=graph,
        counts=counts,
        estimate=predicted,
        sizes={**captured.fixed, **bound_sizes},
        precision=precision,
        model=captured.name,
        asked=Question(captured, machine, execution, rules, threads, terms, said or Asked()),
    )

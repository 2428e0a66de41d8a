"""From a model to its profile: captured, counted and, on a named machine, estimated."""

from __future__ import annotations

from operator import index
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, SupportsIndex

from .. import _core
from .arguments import Rules, bind_sizes, work_overrides
from .estimate import estimate_on
from ..sources.models import Captured, graph_at
from ..results.profile import Profile, Question
from ..deployment.terms import Asked, Terms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Hardware


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
    from ..sources.capture import as_inputs

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
        from ..sources.capture import capture, is_program

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

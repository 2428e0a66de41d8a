"""From a model to its profile: captured, counted and, on a named machine, estimated."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, SupportsIndex

from .. import _core
from ..deployment.terms import Asked, Terms
from ..results.profile import Profile
from ..sources.captured import Captured, graph_at
from .arguments import Rules, bind_sizes, work_overrides
from .estimate import estimate_on
from .model_figures import model_figures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Hardware


@dataclass(frozen=True)
class ProfileRequest:
    """Resolved arguments of `profile`, from which the model is profiled again at another point.

    Attributes:
        captured: the graph and the sizes that were given.
        machine: the machine; None without hardware.
        execution: how the model runs.
        rules: work of the caller's own ops.
        threads: threads to run on.
        terms: price, place and transfer on this machine.
        said: the same as given, to be looked up for another machine.
    """

    captured: Captured
    machine: Hardware | None
    execution: str
    rules: Rules | None
    threads: int | None
    terms: Terms | None
    said: Asked


def profile(
    model_or_graph: Any,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    hardware: str | PathLike[str] | Hardware | None = None,
    precision: str | None = None,
    execution: str | None = None,
    dynamic: Any = None,
    rules: Rules | None = None,
    threads: int | None = None,
    price: Any = None,
    utilisation: float | None = None,
    region: str | None = None,
    transfer: Any = None,
    **sizes: SupportsIndex,
) -> Profile:
    """Capture a model, count it, and with `hardware` given predict latency, energy and, with `price`, cost.

    Args:
        model_or_graph: a `Graph`, or anything that `capture` takes: a module, an exported program, a file, a spec. A
            `Profile` is profiled again at another point: arguments left out keep its values, and its price is looked
            up anew for another machine.
        args: positional inputs of the model, a tuple or a lone input; not for a Graph or a Profile.
        kwargs: keyword inputs of the model; not for a Graph or a Profile.
        hardware: an id from the catalogue, the path of a TOML file, or a `Hardware`; None counts only. For a Profile
            of a sustained machine, the machine is sustained, too.
        precision: the dtype to run in; `"native"`, the default, takes the model's own dtypes.
        execution: `"eager"`, the default, `"compiled"` or `"replayed"`.
        dynamic: which dimensions of the inputs are named sizes, as in `capture`.
        rules: work of the caller's own ops, as in `count`.
        threads: threads to run on; only for a CPU.
        price: what an hour of one device costs, as in `estimate`.
        utilisation: share of the paid time in which the device works; 1 by default.
        region: where the machine stands, as in `estimate`.
        transfer: how inputs get to the device and results back, as in `estimate`.
        **sizes: values of the named sizes; a size left out takes the graph's default. For a spec, the sizes to
            capture it at.

    Returns:
        The counts, and the estimate where there is hardware.

    Raises:
        ValueError: for an unknown machine, precision, execution or size, or a price of another machine.
        TypeError: for inputs or `dynamic` given with a captured graph or a profile.
    """
    from ..sources.capture import as_inputs

    args = as_inputs(args)
    if isinstance(model_or_graph, Profile):
        if args or kwargs or dynamic is not None:
            raise TypeError("a Profile has a captured graph: args, kwargs and dynamic go with a model")
        return _profile_again(
            model_or_graph,
            hardware=hardware,
            precision=precision,
            execution=execution,
            rules=rules,
            threads=threads,
            given=Asked(price, 1.0 if utilisation is None else utilisation, region, transfer),
            keeps_utilisation=utilisation is None,
            sizes=sizes,
        )
    said = Asked(price, 1.0 if utilisation is None else utilisation, region, transfer)
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
        precision=precision or "native",
        execution=execution or "eager",
        rules=rules,
        threads=threads,
        terms=terms,
        said=said,
    )


def _profile_again(
    known: Profile,
    *,
    hardware: str | PathLike[str] | Hardware | None,
    precision: str | None,
    execution: str | None,
    rules: Rules | None,
    threads: int | None,
    given: Asked,
    keeps_utilisation: bool,
    sizes: Mapping[str, Any],
) -> Profile:
    """Profile the model of a profile at another point; arguments that are None keep the profile's values."""
    request = known.request
    if not isinstance(request, ProfileRequest):
        raise TypeError(f"this profile has request {request!r}; expected a Profile that `profile` returned")
    before = request.said
    said = Asked(
        before.price if given.price is None else given.price,
        before.utilisation if keeps_utilisation else given.utilisation,
        given.region or before.region,
        before.transfer if given.transfer is None else given.transfer,
    )
    machine, terms = request.machine, request.terms
    if hardware is not None or threads is not None:
        from ..hardware import load

        if hardware is None and machine is not None:
            hardware = machine.id
        named = isinstance(hardware, (str, PathLike))
        sustained = named and machine is not None and machine.sustained
        machine = load(hardware, threads=threads, sustained=sustained) if hardware is not None else None
    elif machine is not None:
        threads = request.threads
    if machine is not request.machine or said != before:
        terms = None if machine is None else said.of(machine.id, threads)
    captured = request.captured
    return profile_on(
        machine,
        captured._replace(sizes={**captured.sizes, **sizes}),
        precision=precision or known.precision,
        execution=execution or request.execution,
        rules=request.rules if rules is None else rules,
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
        figures=model_figures(graph, counts, precision, bound_sizes),
        request=ProfileRequest(captured, machine, execution, rules, threads, terms, said or Asked()),
    )

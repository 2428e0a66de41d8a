"""What the model in training will cost to serve: predicted anew only where its structure has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .. import _core
from .example import Example
from .inference_view import deployed

if TYPE_CHECKING:
    from .._core import Graph, Hardware
    from ..deployment.terms import Terms
    from ..results.estimate import Estimate

# Figures of an estimate that a record has, where they are known.
_FIGURES = (
    "latency_s",
    "latency_high_s",
    "throughput_per_s",
    "energy_per_item_j",
    "cost_usd",
    "usd_per_million_tokens",
    "carbon_g",
)


class Machine(NamedTuple):
    """A machine to serve on: its id, what it is, and the terms on which it is used."""

    name: str
    hardware: Hardware
    terms: Terms


@dataclass(frozen=True)
class Way:
    """How the model is going to be served.

    Attributes:
        machines: on what.
        precision: the dtype it runs in.
        execution: eager, compiled or replayed.
        sizes: values of named sizes, such as the batch of a request; the example's where left out.
        quantize: formats of weights by patterns of modules, as `whatif` takes them; None takes those that
            quantisation-aware training prepares, where it does.
        threads: of a CPU.
    """

    machines: Sequence[Machine]
    precision: str = "native"
    execution: str = "eager"
    sizes: Mapping[str, int] | None = None
    quantize: Any = None
    threads: int | None = None


@dataclass(frozen=True)
class Served:
    """What one structure costs.

    Attributes:
        graph: of a forward, at the precision that it is trained in.
        metrics: figures by name.
        flops_of_weight: name of a weight -> FLOPs of its products in a forward.
        module_of_weight: name of a weight -> the module whose product reads it.
        notes: what was left out or assumed.
    """

    graph: Graph
    metrics: Mapping[str, float]
    flops_of_weight: Mapping[str, int]
    module_of_weight: Mapping[str, str]
    notes: tuple[str, ...]


class Serving:
    """Predicts the cost of a module as it stands, and remembers it until the structure changes."""

    def __init__(self, way: Way, example: Example) -> None:
        self._way = way
        self._example = example
        self._structure: Any = None
        self._served: Served | None = None
        self._with_2_4: dict[frozenset[str], dict[str, float]] = {}

    def look(self, module: torch.nn.Module) -> Served:
        """The cost of the module now."""
        structure = structure_of(module)
        if self._served is None or structure != self._structure:
            self._served = self._predict(module)
            self._structure = structure
            self._with_2_4.clear()
        return self._served

    def with_2_4(self, weights: frozenset[str]) -> Mapping[str, float]:
        """Latencies with kernels that skip two of four weights in these, on machines that have such a unit."""
        if self._served is None or not weights:
            return {}
        if weights not in self._with_2_4:
            from ..transform.whatif import whatif

            modules = {self._served.module_of_weight[name] for name in weights}
            pruned = whatif(self._served.graph, prune="2:4", where=modules.__contains__)
            self._with_2_4 = {
                weights: {
                    f"cost/{machine.name}/latency_2_4_s": self._estimate(pruned, machine).latency_s
                    for machine in self._way.machines
                    if machine.hardware.kind == "gpu" and machine.hardware.sparsity_2_4 > 1
                }
            }
        return self._with_2_4[weights]

    def _predict(self, module: torch.nn.Module) -> Served:
        from ..transform.whatif import whatif

        view = deployed(module)
        graph = captured(view.module, self._example)
        metrics: dict[str, float] = {}
        notes = list(view.notes)
        self._figures("cost", graph, metrics)
        flops, modules = products_of(graph, self._at(graph))
        quantize = self._way.quantize
        if quantize is None:  # what training prepares; layers that this forward does not run are not served
            runs = set(modules.values())
            quantize = {path: form for path, form in view.quantize.items() if path in runs}
        if quantize:
            self._figures("converted", whatif(graph, quantize=quantize), metrics)
        fixed = [name for name in self._way.sizes or {} if name not in graph.sizes]
        if fixed:
            notes.append(f"size {', '.join(fixed)} cannot stay open in this forward: figures are at the example's")
        return Served(graph, metrics, flops, modules, tuple(notes))

    def _figures(self, kind: str, graph: Graph, metrics: dict[str, float]) -> None:
        from ..predict.boundary import value_of

        total = _core.count(graph, _all_sizes(graph, self._at(graph)), precision=self._way.precision).total
        for name in ("contraction_flops", "parameters", "parameter_bytes", "peak_memory_bytes"):
            metrics[f"{kind}/{name.replace('contraction_', '')}"] = value_of(getattr(total, name), {})
        for machine in self._way.machines:
            estimate = self._estimate(graph, machine)
            prefix = f"{kind}/{machine.name}"
            for name in _FIGURES:
                value = getattr(estimate, name)
                if value is not None:
                    metrics[f"{prefix}/{name}"] = value
            metrics[f"{prefix}/memory_bytes"] = value_of(total.peak_memory_bytes, {})
            metrics[f"{prefix}/fits_in_memory"] = int(estimate.fits_in_memory)

    def _at(self, graph: Graph) -> dict[str, int]:
        """What the caller gives for the sizes that the graph has."""
        return {name: value for name, value in (self._way.sizes or {}).items() if name in graph.sizes}

    def _estimate(self, graph: Graph, machine: Machine) -> Estimate:
        from ..sources.sizes import bind_sizes
        from ..predict.estimate import estimate_on

        return estimate_on(
            machine.hardware,
            graph,
            bind_sizes(graph, self._at(graph)),
            fixed={},
            precision=self._way.precision,
            execution=self._way.execution,
            overrides=None,
            threads=self._way.threads,
            terms=machine.terms,
        )


def captured(module: torch.nn.Module, example: Example) -> Graph:
    """The forward of a module that is served, with open sizes where that works."""
    from ..sources.capture import capture
    from ..sources.torch_state import in_mode

    with in_mode(module, training=False):
        return with_open_sizes(lambda of: capture(module, of.args, of.kwargs, dynamic=of.dynamic or None), example)


def with_open_sizes(capture: Callable[[Example], Graph], example: Example) -> Graph:
    """What a capture gives with the example's sizes open, or with fewer where the forward does not bear that.

    Raises:
        CaptureError: it fails with fixed sizes, too.
    """
    from ..sources.symbols import CaptureError

    failed: CaptureError | None = None
    for tried in example.with_fewer_sizes():
        try:
            return capture(tried)
        except CaptureError as error:
            failed = error
    raise failed or CaptureError("there is nothing to capture")


def structure_of(module: torch.nn.Module) -> Any:
    """What is equal as long as a module's cost is: its parts, dtypes and shapes of weights, and which are trained."""
    return tuple(
        (
            name,
            type(part),
            tuple(
                (key, weight.dtype, tuple(weight.shape), weight.requires_grad)
                for key, weight in part._parameters.items()
                if weight is not None
            ),
            tuple(part._buffers),
        )
        for name, part in module.named_modules()
    )


def products_of(graph: Graph, sizes: Mapping[str, int]) -> tuple[dict[str, int], dict[str, str]]:
    """For each weight that products read: their FLOPs in a forward, and the module of the first."""
    from ..predict.boundary import value_of
    from ..transform.products import find_products

    bound = _all_sizes(graph, sizes)
    rows = {layer.index: layer.row for layer in _core.count(graph, bound).layers}
    flops: dict[str, int] = {}
    modules: dict[str, str] = {}
    for product in find_products(graph):
        node = product.node
        if node.index not in rows:
            continue
        name = graph.tensor(product.weight).name
        flops[name] = flops.get(name, 0) + value_of(rows[node.index].contraction_flops, bound)
        modules.setdefault(name, node.module)
    return flops, modules


def _all_sizes(graph: Graph, sizes: Mapping[str, int]) -> dict[str, int]:
    """The values of all sizes of a graph: those that are given, and defaults."""
    from ..sources.sizes import bind_sizes

    return graph.size_values(bind_sizes(graph, sizes))

"""Cost to serve the model in training: predicted again only when its structure changes."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .. import _core
from ..results import figures
from ..sources.example import Example, capture_forward
from ..sources.inference_view.view import InferenceView, inference_view
from ..sources.sizes import bind_sizes
from .inputs import unwrapped

if TYPE_CHECKING:
    from .._core import Graph
    from ..deployment import Deployment
    from ..results.estimate import Estimate

# Figures of an estimate that a record has, if they are known.
_FIGURES = tuple(each.key for each in figures.of_scope(figures.RECORD) if figures.HARDWARE in each.needs)
_COUNTED = ("flops", "contraction_flops", "parameters", "parameter_bytes", "peak_memory_bytes")


@dataclass(frozen=True)
class ServingConfig:
    """How the model is going to be served.

    Attributes:
        deployments: Where and how it runs, in one precision; without hardware, the execution in which it is counted.
        sizes: Values of named sizes, such as the batch of a request; the example's by default.
        quantize: Formats of weights by module patterns, as `whatif` takes them; None takes those that
            quantization-aware training prepares.
    """

    deployments: Sequence[Deployment]
    sizes: Mapping[str, int] | None = None
    quantize: Any = None

    @property
    def precision(self) -> str:
        """The dtype to serve in."""
        return self.deployments[0].precision

    @property
    def timed(self) -> list[Deployment]:
        """The deployments with a machine."""
        return [each for each in self.deployments if each.hardware is not None]


@dataclass(frozen=True)
class ServedCost:
    """Cost of one structure.

    Attributes:
        graph: A forward, at the precision of training.
        metrics: Figures by name.
        flops_of_weight: Name of a weight -> FLOPs of its products in a forward.
        module_of_weight: Name of a weight -> the first module whose product reads it.
        structure: Equal as long as a training step of the model runs the same work.
        notes: Removed parts and assumptions.
    """

    graph: Graph
    metrics: Mapping[str, float]
    flops_of_weight: Mapping[str, int]
    module_of_weight: Mapping[str, str]
    structure: Any
    notes: tuple[str, ...]


class _Forward(NamedTuple):
    """A captured forward with its cost."""

    graph: Graph
    metrics: Mapping[str, float]
    flops_of_weight: Mapping[str, int]
    module_of_weight: Mapping[str, str]


class CostToServe:
    """Predict the cost of a module as it stands, and keep it until the structure changes."""

    def __init__(self, config: ServingConfig, example: Example) -> None:
        self._config = config
        self._example = example
        self._trained: Any = None
        self._served: Any = None
        self._forward: _Forward | None = None
        self._cost: ServedCost | None = None
        self._with_2_4: dict[frozenset[str], dict[str, float]] = {}

    def look(self, module: torch.nn.Module) -> ServedCost:
        """Return the cost of the module now.

        The module is looked at whenever its structure differs from the last one. It is captured only when the structure
        of its inference view does: masks and frozen weights change nothing of the forward that is served.
        """
        trained = structure_of(module)
        if self._cost is None or trained != self._trained:
            view = inference_view(module)
            served = [weakref.ref(part) for part in module.modules()], structure_of(view.module, gradients=False)
            if self._forward is None or served != self._served:
                self._forward, self._served = self._capture(view), served
                self._with_2_4.clear()
            self._cost, self._trained = self._predict(view, self._forward), trained
        return self._cost

    def with_2_4(self, weights: frozenset[str]) -> Mapping[str, float]:
        """Return latencies with kernels that skip two of four of these weights, on machines that have such kernels."""
        if self._cost is None or not weights:
            return {}
        if weights not in self._with_2_4:
            from ..transform.whatif import whatif

            modules = {self._cost.module_of_weight[name] for name in weights}
            pruned = whatif(self._cost.graph, prune="2:4", layers=modules.__contains__)
            self._with_2_4 = {
                weights: {
                    f"cost/{on.machine.id}/latency_2_4_s": self._estimate(pruned, on).latency_s
                    for on in self._config.timed
                    if on.machine.kind == "gpu" and on.machine.sparsity_2_4 > 1
                }
            }
        return self._with_2_4[weights]

    def _capture(self, view: InferenceView) -> _Forward:
        graph = capture_forward(view.module, self._example)
        return _Forward(graph, self._figures("cost", graph), *products_of(graph, self._sizes(graph)))

    def _predict(self, view: InferenceView, forward: _Forward) -> ServedCost:
        graph, metrics, notes = forward.graph, dict(forward.metrics), list(view.notes)
        quantize = self._config.quantize
        if quantize is None:  # prepared formats, of the layers that this forward runs
            runs = set(forward.module_of_weight.values())
            quantize = {path: form for path, form in view.quantize.items() if path in runs}
        if quantize:
            from ..transform.whatif import whatif

            metrics |= self._figures("converted", whatif(graph, quantize=quantize))
        fixed = [name for name in self._config.sizes or {} if name not in graph.sizes]
        if fixed:
            notes.append(f"size {', '.join(fixed)} cannot stay open in this forward; figures are at the example's")
        return ServedCost(
            graph,
            metrics,
            forward.flops_of_weight,
            forward.module_of_weight,
            structure_of(view.module),
            tuple(notes),
        )

    def _figures(self, kind: str, graph: Graph) -> dict[str, float]:
        metrics: dict[str, float] = {}
        total = _core.count(graph, _all_sizes(graph, self._sizes(graph)), precision=self._config.precision).total
        for name in _COUNTED:
            metrics[f"{kind}/{name}"] = getattr(total, name)
        for on in self._config.timed:
            estimate = self._estimate(graph, on)
            prefix = f"{kind}/{on.machine.id}"
            for name in _FIGURES:
                value = getattr(estimate, name)
                if value is not None:
                    metrics[f"{prefix}/{name}"] = value
            if estimate.fits_in_memory is not None:
                metrics[f"{prefix}/fits_in_memory"] = int(estimate.fits_in_memory)
        return metrics

    def _sizes(self, graph: Graph) -> dict[str, int]:
        """Return the caller's values for the sizes of the graph."""
        return {name: value for name, value in (self._config.sizes or {}).items() if name in graph.sizes}

    def _estimate(self, graph: Graph, on: Deployment) -> Estimate:
        from ..predict.estimate import estimate_on

        return estimate_on(on, graph, bind_sizes(graph, self._sizes(graph)))


def structure_of(module: torch.nn.Module, *, gradients: bool = True) -> Any:
    """Return a value that is equal as long as a module's work is: its parts, and dtypes and shapes of their weights.

    Args:
        module: The module.
        gradients: Whether it matters which weights require a gradient.
    """
    return tuple(
        (
            name,
            type(part),
            tuple(
                (key, weight.dtype, tuple(weight.shape), gradients and weight.requires_grad)
                for key, weight in part._parameters.items()
                if weight is not None
            ),
            tuple(part._buffers),
        )
        for name, part in module.named_modules()
    )


def products_of(graph: Graph, sizes: Mapping[str, int]) -> tuple[dict[str, int], dict[str, str]]:
    """Return for each weight that products read their FLOPs in a forward, and the module of the first."""
    from ..formats.products import find_products
    from ..predict.plans import value_of

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


def without_labels(module: torch.nn.Module, example: Example) -> Example:
    """Return the inputs of a served forward: a training step's inputs without `labels` if they are optional."""
    if "labels" not in example.kwargs:
        return example
    argument = inspect.signature(unwrapped(module).forward).parameters.get("labels")
    if argument is None or argument.default is inspect.Parameter.empty:
        return example
    return Example(
        example.args,
        {name: value for name, value in example.kwargs.items() if name != "labels"},
        {key: of for key, of in example.dynamic.items() if key != "labels"},
    )


def _all_sizes(graph: Graph, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the values of all sizes of a graph: the given ones, and defaults."""
    return graph.size_values(bind_sizes(graph, sizes))

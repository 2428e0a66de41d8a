"""Preparations of a graph that counts, estimates and sweeps share: plans, the boundary.

Plans and boundaries are made once for a graph and kept as long as it lives.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .. import _core
from .._core import Graph, Work
from ..deployment.engines import TORCH, execution_of
from ..errors import LayoutError
from ..inputs.engine_settings import EngineSettings
from ..inputs.layout import Layout
from ..sources.notices import warn_if_not_kept
from .rules import Rules, work_overrides

if TYPE_CHECKING:
    from .._core import Boundary, Cache, PlanFamily, Quantity

# By identity, since graphs compare by content. An entry is removed with its graph.
_CACHES: dict[int, dict[Any, Any]] = {}


def graph_cache(graph: Graph) -> dict[Any, Any]:
    """Return a dictionary that lives as long as the graph."""
    key = id(graph)
    if key not in _CACHES:
        _CACHES[key] = {}
        weakref.finalize(graph, _CACHES.pop, key, None)
    return _CACHES[key]


# ---- plans -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)  # sweeps ask for it at every layout
def core_layout(layout: Layout) -> _core.Layout:
    """Return a layout as the core takes it."""
    return _core.Layout(**layout.for_core())


_LOST = {
    "engine": "the graph of {engine}",
    "layout": "the graph of one device of layout {layout}",
    "stages": "the sum of the stages of a pipeline",
}


def derived(graph: Graph, made: tuple[Graph, Sequence[tuple[str, float]]], **named: object) -> Graph:
    """Return a graph that the core made of another one; what is kept with it lives as long as the other one.

    Args:
        graph: The other one.
        made: The graph, and what it lost of products.
        **named: Engine and layout, for warnings.

    Warns:
        ConservationWarning: Products are lost or doubled.
    """
    found, lost = made
    for kind, kept_share in lost:
        warn_if_not_kept(kept_share, _LOST[kind].format(**{"engine": "an engine", **named}))
    if found is not graph:
        graph_cache(graph).setdefault("derived", {})[id(found)] = found
    return found


def loaded_graph(graph: Graph, engine: str) -> Graph:
    """Return a captured model as an engine loads it: float32 weights in 16 bits; the graph itself if all stay."""
    return derived(graph, (_core.graph_as_loaded(graph, engine), ()))


def is_narrowed(graph: Graph) -> bool:
    """Return whether a graph, loaded or launched, has float32 weights of its capture in 16 bits."""
    return _core.facts(graph).is_narrowed


def engine_graph(graph: Graph, engine: str) -> Graph:
    """Return the graph that an engine launches for a captured graph.

    A serving engine writes keys and values into a paged cache in place, joins products of one input, multiplies the
    weights of latent attention into the queries of a decode step, chooses the next token on the device, and runs all
    else in fused kernels. A compiler of whole models runs elementwise work in the kernel of the convolution or product
    before it; norms with known statistics become part of its weights. Contraction FLOPs and bytes of other weights stay
    the same, except in latent attention.

    Args:
        graph: A graph of `capture` or `whatif`, or of this function.
        engine: `"torch"` for the graph itself, a serving engine, or a compiler of whole models.

    Raises:
        InputError: The engine is unknown, or does not run such a graph.

    Warns:
        ConservationWarning: Products are lost or doubled.

    Examples:
        >>> net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> graph = ic.capture(net, torch.empty(1, 784), dynamic={0: {0: "batch"}})
        >>> [node.op for node in ic.engine_graph(graph, "tensorrt").nodes]
        ['engine.product', 'engine.product']
    """
    return derived(graph, _core.graph_of_engine(graph, engine), engine=engine)


def as_captured(graph: Graph) -> tuple[int, ...]:
    """Return the nodes of an engine's graph that the engine has no kernel for: they run as captured."""
    return tuple(_core.facts(graph).as_captured)


def graph_of_rank(graph: Graph, layout: Layout) -> Graph:
    """Return the graph of one device of a layout, with the layers of all stages of a pipeline.

    Args:
        graph: A graph of `capture` or `whatif`, or of `engine_graph` for one of these that is still in use.
        layout: The layout.

    Raises:
        LayoutError: The layout does not fit the model; the message has the reason, and the layouts that do.
    """
    _check_training(graph, layout)
    return derived(graph, _core.graph_of_rank(graph, core_layout(layout)), layout=layout)


def _check_training(graph: Graph, layout: Layout) -> None:
    for name, usual in (("zero", 0), ("schedule", Layout.schedule)):
        if (given := getattr(layout, name)) != usual and not graph.trains:
            raise LayoutError(f"{name} is {given}, and this graph is of a forward; expected one of a training step")


SERVED_EXPERTS = f"power:{_core.SERVED_EXPERTS:g}"
"""Loads of experts in a serving engine, if the layout does not state them.

Requests of one service resemble each other, so that its tokens choose fewer experts than random ones.
"""


def with_expert_loads(layout: Layout, engine: str, graph: Graph) -> Layout:
    """Return a layout with loads of experts, if it states none and the model has experts.

    Args:
        layout: The layout.
        engine: What runs the model.
        graph: The graph, captured or launched.
    """
    if layout.expert_load or not _core.serves_experts(graph, engine):
        return layout
    return layout.replace(expert_load=SERVED_EXPERTS)


class WeightShare(NamedTuple):
    """Part of a weight or buffer on one device.

    Attributes:
        name: Name of the weight.
        elements: Elements on the device.
        of: Elements of the whole weight.
        why: Reason that each device has all of it; empty for a weight that is divided, and for buffers.
    """

    name: str
    elements: int
    of: int
    why: str = ""


def weight_shares(graph: Graph) -> tuple[WeightShare, ...]:
    """Return the shares of weights and buffers on the device of a graph of `rank_graph`; empty for other graphs."""
    return tuple(WeightShare(*share) for share in _core.facts(graph).shares)


def launched_graph(graph: Graph, engine: str, layout: Layout) -> Graph:
    """Return the graph that one device of a layout launches, in the kernels of an engine.

    Of a pipeline it has the layers of all stages; see `stages.pipeline_of`.
    """
    _check_training(graph, layout)
    made = _core.launched_graph(graph, engine, core_layout(layout))
    return derived(graph, made, engine=engine, layout=layout)


def family_of(
    graph: Graph, precision: str, execution: str, overrides: Mapping[int, Work] | None = None, serving: str = ""
) -> PlanFamily:
    """Return the plans of a graph in one precision and execution.

    Args:
        graph: The graph.
        precision: Dtype to run in.
        execution: `"eager"`, `"compiled"`, `"cuda_graph"` or `"reduce-overhead"`.
        overrides: Work by node, of the caller's rules; such plans are not kept.
        serving: Settings of an engine's steps, as text.

    Raises:
        InputError: The precision or the execution is unknown.
    """
    way: dict[str, Any] = {"precision": precision, "execution": execution, "step": step_of(serving)}
    if overrides:
        return _core.PlanFamily(graph, **way, overrides=overrides)
    kept = graph_cache(graph)
    key = ("plans", precision, execution, serving)
    if key not in kept:
        kept[key] = _core.PlanFamily(graph, **way)
    family: PlanFamily = kept[key]
    return family


def step_of(serving: str) -> dict[str, Any]:
    """Return settings of an engine's steps, given as text, by the names of the core."""
    return EngineSettings.parse(serving).for_plans() if serving else {}


EngineOverrides: TypeAlias = "Mapping[tuple[str, str], Mapping[int, Work]]"
"""Engine and layout -> work by node of their graph; empty without rules of the caller."""


ONE_DEVICE = str(Layout())
"""The text of the layout of a whole model on each device."""


class PlanKey(NamedTuple):
    """Key of the plans of a graph: precision, engine, execution, layout and settings of the engine."""

    precision: str
    engine: str
    execution: str
    layout: str = ONE_DEVICE
    serving: str = ""

    @property
    def launched(self) -> tuple[str, str]:
        """Key of the launched graph."""
        return self.engine, self.layout

    def graph(self, graph: Graph) -> Graph:
        """Return the graph that is launched for a captured graph."""
        return launched_graph(graph, self.engine, Layout.parse(self.layout))

    def family(self, graph: Graph, overrides: EngineOverrides) -> PlanFamily:
        """Return the plans of a captured graph.

        Raises:
            InputError: The engine has no such execution, or does not run the graph.
        """
        execution_of(self.engine, self.execution)
        launched = self.graph(graph)
        return family_of(launched, self.precision, self.execution, overrides.get(self.launched), self.serving)


def plan_key_of(named: Mapping[str, Any]) -> PlanKey:
    """Return the key of a point from its values by name."""
    return PlanKey(
        named["precision"],
        named.get("engine", TORCH),
        named["execution"],
        named.get("layout", ONE_DEVICE),
        named.get("serving", ""),
    )


def overrides_of(graph: Graph, keys: Iterable[PlanKey], rules: Rules | None) -> dict[tuple[str, str], dict[int, Work]]:
    """Return the work of the nodes whose ops have a rule, for the graph of each engine and layout."""
    found: dict[tuple[str, str], dict[int, Work]] = {}
    if not rules:
        return found
    for key in {key.launched: key for key in keys}.values():
        if works := work_overrides(key.graph(graph), rules):
            found[key.launched] = works
    return found


# ---- the boundary of a forward ---------------------------------------------------------------------------------------


def boundary_of(graph: Graph, precision: str) -> Boundary:
    """Return the boundary of a graph in a precision; of a stage of a pipeline, its own weights and caches."""
    return _core.boundary(graph, precision=precision)


def caches_of(graph: Graph, precision: str) -> tuple[Cache, ...]:
    """Return the caches after a forward: those that it returns, or those that it is given if it returns none.

    A stage of a pipeline has those of its layers. An engine writes caches in place, with room for the next token; those
    of the captured graph say what it holds.
    """
    kept = graph_cache(graph)
    key = ("caches", precision)
    if key not in kept:
        kept[key] = tuple(_core.boundary(graph, precision=precision).caches)
    found: tuple[Cache, ...] = kept[key]
    return found


def value_of(quantity: Quantity, sizes: Mapping[str, int]) -> int:
    """Return the value of a quantity at these sizes."""
    return quantity if isinstance(quantity, int) else quantity.evaluate(sizes)

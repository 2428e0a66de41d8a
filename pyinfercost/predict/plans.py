"""Preparations of a graph that counts, estimates and sweeps share: plans, the boundary.

Plans and boundaries are made once for a graph and kept as long as it lives.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .. import _core
from .._core import Graph, Work
from .._records import dataclass
from ..deployment.engines import TORCH, execution_of, forms_steps
from ..errors import InputError
from ..inputs.layout import Layout, LayoutError
from ..inputs.serving import Serving
from ..results import figures
from ..sources.notices import warn_if_not_kept
from .quantities import length_of
from .rules import Rules, work_overrides

if TYPE_CHECKING:
    from .._core import Holdings, PlanFamily, Quantity

# By identity, since graphs compare by content. An entry is removed with its graph.
_CACHES: dict[int, dict[Any, Any]] = {}


def graph_cache(graph: Graph) -> dict[Any, Any]:
    """Return a dictionary that lives as long as the graph."""
    key = id(graph)
    if key not in _CACHES:
        _CACHES[key] = {}
        weakref.finalize(graph, _CACHES.pop, key, None)
    return _CACHES[key]


def trains(graph: Graph) -> bool:
    """Return whether a graph is of a training step."""
    kept = graph_cache(graph)
    if "trains" not in kept:
        count = len(graph)
        kept["trains"] = bool(count) and first_backward(graph) < count
    found: bool = kept["trains"]
    return found


def first_backward(graph: Graph) -> int:
    """Return the first node of the backward pass, which follows the forward; the number of nodes without one."""
    low, high = 0, len(graph)
    while low < high:
        middle = (low + high) // 2
        if graph.node(middle).phase == "backward":
            high = middle
        else:
            low = middle + 1
    return low


# ---- plans -----------------------------------------------------------------------------------------------------------


def loaded_graph(graph: Graph, engine: str) -> Graph:
    """Return a captured model as an engine loads it: float32 weights in 16 bits; the graph itself if all stay."""
    kept = graph_cache(graph)
    if engine == TORCH or MADE_BY in kept or LAYOUT in kept:
        return graph
    key = ("loaded", engine)
    if key not in kept:
        made = _core.loaded_graph(graph, engine)
        kept[key] = None if made is graph else made
        if made is not graph:
            graph_cache(made)[LOADED] = True
    found: Graph | None = kept[key]
    return graph if found is None else found


def is_narrowed(graph: Graph) -> bool:
    """Return whether a graph, loaded or launched, has float32 weights of its capture in 16 bits."""
    kept = graph_cache(graph)
    captured = kept.get(CAPTURED, lambda: None)()
    return LOADED in kept or (captured is not None and is_narrowed(captured))


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
    kept = graph_cache(graph)
    if engine == TORCH or kept.get(MADE_BY) == engine:
        return graph
    key = ("engine", engine)
    if key not in kept:
        made, as_captured, kept_share = _core.engine_graph(graph, engine)
        warn_if_not_kept(kept_share, f"the graph of {engine}")
        known = {MADE_BY: engine, AS_CAPTURED: tuple(as_captured), CAPTURED: weakref.ref(graph)}
        known |= {name: kept[name] for name in (LAYOUT, SHARES, LOADED) if name in kept}
        graph_cache(made).update(known)
        kept[key] = made
    found: Graph = kept[key]
    return found


def as_captured(graph: Graph) -> tuple[int, ...]:
    """Return the nodes of an engine's graph that the engine has no kernel for: they run as captured."""
    nodes: tuple[int, ...] = graph_cache(graph).get(AS_CAPTURED, ())
    return nodes


def graph_of_rank(graph: Graph, layout: Layout) -> Graph:
    """Return the graph of one device of a layout, with the layers of all stages of a pipeline.

    Args:
        graph: A graph of `capture` or `whatif`, or of `engine_graph` for one of these that is still in use.
        layout: The layout.

    Raises:
        LayoutError: The layout does not fit the model; the message has the reason, and the layouts that do.
    """
    wanted = of_rank(layout)
    kept = graph_cache(graph)
    if layout.zero and not trains(graph):
        raise LayoutError(f"zero is {layout.zero}, and this graph is of a forward; expected that of a training step")
    if layout.schedule != Layout.schedule and not trains(graph):
        raise LayoutError(
            f"schedule is {layout.schedule}, and this graph is of a forward; expected that of a training step"
        )
    if kept.get(LAYOUT, Layout()) == wanted:
        return graph
    if wanted.context > 1 and _names_tokens(graph):
        return _share_of_tokens(graph_of_rank(graph, _of_all_tokens(layout)), layout)
    if MADE_BY in kept and LAYOUT not in kept:
        captured = kept[CAPTURED]()
        if captured is None:
            raise LayoutError(
                "the captured graph of this engine's graph is not in use anymore; divide that one, and make the graph "
                "of the engine from the result"
            )
        return engine_graph(graph_of_rank(captured, wanted), kept[MADE_BY])
    key = ("layout", wanted)
    if key not in kept:
        try:
            made, shares, kept_share = _core.parallel_graph(graph, **wanted.for_core())
        except InputError as error:
            raise LayoutError(str(error)) from None
        warn_if_not_kept(kept_share, f"the graph of one device of layout {wanted}")
        graph_cache(made).update({LAYOUT: wanted, SHARES: tuple(WeightShare(*share) for share in shares)})
        if LOADED in kept:
            graph_cache(made)[LOADED] = True
        if wanted.context > 1:
            graph_cache(made)[STAGE] = _OfAllTokens(graph_of_rank(graph, _of_all_tokens(layout)))
        kept[key] = made
    found: Graph = kept[key]
    return found


_TOKEN_SIZES = ("height", "frames")
"""Sizes of images and recordings that count tokens."""


def _names_tokens(graph: Graph) -> bool:
    """Return whether tokens are counted by a named size, or by the positions of caches."""
    named = any(graph.size_of_role(role) for role in ("sequence", "context"))
    return named or any(name in graph.sizes for name in _TOKEN_SIZES) or boundary_of(graph, "native").reads_cache


def _of_all_tokens(layout: Layout) -> Layout:
    """Return the layout of the ranks that have the same tokens, in as many machines as they span."""
    in_node = layout.devices // layout.nodes
    one = of_rank(without_training(layout).replace(pipeline=1, context=1, ulysses=False, nodes=1, micro_batches=0))
    return one.replace(nodes=max(1, one.devices // in_node))


def _share_of_tokens(graph: Graph, layout: Layout) -> Graph:
    """Return the graph of one of the `context` ranks that share the tokens of a graph.

    An engine's graph is divided as it is launched, and keeps the caches of the captured graph, divided as well.
    """
    kept = graph_cache(graph)
    in_node = layout.devices // layout.nodes
    nodes = -(-layout.tensor * layout.context // in_node)
    key = ("context", layout.context, nodes, of_rank(layout))
    if key not in kept:
        try:
            made, places = _core.context_graph(graph, devices=layout.context, nodes=nodes, ulysses=layout.ulysses)
            known = {name: kept[name] for name in (MADE_BY, SHARES) if name in kept}
            captured = kept[CAPTURED]() if CAPTURED in kept else None
            if captured is not None:
                of_captured = graph_cache(captured)
                if key not in of_captured:
                    of_captured[key], _ = _core.context_graph(captured, devices=layout.context, only_shapes=True)
                known[CAPTURED] = weakref.ref(of_captured[key])
        except InputError as error:
            raise LayoutError(str(error)) from None
        known |= {AS_CAPTURED: tuple(places[node] for node in as_captured(graph)), LAYOUT: of_rank(layout)}
        graph_cache(made).update({**known, STAGE: _OfAllTokens(graph)})
        kept[key] = made
    found: Graph = kept[key]
    return found


class _OfAllTokens:
    """The boundary of the graph whose tokens are shared, as long as that is in use."""

    def __init__(self, graph: Graph) -> None:
        self._graph = weakref.ref(graph)

    def caches(self, precision: str) -> tuple[CacheTensor, ...] | None:
        """Return None: caches are those of the graph itself."""

    def boundary(self, own: Boundary, precision: str) -> Boundary:
        """Return the boundary of a rank: its weights and caches, and the tokens, inputs and results of all."""
        graph = self._graph()
        if graph is None:
            return own
        return replace(boundary_of(graph, precision), weight_bytes=own.weight_bytes, kv_cache_bytes=own.kv_cache_bytes)


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
    if layout.expert_load or not forms_steps(engine):
        return layout
    kept = graph_cache(graph)
    captured = kept[CAPTURED]() if CAPTURED in kept else graph
    stated = LAYOUT in kept and kept[LAYOUT].expert_load == SERVED_EXPERTS
    if not stated and not _core.expert_layers(graph if captured is None else captured):
        return layout
    return layout.replace(expert_load=SERVED_EXPERTS)


@lru_cache(maxsize=4096)  # sweeps ask for it at every layout
def of_rank(layout: Layout) -> Layout:
    """Return what the graph of one device depends on, apart from the cuts between stages of a pipeline.

    Copies matter only if they share experts. Of the machines, only those that a group of neighbors spans matter.
    """
    layout = without_training(layout).replace(micro_batches=0)
    one = layout.replace(pipeline=1)
    in_node = layout.devices // layout.nodes
    if layout.expert > layout.tensor:
        return one if layout.nodes == 1 else layout
    group = layout.tensor * layout.context
    if in_node >= group:
        return one.replace(data=1, nodes=1)
    return layout if group % in_node else one.replace(data=1, nodes=group // in_node)


def without_training(layout: Layout) -> Layout:
    """Return a layout without what training steps alone depend on."""
    return layout.replace(zero=0, schedule=Layout.schedule)


class WeightShare(NamedTuple):
    """What one device keeps of a weight or buffer.

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
    found: tuple[WeightShare, ...] = graph_cache(graph).get(SHARES, ())
    return found


def launched_graph(graph: Graph, engine: str, layout: Layout) -> Graph:
    """Return the graph that one device of a layout launches, in the kernels of an engine.

    Of a pipeline it has the layers of all stages; see `stages.pipeline_of`.
    """
    layout = with_expert_loads(layout, engine, graph)
    graph = loaded_graph(graph, engine)
    if layout.context > 1 and graph_cache(graph).get(LAYOUT, Layout()).context == 1 and _names_tokens(graph):
        return _share_of_tokens(engine_graph(graph_of_rank(graph, _of_all_tokens(layout)), engine), layout)
    return engine_graph(graph_of_rank(graph, layout), engine)


MADE_BY, AS_CAPTURED, CAPTURED, LAYOUT, SHARES = "made by", "as captured", "captured", "layout", "shares"
LOADED = "loaded in 16 bits"
STAGE = "stage"
"""Key in the cache of the graph of a stage: what gives its caches and its boundary."""


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
    way: dict[str, Any] = {"precision": precision, "execution": execution}
    if serving:
        way["step"] = Serving.parse(serving).for_plans()
    if overrides:
        return _core.PlanFamily(graph, **way, overrides=overrides)
    kept = graph_cache(graph)
    key = ("plans", precision, execution, serving)
    if key not in kept:
        kept[key] = _core.PlanFamily(graph, **way)
    family: PlanFamily = kept[key]
    return family


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


@dataclass(frozen=True)
class CacheTensor:
    """Keys, values or a state of one layer that a forward leaves for the next one, symbolic in the sizes of the graph.

    Attributes:
        name: Name of the input or the result; empty if its source gave none.
        tensor: Its index in the graph.
        kind: `"full"`, `"sliding"`, `"latent"`, `"cross"` or `"state"`, as in `results.kv_cache.CacheLayers`.
        dtype: Dtype of its elements.
        bytes: Its bytes.
        sequence_bytes: Bytes of one sequence.
        token_bytes: Bytes of one token of one sequence; 0 for a state.
        positions: Tokens that it holds of each sequence; 0 for a state.
        grows: Whether tokens add positions, in a window until it is full.
        added: Positions that the last token of the forward added: 1, or 0 in a full window.
    """

    name: str
    tensor: int
    kind: str
    dtype: str
    bytes: Quantity
    sequence_bytes: Quantity
    token_bytes: Quantity
    positions: Quantity
    grows: bool
    added: Quantity


@dataclass(frozen=True)
class Boundary:
    """Data at the boundary of a forward, symbolic in the sizes of the graph.

    Attributes:
        input_tensors: Number of inputs; caches stay on the device and do not count.
        input_bytes: Bytes of the inputs, at the width that the precision stores.
        output_tensors: Number of results, without keys and values for the next forward, and without gradients.
        output_bytes: Bytes of the results.
        weight_bytes: Bytes of weights and buffers.
        tokens: Ids that are looked up in the largest embedding table; None if the forward looks up none.
        vocabulary: Rows of that table; 0 without one.
        kv_cache_bytes: Bytes of keys, values and states that are held after the forward; None if there are none.
        reads_cache: Whether caches are given to the forward, as in a decode step.
        step_bytes: Peak of activations, without caches, while an engine computes what all tokens of a step need; 0 for
            a graph that no engine launches.
    """

    input_tensors: int
    input_bytes: Quantity
    output_tensors: int
    output_bytes: Quantity
    weight_bytes: Quantity
    tokens: Quantity | None
    vocabulary: int
    kv_cache_bytes: Quantity | None
    reads_cache: bool
    step_bytes: Quantity = 0

    @property
    def phase(self) -> str:
        """The phase of a language model, `figures.PREFILL` or `DECODE`; empty for other models."""
        if self.tokens is None or self.kv_cache_bytes is None:
            return ""
        return figures.DECODE if self.reads_cache else figures.PREFILL


def boundary_of(graph: Graph, precision: str) -> Boundary:
    """Return the boundary of a graph in a precision; of a stage of a pipeline, its own weights and caches."""
    own = _boundary_and_caches(graph, precision)[0]
    captured = graph_cache(graph).get(CAPTURED, lambda: None)()
    if own.tokens is None and captured is not None:
        # The host of an engine prepares the ids that a model only reshapes: its graph looks up prepared ones.
        of_model = _boundary_and_caches(captured, precision)[0]
        own = replace(own, tokens=of_model.tokens, vocabulary=of_model.vocabulary)
    part = graph_cache(graph).get(STAGE)
    return own if part is None else part.boundary(own, precision)


def caches_of(graph: Graph, precision: str) -> tuple[CacheTensor, ...]:
    """Return the caches after a forward: those that it returns, or those that it is given if it returns none.

    A stage of a pipeline has those of its layers. An engine writes caches in place, with room for the next token; those
    of the captured graph say what it holds.
    """
    kept = graph_cache(graph)
    caches: tuple[CacheTensor, ...] | None = kept[STAGE].caches(precision) if STAGE in kept else None
    if caches is not None:
        return caches
    captured = kept.get(CAPTURED, lambda: None)()
    return _boundary_and_caches(graph if captured is None else captured, precision)[1]


def holdings_of(graph: Graph, precision: str) -> Holdings:
    """Return what a graph holds on one device, for the memory models of the core."""
    kept = graph_cache(graph)
    key = ("holdings", precision)
    if key not in kept:
        boundary = boundary_of(graph, precision)
        kept[key] = _core.Holdings(
            weight_bytes=boundary.weight_bytes,
            tokens=boundary.tokens,
            vocabulary=boundary.vocabulary,
            reads_cache=boundary.reads_cache,
            caches=[
                (each.kind, each.bytes, each.sequence_bytes, each.token_bytes, each.positions, each.grows)
                for each in caches_of(graph, precision)
            ],
            step_bytes=boundary.step_bytes,
            batch=graph.size_of_role("batch") or "",
            length=length_of(graph),
        )
    found: Holdings = kept[key]
    return found


def _boundary_and_caches(graph: Graph, precision: str) -> tuple[Boundary, tuple[CacheTensor, ...]]:
    kept = graph_cache(graph)
    key = ("boundary", precision)
    if key not in kept:
        fields = _core.boundary(graph, precision=precision)
        caches = tuple(CacheTensor(**cache) for cache in fields.pop("caches"))
        kept[key] = Boundary(**fields), caches
    found: tuple[Boundary, tuple[CacheTensor, ...]] = kept[key]
    return found


def value_of(quantity: Quantity, sizes: Mapping[str, int]) -> int:
    """Return the value of a quantity at these sizes."""
    return quantity if isinstance(quantity, int) else quantity.evaluate(sizes)

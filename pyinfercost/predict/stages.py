"""Stages of a pipeline: a graph is cut where one activation passes, so that stages take equal predicted times."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, NamedTuple, SupportsIndex

from .. import _core
from .._checks import Range, whole
from .._records import dataclass
from ..deployment.engines import TORCH
from ..deployment.nodes import nodes_of
from ..errors import InputError
from ..inputs.layout import Layout, LayoutError
from ..results.stages import LAYER
from ..sources.notices import warn_if_not_kept
from .plans import (
    AS_CAPTURED,
    CAPTURED,
    LAYOUT,
    MADE_BY,
    SHARES,
    STAGE,
    WeightShare,
    as_captured,
    boundary_of,
    caches_of,
    family_of,
    graph_cache,
    graph_of_rank,
    launched_graph,
    trains,
    value_of,
)

if TYPE_CHECKING:
    from .._core import Graph, Hardware, Quantity, Work
    from ..deployment import Deployment, LayoutLike
    from .plans import Boundary, CacheTensor

_STAGES, _PLACES = "stages", "places"
_FLOPS_PER_BYTE = 300.0
_WEIGHTS = ("parameter", "buffer")


class StageGraph(NamedTuple):
    """One stage.

    Attributes:
        graph: What its devices launch.
        nodes: For each node of it the number of the node in the graph of all stages.
        sent: Bytes of the activations that are sent to the next stage.
        slices: Devices that send one part each.
    """

    graph: Graph
    nodes: tuple[int, ...]
    sent: Quantity
    slices: int

    def modules(self) -> tuple[str, ...]:
        """Return the modules of the stage in order, as paths up to their first number."""
        kept = graph_cache(self.graph)
        if "modules" not in kept:
            paths = (LAYER.match(self.graph.node(number).module) for number in range(len(self.graph)))
            kept["modules"] = tuple(dict.fromkeys(path[0] for path in paths if path and path[0]))
        found: tuple[str, ...] = kept["modules"]
        return found


@dataclass(frozen=True)
class Pipeline:
    """A graph that is cut into stages.

    Attributes:
        graph: All stages, one after another, with what they send.
        stages: The stages, in order.
    """

    graph: Graph
    stages: tuple[StageGraph, ...]

    def placed(self, overrides: Mapping[int, Work]) -> dict[int, Work]:
        """Return work by node of the graph that was cut as work by node of the graph of all stages."""
        places: Sequence[int] = graph_cache(self.graph)[_PLACES]
        return {places[node]: work for node, work in overrides.items()}

    def kinds(self) -> tuple[int, ...]:
        """Return for each stage the first stage that has equal costs."""
        kept = graph_cache(self.graph)
        if "kinds" not in kept:
            first: dict[str, int] = {}
            contents = (stage.graph.structure() for stage in self.stages)
            kept["kinds"] = tuple(first.setdefault(content, number) for number, content in enumerate(contents))
        found: tuple[int, ...] = kept["kinds"]
        return found


class Timing(NamedTuple):
    """What times are predicted for, to balance stages.

    Attributes:
        machine: The machine; without one, stages have equal work at 300 FLOPs per byte.
        precision: Dtype to run in.
        execution: How it runs.
        serving: Settings of an engine's steps, as text.
    """

    machine: Hardware | None = None
    precision: str = "native"
    execution: str = "eager"
    serving: str = ""


def timing_on(on: Deployment) -> Timing:
    """Return the timing of a deployment."""
    if on.hardware is None:
        return Timing(precision=on.precision)
    return Timing(on.machine, on.precision, on.execution, str(on.serving))


def rank_graph(
    graph: Graph, layout: LayoutLike, *, stage: SupportsIndex | None = None, on: Deployment | None = None
) -> Graph:
    """Return the graph of one device of a layout.

    Products whose columns are divided among the `tensor` devices, and those after them whose rows are, follow from the
    operators between them; so do the heads of attention, the caches, and the rows of embeddings and columns of logits.
    Collective operations (`collective.all_reduce` and others) are nodes of the graph. Heads of keys and values are
    replicated beyond their number. Norms, and what no product sums over, stay whole.

    Stages of a pipeline end where one activation passes from layer to layer, in a serving engine the two that its next
    kernel adds up. In a training step, each has the forward and the backward of its layers. Stages take equal times, as
    far as layers allow: those predicted for `on` at the default sizes of the graph. Masks and tables of positions are
    computed by each stage.

    Args:
        graph: A graph of `capture` or `whatif`, or of `engine_graph` for one of these that is still in use.
        layout: The layout. Copies of the model (`data`) share the batch: the graph is of one share.
        stage: The stage of the pipeline, from 0. Without it, the graph has all stages, one after another, with what
            they send (`collective.send`): what a batch passes through, and not what one device holds.
        on: The machine, precision and execution whose times balance the stages. Without it, stages have equal work,
            counted as the larger of bytes and FLOPs / 300.

    Returns:
        The graph, with the same named sizes.

    Raises:
        LayoutError: The layout does not fit the model; the message has the reason, and the layouts that do.
    """
    wanted = Layout.parse(layout)
    last = wanted.pipeline - 1
    number = None if stage is None else whole(stage, "stage", Range(0, last), LayoutError)
    if wanted.pipeline == 1:
        return graph_of_rank(graph, wanted)
    made = pipeline_of(graph_of_rank(graph, wanted), wanted, Timing() if on is None else timing_on(on))
    return made.graph if number is None else made.stages[number].graph


def pipeline_on(on: Deployment, graph: Graph) -> Pipeline | None:
    """Return the stages of a graph, captured or launched, on a deployment; None without a pipeline.

    Raises:
        LayoutError: The graph cannot be cut into as many stages, or is cut into another number of them.
    """
    layout = on.rank_layout
    if layout.pipeline == 1 and _STAGES not in graph_cache(graph):
        return None
    return pipeline_of(launched_graph(graph, on.engine, layout), layout, timing_on(on))


def graph_on(on: Deployment, graph: Graph) -> Graph:
    """Return the graph that a device launches for a graph, captured or launched; of a pipeline, that of all stages."""
    pipeline = pipeline_on(on, graph)
    return launched_graph(graph, on.engine, on.rank_layout) if pipeline is None else pipeline.graph


def stages_of(graph: Graph) -> tuple[StageGraph, ...]:
    """Return the stages of a graph of all stages; empty for another graph."""
    found: tuple[StageGraph, ...] = graph_cache(graph).get(_STAGES, ())
    return found


def loaded_bytes(launched: Graph, precision: str, sizes: Mapping[str, int]) -> int:
    """Return the weights and buffers that a device loads: of a pipeline, one of the stage with most of them."""
    graphs = [stage.graph for stage in stages_of(launched)] or [launched]
    return max(value_of(boundary_of(graph, precision).weight_bytes, sizes) for graph in graphs)


def pipeline_of(launched: Graph, layout: Layout, timing: Timing) -> Pipeline:
    """Cut a graph into the stages of a layout.

    Args:
        launched: The graph of one device with the layers of all stages, or that of all stages already.
        layout: The layout.
        timing: What balances the stages.

    Raises:
        LayoutError: The graph cannot be cut into as many stages, or is cut into another number of them.
    """
    kept = graph_cache(launched)
    if _STAGES in kept:
        stages: tuple[StageGraph, ...] = kept[_STAGES]
        if len(stages) != layout.pipeline:
            raise LayoutError(
                f"this graph has {len(stages)} stages, and the layout has pipeline={layout.pipeline}; pass the "
                "captured graph"
            )
        return Pipeline(launched, stages)
    slices = layout.tensor if _core.sends_slices(kept.get(MADE_BY, TORCH)) else 1
    cuts = _cuts(launched, layout, timing, slices)
    machines = nodes_of(timing.machine, layout)
    nodes = [1 + layout.sends_between_nodes(stage, machines) for stage in range(layout.pipeline - 1)]
    key = ("pipeline", cuts, tuple(nodes), slices)
    if key not in kept:
        kept[key] = _cut(launched, cuts, nodes, slices)
    made: Graph = kept[key]
    return Pipeline(made, graph_cache(made)[_STAGES])


Cuts = tuple[tuple[int, tuple[int, ...]], ...]
"""Cuts: the node that a stage begins with, and the tensors that are sent to it."""


def _cut(launched: Graph, cuts: Cuts, nodes: Sequence[int], slices: int) -> Graph:
    """Return the graph of all stages, whose cache has the stages."""
    kept = graph_cache(launched)
    if trains(launched):
        made, parts, places = _core.training_pipeline_graphs(launched, cuts, nodes=nodes)
    else:
        made, parts, places = _core.pipeline_graphs(launched, cuts, nodes=nodes, slices=slices)
    warn_if_not_kept(
        _core.kept_by_stages(launched, [graph for graph, _ in parts]), "the sum of the stages of a pipeline"
    )
    sent: list[Quantity] = []
    for _, crossing in cuts:
        total: Quantity = 0
        for tensor in crossing:
            total = total + launched.tensor(tensor).nbytes
        sent.append(total)
    stages = tuple(
        StageGraph(graph, tuple(numbers), bytes_sent, slices)
        for (graph, numbers), bytes_sent in zip(parts, [*sent, 0], strict=True)
    )
    shares = kept.get(SHARES) or _whole_weights(launched)
    known = {name: kept[name] for name in (MADE_BY, CAPTURED, LAYOUT) if name in kept}
    known |= {AS_CAPTURED: tuple(places[node] for node in as_captured(launched))}
    graph_cache(made).update({**known, SHARES: shares, _STAGES: stages, _PLACES: places})
    for number, stage in enumerate(stages):
        held = {tensor.name for tensor in stage.graph.tensors if tensor.role in _WEIGHTS}
        own = graph_cache(stage.graph)
        if MADE_BY not in kept:  # an engine joins weights under other names
            own[SHARES] = tuple(share for share in shares if share.name in held)
        own[STAGE] = _Part(launched, number, [each.graph for each in stages])
    return made


def _whole_weights(graph: Graph) -> tuple[WeightShare, ...]:
    found = []
    for tensor in graph.tensors:
        if tensor.role in _WEIGHTS:
            elements = prod(value_of(length, {}) for length in tensor.shape)
            found.append(WeightShare(tensor.name, elements, elements))
    return tuple(found)


class _Part:
    """What a stage has of the caches and the boundary of the whole model, as long as that is in use."""

    def __init__(self, launched: Graph, number: int, stages: Sequence[Graph]) -> None:
        self._launched = weakref.ref(launched)
        self._stages = [weakref.ref(stage) for stage in stages]
        self._number = number
        self._caches: dict[str, tuple[CacheTensor, ...]] = {}

    def caches(self, precision: str) -> tuple[CacheTensor, ...] | None:
        """Return the caches of the stage's layers; None if the whole model is not in use anymore."""
        if precision not in self._caches:
            launched = self._launched()
            stages = [stage for each in self._stages if (stage := each()) is not None]
            if launched is None or len(stages) != len(self._stages):
                return None
            captured = graph_cache(launched).get(CAPTURED, lambda: None)() or launched
            found = caches_of(launched, precision)
            places = _core.stages_of_tensors(captured, [cache.tensor for cache in found], stages)
            self._caches[precision] = tuple(
                cache for cache, place in zip(found, places, strict=True) if place == self._number
            )
        return self._caches[precision]

    def boundary(self, own: Boundary, precision: str) -> Boundary:
        """Return the boundary of the stage: its weights and caches, and the tokens of the whole model."""
        launched, caches = self._launched(), self.caches(precision)
        if launched is None or caches is None:
            return own
        of_model = boundary_of(launched, precision)
        held: Quantity = 0
        for cache in caches:
            held = held + cache.bytes
        return replace(
            own,
            tokens=of_model.tokens,
            vocabulary=of_model.vocabulary,
            kv_cache_bytes=held if caches else None,
            reads_cache=of_model.reads_cache,
        )


# ---- balance ---------------------------------------------------------------------------------------------------------


def _cuts(launched: Graph, layout: Layout, timing: Timing, slices: int) -> Cuts:
    """Return the cuts that make the slowest stage as fast as possible, at the default sizes of the graph."""
    kept = graph_cache(launched)
    key = ("cuts", layout.pipeline, layout.nodes > 1, timing._replace(machine=None), id(timing.machine))
    if key in kept:
        found: Cuts = kept[key][0]
        return found
    places = places_of_cuts(launched, layout.pipeline)
    if timing.machine is None:
        chosen = _counted_cuts(launched, places, timing.precision, layout.pipeline)
    else:
        chosen = _core.timed_cuts(
            launched,
            places,
            family_of(launched, timing.precision, timing.execution, None, timing.serving),
            timing.machine,
            stages=layout.pipeline,
            slices=slices,
            between_nodes=nodes_of(timing.machine, layout) > 1,
            trains=trains(launched),
        )
    cuts = tuple((places[number][0], tuple(places[number][1])) for number in chosen)
    kept[key] = cuts, timing.machine  # the machine lives as long as its id is a key
    return cuts


def places_of_cuts(launched: Graph, stages: int) -> list[tuple[int, list[int]]]:
    """Return where a graph can be cut: the node that a stage begins with, and the tensors that are sent to it.

    Raises:
        LayoutError: There are fewer places than cuts.
    """
    kept = graph_cache(launched)
    key = ("places of cuts", stages)
    if key not in kept:
        find = _core.training_cut_places if trains(launched) else _core.cut_places
        try:
            kept[key] = find(launched, stages)
        except InputError as error:
            raise LayoutError(str(error)) from None
    found: list[tuple[int, list[int]]] = kept[key]
    return found


def _counted_cuts(
    launched: Graph, places: Sequence[tuple[int, Sequence[int]]], precision: str, stages: int
) -> list[int]:
    """Return the places whose cuts make the work of stages as equal as possible.

    The work of a node is the larger of its bytes, and its FLOPs by a ratio of usual accelerators.
    """
    sizes = launched.size_values({})
    work = [0.0] * len(launched)
    for layer in _core.count(launched, sizes, precision=precision, on_cpu=False).layers:
        moved = int(layer.row.bytes_read) + int(layer.row.bytes_written)
        work[layer.index] = max(int(layer.row.flops) / _FLOPS_PER_BYTE, float(moved))
    until = list(accumulate(work, initial=0.0))
    before = [until[node] for node, _ in places]
    if trains(launched):  # the backward of earlier stages comes last
        backward = _core.backward_places(launched, places)
        before = [own + until[-1] - until[node] for own, node in zip(before, backward, strict=True)]
    sent = [2.0 * sum(value_of(launched.tensor(t).nbytes, sizes) for t in crossing) for _, crossing in places]
    return _core.balanced_cuts([*before, until[-1]], sent, stages)  # what is sent is read and written

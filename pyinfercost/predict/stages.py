"""Stages of a pipeline: a graph is cut where one activation passes, so that stages take equal predicted times."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, SupportsIndex

from .. import _core
from .._checks import Range, whole
from ..errors import LayoutError
from ..inputs.layout import Layout
from ..results.stages import LAYER
from .plans import (
    boundary_of,
    core_layout,
    derived,
    family_of,
    graph_cache,
    graph_of_rank,
    launched_graph,
    step_of,
    value_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Graph, Hardware, Quantity, Work
    from ..deployment import Deployment, LayoutLike


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
    return made if number is None else stages_of(made)[number].graph


def graph_on(on: Deployment, graph: Graph) -> Graph:
    """Return the graph that a device launches for a graph, captured or launched; of a pipeline, that of all stages.

    Raises:
        LayoutError: The graph cannot be cut into as many stages, or is cut into another number of them.
    """
    layout = on.rank_layout
    launched = launched_graph(graph, on.engine, layout)
    if layout.pipeline == 1 and not stages_of(graph):
        return launched
    return pipeline_of(launched, layout, timing_on(on))


def deployed_on(on: Deployment, graph: Graph, overrides: Mapping[int, Work] | None = None) -> _core.DeployedGraph:
    """Return a graph, captured or launched, as a deployment runs it.

    Args:
        on: The deployment.
        graph: The graph.
        overrides: Work by node of the launched graph; what is made with them is not kept.
    """
    layout, serving = on.rank_layout, str(on.serving)
    kept = {} if overrides else graph_cache(graph)
    key = ("deployed", on.precision, on.engine, on.execution, layout, serving)
    if key not in kept:
        kept[key] = _core.DeployedGraph(
            graph,
            precision=on.precision,
            engine=on.engine,
            execution=on.execution,
            layout=core_layout(layout),
            micro_batches=layout.micro_batches,
            step=step_of(serving),
            overrides=overrides,
        )
    found: _core.DeployedGraph = kept[key]
    return found


def stage_plans(
    graph: Graph,
    layout: Layout,
    precision: str,
    execution: str,
    serving: str = "",
    overrides: Mapping[int, Work] | None = None,
) -> _core.DeployedPipeline:
    """Return the plans of the stages of a pipeline, of which stages with equal costs have one.

    Args:
        graph: The graph of all stages.
        layout: The layout.
        precision: Dtype to run in.
        execution: How it runs.
        serving: Settings of an engine's steps, as text.
        overrides: Work by node of the graph of all stages; such plans are not kept.
    """
    most = most_micro_batches(layout)
    kept = {} if overrides else graph_cache(graph)
    key = ("stage plans", precision, execution, most, serving)
    if key not in kept:
        kept[key] = _core.DeployedPipeline(
            graph,
            precision=precision,
            execution=execution,
            micro_batches=most,
            step=step_of(serving),
            overrides=overrides,
        )
    found: _core.DeployedPipeline = kept[key]
    return found


def most_micro_batches(layout: Layout) -> int:
    """Return the micro-batches of a batch that has as many items."""
    return layout.micro_batches or layout.pipeline


def stages_of(graph: Graph) -> tuple[StageGraph, ...]:
    """Return the stages of a graph of all stages; empty for another graph."""
    kept = graph_cache(graph)
    if "stages" not in kept:
        stages = _core.facts(graph).stages
        kept["stages"] = tuple(StageGraph(each.graph, tuple(each.nodes), each.sent, each.slices) for each in stages)
    found: tuple[StageGraph, ...] = kept["stages"]
    return found


def placed(pipeline: Graph, overrides: Mapping[int, Work]) -> dict[int, Work]:
    """Return work by node of the graph that was cut as work by node of the graph of all stages."""
    places = _core.facts(pipeline).place_of
    return {places[node]: work for node, work in overrides.items()}


def loaded_bytes(launched: Graph, precision: str, sizes: Mapping[str, int]) -> int:
    """Return the weights and buffers that a device loads: of a pipeline, one of the stage with most of them."""
    graphs = [stage.graph for stage in stages_of(launched)] or [launched]
    return max(value_of(boundary_of(graph, precision).weight_bytes, sizes) for graph in graphs)


def pipeline_of(launched: Graph, layout: Layout, timing: Timing) -> Graph:
    """Return the graph of all stages of a layout, one after another, with what they send.

    Args:
        launched: The graph of one device with the layers of all stages, or that of all stages already.
        layout: The layout.
        timing: What balances the stages.

    Raises:
        LayoutError: The graph cannot be cut into as many stages, or is cut into another number of them.
    """
    plans = family_of(launched, timing.precision, timing.execution, None, timing.serving)
    return derived(launched, _core.graph_of_stages(launched, core_layout(layout), plans, timing.machine))

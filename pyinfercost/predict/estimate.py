"""Estimates: the latency, energy and cost of one forward of a graph on one machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

from .. import _core
from ..deployment.keywords import shows, split_options
from ..deployment.nodes import nodes_of
from ..deployment.options import SizedOptions
from ..inputs.layout import BALANCED, Layout
from ..results.device_use import Exchange
from ..results.estimate import Estimate, LayerEstimate
from ..results.stages import StageEstimate
from ..sources.sizes import SizeError, batch_name, bind_sizes, call_sizes
from .derived_costs import OnePoint, derived_figures
from .device_use import device_use_of
from .memory_use import memory_on
from .models import captured_model, deployment_for
from .plans import as_captured, boundary_of, with_expert_loads
from .rules import Rules, work_overrides
from .stages import deployed_on, graph_on, stage_plans, stages_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._core import Graph, Plan, Work
    from ..deployment import Deployment
    from ..results.device_use import DeviceUse
    from ..sources.capture import Capturable


@shows(SizedOptions)
def estimate(
    model: Capturable,
    inputs: Any = (),
    *,
    on: Deployment | None = None,
    dynamic: Mapping[int | str, Mapping[int, str]] | None = None,
    rules: Rules | None = None,
    sizes: Mapping[str, SupportsIndex] | None = None,
    **options: Unpack[SizedOptions],
) -> Estimate:
    """Predict the latency, the energy and the cost of one forward.

    Args:
        model: A `Graph`, or anything that `capture` accepts: a module, an exported program, a file, a spec.
        inputs: Inputs of a module, as in `capture`.
        on: Where and how the model runs; keywords override its fields.
        dynamic: Dimensions of the inputs that are named sizes, as in `capture`.
        rules: Work of the caller's own ops, as in `count`.
        sizes: Values of named sizes, for names that options have too.
        **options: Fields of `Deployment`, such as `hardware`, which override `on`, and sizes by name, such as
            `batch=8`; a size left out takes the graph's default. A spec is captured at its sizes.

    Returns:
        The estimate, with a band around its latency and its energy.

    Raises:
        InputError: A size, machine, precision, execution, price or place is unknown, or no hardware is given.
        InputTypeError: Inputs or `dynamic` are given with a captured graph.

    Examples:
        >>> net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> found = ic.estimate(net, torch.empty(64, 784), hardware="l4", precision="fp16")
        >>> f"{found.latency_s * 1e6:.0f} us, {found.bound_shares['launch']:.0%} of it launches"
        '102 us, 98% of it launches'
    """
    fields, named_sizes = split_options(options)
    deployment = deployment_for(model, on, fields)
    with call_sizes(estimate, sizes, named_sizes) as named:
        captured = captured_model(model, inputs, dynamic, named, shared=deployment.rank_layout.shared_sizes)
        launched = graph_on(deployment, captured.graph)
        given = bind_sizes(captured.graph, captured.sizes)
        overrides = work_overrides(launched, rules) if rules else None
        return estimate_on(deployment, launched, given, fixed=captured.fixed, overrides=overrides)


def estimate_on(
    on: Deployment,
    graph: Graph,
    given: Mapping[str, int],
    *,
    fixed: Mapping[str, int] = MappingProxyType({}),
    overrides: Mapping[int, Work] | None = None,
) -> Estimate:
    """Estimate a graph whose sizes and rules are resolved.

    Args:
        on: Where and how the model runs.
        graph: The graph of the model, captured or of the deployment's engine.
        given: Sizes as `bind_sizes` returns them.
        fixed: Sizes that the capture fixed.
        overrides: Work by node of the engine's graph.
    """
    machine = on.machine
    plan, point, totals, at, stages = evaluate_on(on, graph, given, overrides=overrides, fixed=fixed)
    graph = at.graph
    caches = boundary_of(graph, on.precision).kv_cache_bytes is not None
    memory = memory_on(on, graph, at.share, totals["peak_memory_bytes"]) if caches else None
    kernels = _core.ForwardKernels(plan, point, machine)
    figures = kernels.figures(
        machine, totals, devices=on.devices, items=at.items * on.instances, fits=None if memory is None else memory.fits
    )
    use: DeviceUse | None = None
    exchanges: tuple[Exchange, ...] = ()
    if on.layout is not None or on.devices > 1:
        use = device_use_of(on, graph, at.share, totals, stages, overrides)
        exchanges = tuple(Exchange(**each) for each in kernels.exchanges(machine))
    return Estimate(
        hardware=machine.id,
        precision=on.precision,
        engine=on.engine,
        serving=str(on.serving),
        execution=on.execution,
        sizes={**fixed, **at.sizes},
        threads=on.threads,
        instances=on.instances,
        sustained=machine.sustained,
        devices=on.devices,
        layout=_with_stated_loads(on, graph),
        nodes=1 if on.devices == 1 else nodes_of(machine, on.rank_layout),
        per_device=use,
        exchanges=exchanges,
        memory=memory,
        as_captured=Counter(graph.node(node).op for node in as_captured(graph)),
        stages=stages,
        machine=machine,
        layers=kernels.layers(LayerEstimate),
        **figures,
        **derived_figures(at),
    )


def _with_stated_loads(on: Deployment, graph: Graph) -> Layout:
    """Return the layout with the loads of experts that times are for."""
    layout = with_expert_loads(on.rank_layout, on.engine, graph)
    return layout if layout.expert_load or not _core.expert_layers(graph) else layout.replace(expert_load=BALANCED)


class Evaluation(NamedTuple):
    """One point, evaluated.

    Attributes:
        plan: The plan; of a pipeline the plan of all stages, one after another.
        point: Sizes on the device with the largest share of the batch; of a pipeline the sizes of a micro-batch.
        totals: The evaluator's columns at this point.
        at: What costs are derived from.
        stages: The stages of a pipeline.
    """

    plan: Plan
    point: dict[str, int]
    totals: dict[str, float]
    at: OnePoint
    stages: tuple[StageEstimate, ...] = ()


def evaluate_on(
    on: Deployment,
    graph: Graph,
    given: Mapping[str, int],
    *,
    fixed: Mapping[str, int] = MappingProxyType({}),
    overrides: Mapping[int, Work] | None = None,
) -> Evaluation:
    """Evaluate one point, with the arguments of `estimate_on`."""
    graph, layout = graph_on(on, graph), on.rank_layout
    if layout.copies > 1 and graph.size_of_role("batch") is None:
        raise SizeError(
            f"layout is {layout}, and this graph has no size 'batch' to share; capture it with "
            "dynamic={0: {0: 'batch'}}, or pass fewer devices"
        )
    deployed = deployed_on(on, graph, overrides)
    plan, sizes, share, of_share, point, totals, rows = deployed.at(given, on.machine)
    if graph.trains and rows:
        from .training_pipelines import TrainingStagePlans

        core = stage_plans(graph, layout, on.precision, on.execution, overrides=overrides)
        plans = TrainingStagePlans(core, graph, layout, on.precision, on.execution)
        totals = plans.evaluate_point(of_share, on.machine)
        rows = plans.with_memory(rows, of_share, on.machine)
    elif graph.trains and layout.data > 1:
        totals = _with_exchange(on, graph, point, totals)
    stages = zip(stages_of(graph), rows, strict=True)
    at = OnePoint(
        on=on,
        graph=graph,
        sizes=sizes,
        share=share,
        latency_s=totals["latency_s"],
        interval_s=totals["interval_s"],
        energy_j=on.devices * totals["energy_j"],
        items={**fixed, **sizes}.get(batch_name(graph), 1),
    )
    return Evaluation(
        plan, point, totals, at, tuple(StageEstimate(modules=stage.modules(), **row) for stage, row in stages)
    )


def _with_exchange(
    on: Deployment, graph: Graph, point: Mapping[str, int], totals: Mapping[str, float]
) -> dict[str, float]:
    """Return the columns of a training step whose copies exchange gradients, at one point."""
    import numpy as np

    out = {name: np.asarray([value]) for name, value in totals.items()}
    axes = [(name, np.asarray([size], dtype=np.int64), 1) for name, size in point.items()]
    from .training_steps import with_exchange

    added = with_exchange(
        graph, on.rank_layout, on.precision, on.execution, axes, on.machine, first=0, points=1, columns=out
    )
    return {name: float(column[0]) for name, column in added.items()}

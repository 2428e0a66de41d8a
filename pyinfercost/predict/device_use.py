"""What one device of a layout holds, computes and sends in a forward."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from .. import _core
from ..results.device_use import DeviceUse
from .model_figures import graph_figure
from .plans import boundary_of, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._core import Graph, Work
    from ..deployment import Deployment
    from ..results.stages import StageEstimate


def device_use_of(
    on: Deployment,
    graph: Graph,
    share: Mapping[str, int],
    totals: Mapping[str, float],
    stages: Sequence[StageEstimate],
    overrides: Mapping[int, Work] | None,
) -> DeviceUse:
    """Return what the device with the largest share holds, computes and sends.

    Args:
        on: Where and how the model runs.
        graph: The graph of a device, as its engine launches it.
        share: Values of all its sizes, for the largest share of the batch.
        totals: The evaluator's columns at this point.
        stages: The stages of a pipeline, of which memory is that of the fullest, and work the mean.
        overrides: Work by node of the graph.
    """
    counts = _core.count(graph, share, precision=on.precision, overrides=overrides, on_cpu=on.machine.kind == "cpu")
    cached = graph_figure("kv_cache_bytes", graph, on.precision)
    joules = totals["energy_j"]
    per_byte = on.machine.constants.get("energy.link_j_per_byte")
    parts = max(1, len(stages))
    sent = int(counts.total.bytes_sent) // parts
    weights = [value_of(boundary_of(graph, on.precision).weight_bytes, share)]
    held = [] if cached is None else [value_of(cached, share)]
    if stages:
        weights = [stage.weight_bytes for stage in stages]
        held = [stage.kv_cache_bytes for stage in stages if stage.kv_cache_bytes is not None]
    return DeviceUse(
        memory_bytes=int(totals["peak_memory_bytes"]),
        weight_bytes=max(weights),
        kv_cache_bytes=max(held) if held else None,
        contraction_flops=int(counts.total.contraction_flops) // parts,
        pointwise_flops=int(counts.total.pointwise_flops) // parts,
        bytes_sent=sent,
        energy_j=joules if isfinite(joules) else None,
        link_energy_j=None if per_byte is None or not isfinite(joules) else sent * per_byte,
        usd_per_h=None if on.rent is None else on.rent.usd_per_h() / on.devices,
    )

"""What one device of a layout holds, computes and sends in a forward."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from .. import _core
from ..deployment.nodes import devices_of_node
from ..results.device_use import DeviceUse, Exchange
from .plans import boundary_of, caches_of, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._core import Counts, Graph, Hardware, Work
    from ..deployment import Deployment
    from ..results.estimate import LayerEstimate
    from ..results.stages import StageEstimate

_COLLECTIVE = "collective."


def device_use_of(
    on: Deployment,
    graph: Graph,
    share: Mapping[str, int],
    counts: Counts,
    totals: Mapping[str, float],
    stages: Sequence[StageEstimate],
) -> DeviceUse:
    """Return what the device with the largest share holds, computes and sends.

    Args:
        on: Where and how the model runs.
        graph: The graph of a device, as its engine launches it.
        share: Values of all its sizes, for the largest share of the batch.
        counts: Its counts at these sizes.
        totals: The evaluator's columns at this point.
        stages: The stages of a pipeline, of which memory is that of the fullest, and work the mean.
    """
    boundary = boundary_of(graph, on.precision)
    caches = caches_of(graph, on.precision)
    joules = totals["energy_j"]
    per_byte = on.machine.constants.get("energy.link_j_per_byte")
    parts = max(1, len(stages))
    sent = int(counts.total.bytes_sent) // parts
    weights = [value_of(boundary.weight_bytes, share)]
    held = [sum(value_of(cache.bytes, share) for cache in caches)] if caches else []
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


def counts_of_device(
    on: Deployment, graph: Graph, share: Mapping[str, int], overrides: Mapping[int, Work] | None
) -> Counts:
    """Return the counts of the device with the largest share."""
    on_cpu = on.machine.kind == "cpu"
    return _core.count(graph, share, precision=on.precision, overrides=overrides, on_cpu=on_cpu)


def exchanges_of(
    graph: Graph, counts: Counts, layers: Sequence[LayerEstimate], machine: Hardware
) -> tuple[Exchange, ...]:
    """Return the collective operations of a forward by kind and group, in the order in which they first occur.

    Args:
        graph: The graph as it is lowered for the precision, whose nodes counts and layers have the numbers of.
        counts: Counts of a device.
        layers: Estimates of its layers.
        machine: The machine.
    """
    sent = {layer.index: layer.row.bytes_sent for layer in counts.layers}
    in_node = devices_of_node(machine)
    found: dict[tuple[str, int, int], Exchange] = {}
    for layer in layers:
        if not layer.op.startswith(_COLLECTIVE):
            continue
        node = graph.node(layer.index)
        devices = int(node.argument("devices"))
        nodes = max(int(node.argument("nodes") or 1), -(-devices // in_node))
        key = layer.op.removeprefix(_COLLECTIVE), devices, nodes
        known = found.get(key, Exchange(*key, 0, 0, 0.0))
        found[key] = Exchange(
            *key, known.calls + 1, known.bytes_sent + int(sent.get(layer.index, 0)), known.latency_s + layer.latency_s
        )
    return tuple(found.values())

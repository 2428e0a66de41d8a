"""Predicting what one forward of a graph costs on one machine."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import isfinite
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex

from .. import _core
from ..deployment.terms import Terms, terms_of
from ..results.estimate import BOUNDS, Estimate, LayerEstimate
from .arguments import Rules, SizeError, bind_sizes, work_overrides
from .derived_costs import what_follows
from .effects import effect_of
from .plans import family_of
from .uncertainty import band, energy_spread

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from .._core import Graph, Hardware, Work

_TIMES = ("latency_s", "compute_s", "dram_s", "cache_s", "launch_s")
_SUMMED = (*_TIMES, "kernel_flops", "kernel_bytes")


def estimate(
    graph: Graph,
    *,
    hardware: str | PathLike[str] | Hardware,
    precision: str = "native",
    execution: str = "eager",
    rules: Rules | None = None,
    threads: int | None = None,
    devices: SupportsIndex = 1,
    price: Any = None,
    utilisation: float = 1.0,
    region: str | None = None,
    transfer: Any = None,
    **sizes: SupportsIndex,
) -> Estimate:
    """Predicts the latency of one forward on a machine.

    Args:
        graph: what `capture` returned.
        hardware: an id from the catalogue (`"a100-sxm-80gb"`), the path of a TOML file, or a `Hardware`.
        precision: the dtype to run in; `"native"` takes the graph's own dtypes.
        execution: `"eager"`, `"compiled"` (ops are fused), or `"replayed"` (a captured graph of launches).
        rules: work of the caller's own ops, as in `count`.
        threads: threads to run on; only for a CPU. None takes all cores.
        devices: how many of these machines share out the batch. Each holds the whole model, nothing passes between
            them, and the largest share, ceil(batch / devices), sets latency and memory.
        price: what an hour of one device costs: USD (`2.49`), an instance (`"aws/g6.4xlarge:spot"`), terms
            (`"on-demand"`: the cheapest offer that is known), or what else `money.price_of` takes.
        utilisation: share of the paid time in which the devices work; the rest is paid for all the same.
        region: where the machine stands, for the carbon of its grid: a country (`"deu"`), a cloud and its region
            (`"gcp/us-central1"`), or what else `money.place` takes. By default where the price is from, if that says.
        transfer: how inputs get to the device and results back, as in `"pinned,overlapped,network_gbit_per_s=10,
            egress=aws"`, or what else `transfer.transfer_of` takes: it counts in the cost then. By default copies from
            and to pageable memory are reported, and are no part of the cost.
        **sizes: values of the graph's named sizes; a size left out takes the graph's default.

    Raises:
        ValueError: for an unknown size, hardware, precision, execution or price.
    """
    from ..hardware import load

    machine = load(hardware, threads=threads)
    return estimate_on(
        machine,
        graph,
        bind_sizes(graph, sizes),
        fixed={},
        precision=precision,
        execution=execution,
        overrides=work_overrides(graph, rules),
        threads=threads,
        devices=devices,
        terms=terms_of(
            machine.id, price=price, utilisation=utilisation, region=region, transfer=transfer, threads=threads
        ),
    )


def estimate_on(
    machine: Hardware,
    graph: Graph,
    given: Mapping[str, int],
    *,
    fixed: Mapping[str, int],
    precision: str,
    execution: str,
    overrides: Mapping[int, Work] | None,
    threads: int | None,
    devices: SupportsIndex = 1,
    terms: Terms | None = None,
) -> Estimate:
    """`estimate` with all looked up: the machine, values that `bind_sizes` took, Work by node, `Captured.fixed`."""
    sizes = graph.size_values(given)
    # As in a sweep: a size that depends on data and is not given stays an expression in the others.
    point = {name: size for name, size in sizes.items() if name in given or not _core.depends_on_data(name)}
    shared_by = _devices(devices, graph)
    if shared_by > 1:
        point["batch"] = -(-point["batch"] // shared_by)
    plan = family_of(graph, precision, execution, overrides).plan_for(point)
    totals = _core.evaluate_point(plan, point, machine)
    binding_s = {bound: totals[f"{bound}_s"] for bound in BOUNDS}
    latency_s = totals["latency_s"]
    known_sizes = {**fixed, **sizes}
    low_s, high_s = band(latency_s, totals["spread_s"])
    energy_j = shared_by * totals["energy_j"]
    known = isfinite(energy_j)
    of_latency = totals["spread_s"] / latency_s if latency_s > 0 else 0.0
    low_j, high_j = band(energy_j, energy_j * energy_spread(machine, of_latency))
    items = known_sizes.get("batch", 1)
    return Estimate(
        hardware=machine.id,
        precision=precision,
        execution=execution,
        sizes=known_sizes,
        threads=threads,
        sustained=machine.sustained,
        devices=shared_by,
        latency_s=latency_s,
        latency_low_s=low_s,
        latency_high_s=high_s,
        throughput_per_s=_rate(items, latency_s),
        energy_j=energy_j if known else None,
        energy_low_j=low_j if known else None,
        energy_high_j=high_j if known else None,
        energy_per_item_j=energy_j / items if known else None,
        fits_in_memory=totals["peak_memory_bytes"] <= machine.memory_bytes,
        memory_bytes=int(machine.memory_bytes) if isfinite(machine.memory_bytes) else None,
        bound=_shares(binding_s),
        machine=machine,
        layers=_layers(plan.graph, _core.evaluate_kernels(plan, point, machine)),
        **what_follows(
            machine,
            graph,
            precision,
            sizes=sizes,
            share=graph.size_values(point),
            items=items,
            devices=shared_by,
            latency_s=latency_s,
            energy_j=energy_j if known else None,
            terms=terms or Terms(),
        ),
    )


def _devices(devices: SupportsIndex, graph: Graph) -> int:
    count = index(devices)
    if count < 1:
        raise ValueError(f"devices must be at least 1, got {count}")
    if count > 1 and "batch" not in graph.sizes:
        raise SizeError("devices share out the batch, and this graph has no size 'batch'")
    return count


def _rate(items: int, latency_s: float) -> float | None:
    return items / latency_s if latency_s > 0 else None


def _shares(parts: Mapping[str, float]) -> dict[str, float]:
    total = sum(parts.values())
    return {name: value / total if total > 0 else 0.0 for name, value in parts.items()}


def _layers(graph: Graph, kernels: list[dict[str, Any]]) -> tuple[LayerEstimate, ...]:
    """One LayerEstimate per node that a kernel covers, in the order of the graph.

    A node that several kernels run has their times together, and is named and bound by the longest of them; its engine
    is that of the one that computes most.
    """
    layers: dict[int, LayerEstimate] = {}
    computed = Counter(node for kernel in kernels for launch in kernel["launches"] for node in launch)
    for kernel in kernels:
        effect = effect_of(kernel)
        energy_j = kernel["energy_j"] if isfinite(kernel["energy_j"]) else None
        for launch in kernel["launches"]:
            # What is cheap is computed again in each kernel that reads it, and belongs to none of them.
            carrier = next((node for node in launch if computed[node] == 1), launch[0])
            for node_index in launch:
                node = graph.node(node_index)
                carries = node_index == carrier
                layer = LayerEstimate(
                    index=node_index,
                    module=node.module,
                    op=node.op,
                    kernel=kernel["name"],
                    bound=kernel["bound"],
                    energy_j=energy_j if carries or energy_j is None else 0.0,
                    effect=effect.name,
                    effect_share=effect.share if carries else 0.0,
                    engine=f"{kernel['engine']} {kernel['engine_dtype']}",
                    kernel_flops=kernel["flops"] if carries else 0.0,
                    kernel_bytes=kernel["traffic_bytes"] if carries else 0.0,
                    note=kernel["note"] if carries else f"in the kernel of node {carrier}",
                    **{name: kernel[name] if carries else 0.0 for name in _TIMES},
                )
                known = layers.get(node_index)
                layers[node_index] = layer if known is None else _together(known, layer)
    return tuple(layers[node_index] for node_index in sorted(layers))


def _together(one: LayerEstimate, other: LayerEstimate) -> LayerEstimate:
    longest, shorter = (one, other) if one.latency_s >= other.latency_s else (other, one)
    times = {name: getattr(one, name) + getattr(other, name) for name in _SUMMED}
    energy_j = None if one.energy_j is None or other.energy_j is None else one.energy_j + other.energy_j
    taken_s = sum(x.effect_share * x.latency_s for x in (longest, shorter) if x.effect == longest.effect)
    share = taken_s / times["latency_s"] if times["latency_s"] > 0 else 0.0
    engine = max((longest, shorter), key=lambda layer: layer.kernel_flops).engine
    return replace(longest, effect_share=share, energy_j=energy_j, engine=engine, **times)

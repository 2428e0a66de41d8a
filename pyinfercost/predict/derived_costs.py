"""What follows from the latency and the joules of a forward: transfer, cold start, cost, carbon."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Any

from ..deployment.cold_starts import cold_start
from ..deployment.host_transfer import copying_s, egress_usd, host_link, network_s, waiting_s
from ..deployment.place_catalog import carbon_g as carbon_of
from ..results.costs import Moved, Transfer
from .boundary import boundary_of, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Graph, Hardware
    from ..deployment.terms import Terms

_MILLION = 1_000_000


def moved_by(
    machine: Hardware,
    graph: Graph,
    precision: str,
    *,
    sizes: Mapping[str, int],
    share: Mapping[str, int],
    items: int,
    terms: Transfer,
) -> Moved:
    """What a forward moves.

    Args:
        machine: one of the devices.
        graph: the model.
        precision: the dtype it runs in.
        sizes: values of all sizes of the graph.
        share: the same for the largest share of the batch that a device has.
        items: items of the batch.
        terms: how data gets there.
    """
    boundary = boundary_of(graph, precision)
    link = host_link(machine, terms.memory)
    into, out = (value_of(nbytes, share) for nbytes in (boundary.input_bytes, boundary.output_bytes))
    host_s = sum(
        copying_s(float(nbytes), tensors, link.byte_per_s, link.latency_s)
        for nbytes, tensors in ((into, boundary.input_tensors), (out, boundary.output_tensors))
    )
    request, response = (
        float(value_of(whole, sizes)) if given is None else items * given
        for given, whole in (
            (terms.request_bytes, boundary.input_bytes),
            (terms.response_bytes, boundary.output_bytes),
        )
    )
    return Moved(
        terms=terms,
        input_bytes=into,
        output_bytes=out,
        host_s=None if isnan(host_s) else host_s,
        network_s=network_s(terms, request, response),
        request_bytes=request,
        response_bytes=response,
        egress_usd=egress_usd(terms, response) / items,
    )


def what_follows(
    machine: Hardware,
    graph: Graph,
    precision: str,
    *,
    sizes: Mapping[str, int],
    share: Mapping[str, int],
    items: int,
    devices: int,
    latency_s: float,
    energy_j: float | None,
    terms: Terms,
) -> dict[str, Any]:
    """The fields of an `Estimate` that follow from its latency and joules.

    Args:
        machine: one of the devices.
        graph: the model.
        precision: the dtype it runs in.
        sizes: values of all sizes of the graph.
        share: the same for the largest share of the batch that a device has.
        items: items of the batch.
        devices: how many share it out.
        latency_s: of the forward.
        energy_j: of the forward, on all devices.
        terms: on which they are used.
    """
    boundary = boundary_of(graph, precision)
    ways = terms.transfer or Transfer()
    moved = moved_by(machine, graph, precision, sizes=sizes, share=share, items=items, terms=ways)
    start = cold_start(machine, value_of(boundary.weight_bytes, sizes), ways)
    tokens = None if boundary.tokens is None else value_of(boundary.tokens, sizes)
    cost = None
    if terms.price is not None:
        from ..deployment.costs import cost_of

        extra: dict[str, float] = {}
        if terms.transfer is not None:
            if moved.host_s is None:
                raise ValueError(f"transfer is given, and the file of {machine.id} says nothing of a link to its host")
            extra["waiting_s"] = waiting_s(ways.overlapped, latency_s, moved.host_s)
            extra["egress_usd"] = moved.egress_usd
        cost = cost_of(
            terms.price,
            latency_s=latency_s,
            items=items,
            devices=devices,
            utilization=terms.utilization,
            energy_j=energy_j,
            idle_w=machine.power_w.get("idle", 0.0),
            **extra,
        )
    carbon_g = None
    if energy_j is not None and terms.place is not None:
        carbon_g = carbon_of(terms.place, energy_j / items)
    return {
        "transfer_s": moved.seconds,
        "transfer": moved,
        "cold_start_s": None if start is None else start.seconds,
        "cold_start": start,
        "tokens": tokens,
        "cost_usd": None if cost is None else cost.usd,
        "cost": cost,
        "usd_per_million_tokens": _MILLION * cost.usd * items / tokens if cost is not None and tokens else None,
        "carbon_g": carbon_g,
        "place": terms.place,
    }

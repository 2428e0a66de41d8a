"""Estimates: the predicted cost of one forward on one machine, in total and per layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import _core
from ..report.render import render
from .result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Hardware
    from .costs import ColdStart, Cost, Moved, Place

BOUNDS = tuple(_core.bounds())
"""The terms that can bind a kernel, in the order of reports."""

TIMES = ("latency_s", *(f"{bound}_s" for bound in BOUNDS))
"""The times of a kernel or a layer: its latency and the terms of it."""


@dataclass(frozen=True)
class LayerEstimate:
    """Time of one node of the graph, its terms, and the effect that decided it.

    A fused kernel's time is attributed to its first node that is not recomputed elsewhere; its other nodes take no
    time, and their note names that node.

    Attributes:
        index: number of the node in the graph.
        module: path of the module that calls the operator.
        op: the operator.
        kernel: name of the kernel.
        latency_s: seconds.
        bound: the term that binds the kernel, one of `BOUNDS`.
        compute_s: seconds of arithmetic.
        dram_s: seconds of DRAM traffic.
        cache_s: seconds of cache traffic.
        launch_s: seconds of launches.
        energy_j: joules; None if the machine's power is unknown.
        effect: the effect that decided the time.
        effect_share: share of the latency that the effect takes.
        engine: engine and dtype of the arithmetic (`"matrix float16"`).
        kernel_flops: FLOPs of the kernel.
        kernel_bytes: bytes that the kernel moves; a fused kernel moves less than its nodes would on their own.
        note: the node that carries the kernel's time, or the engine that lacks the dtype.
    """

    index: int
    module: str
    op: str
    kernel: str
    latency_s: float
    bound: str
    compute_s: float
    dram_s: float
    cache_s: float
    launch_s: float
    energy_j: float | None
    effect: str
    effect_share: float
    engine: str
    kernel_flops: float
    kernel_bytes: float
    note: str = ""


@dataclass(frozen=True, repr=False)
class Estimate(Result):
    """Cost of one forward on one machine, in total and per layer.

    Attributes:
        hardware: id of the machine.
        precision: the dtype that it runs in.
        execution: how it runs.
        sizes: values of all named sizes.
        threads: threads of a CPU; None for all cores.
        sustained: whether the machine runs without pause, so that its power limit bounds the clock.
        devices: devices that share the batch.
        latency_s: seconds of the forward.
        latency_low_s: lower end of its band.
        latency_high_s: upper end of its band.
        throughput_per_s: items of the batch per second if the graph has a size `batch`, else forwards; None if the
            forward takes no time.
        energy_j: joules of the forward on all devices; None, like the next three, if the machine's power is unknown.
        energy_low_j: lower end of its band.
        energy_high_j: upper end of its band.
        energy_per_item_j: joules per item of the batch.
        transfer_s: seconds to move inputs in and results out, beside the forward; None if the machine's file describes
            no host link.
        transfer: how they are moved.
        cold_start_s: seconds until a device is ready for its first forward; None if the machine's file describes no
            host link.
        cold_start: its parts.
        tokens: tokens that a forward reads; None for a model that reads none.
        cost_usd: USD per item of the batch; None without a price.
        cost: how the cost comes about.
        usd_per_million_tokens: USD per 10^6 tokens.
        carbon_g: grams of CO2 equivalent per item, data center included; None if the place is unknown.
        place: location of the machine.
        fits_in_memory: whether the peak fits the machine's memory.
        memory_bytes: memory of the machine; None if it is the owner's choice.
        bound: term -> share of the latency that it binds; the shares sum to 1.
        machine: the machine.
        layers: one per node that a kernel covers.
    """

    hardware: str
    precision: str
    execution: str
    sizes: Mapping[str, int]
    threads: int | None
    sustained: bool
    devices: int
    latency_s: float
    latency_low_s: float
    latency_high_s: float
    throughput_per_s: float | None
    energy_j: float | None
    energy_low_j: float | None
    energy_high_j: float | None
    energy_per_item_j: float | None
    transfer_s: float | None
    transfer: Moved
    cold_start_s: float | None
    cold_start: ColdStart | None
    tokens: int | None
    cost_usd: float | None
    cost: Cost | None
    usd_per_million_tokens: float | None
    carbon_g: float | None
    place: Place | None
    fits_in_memory: bool
    memory_bytes: int | None
    bound: Mapping[str, float]
    machine: Hardware = field(compare=False)
    layers: tuple[LayerEstimate, ...]

    def __repr__(self) -> str:
        return f"<Estimate {render(self, 'line')}>"

"""Estimates: the predicted cost of one forward on one machine, in total and per layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..report.render import render
from .result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Hardware
    from .costs import ColdStart, Cost, Moved, Place

BOUNDS = ("compute", "dram", "cache", "launch")
"""What can bind a kernel, in the order in which reports name them."""


@dataclass(frozen=True)
class LayerEstimate:
    """The time of one node of the graph, the terms of which it consists, and the effect that decided it.

    `engine` is what its arithmetic runs on and in which dtype (`"matrix float16"`); `kernel_flops` and `kernel_bytes`
    are what its kernel computes and moves, which in a fused kernel is less than its nodes would move by themselves.

    A kernel that covers several nodes is charged whole to the first of them that no other kernel computes again; the
    others take no time of their own and their note says which node carries it.
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
    """The latency of one forward on one machine, what binds it, and the same per layer.

    `bound` maps compute, dram, cache and launch to the share of the latency that each of them binds; the shares sum
    to 1. `sustained` says that the machine was taken to be at work all the time (see `hardware.load`).
    `throughput_per_s` counts items of the batch where the graph has a size `batch`, and else forwards.
    `memory_bytes` is what the machine has, None where that is its owner's choice. `energy_j` are the joules of the
    forward on all its devices, and `energy_low_j` to `energy_high_j` their band; `energy_per_item_j` is for one item
    of the batch. They are None for a machine whose power is not known.

    `transfer_s` is what a request takes beside the forward, to get its inputs to the device and its results back
    (`transfer` says how), and `cold_start_s` what a device takes to be ready for its first forward; both are None where
    the machine's file says nothing of its link. `tokens` are those that a forward reads, None for what is no model of a
    language. `cost_usd` is what one item of the batch costs, and `cost` how it comes about; None where no price is
    given. `carbon_g` are the grams of CO2 equivalent of one item, data centre included, at `place`; None where nothing
    says where the machine stands.
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

"""Estimates: the predicted cost of one forward on one machine, in total and per layer."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from .. import _core
from .._records import dataclass
from ..report.render import render
from .result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Hardware
    from ..inputs.layout import Layout
    from ..inputs.place import Place
    from .costs import ColdStart, Cost, Moved
    from .device_use import DeviceUse, Exchange
    from .memory_use import MemoryUse
    from .stages import StageEstimate

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
        index: Number of the node in the graph.
        module: Path of the module that calls the operator.
        op: The operator.
        kernel: Name of the kernel.
        latency_s: Seconds.
        bound: The term that binds the kernel, one of `BOUNDS`.
        compute_s: Seconds of arithmetic.
        dram_s: Seconds of DRAM traffic.
        cache_s: Seconds of cache traffic.
        link_s: Seconds of bytes between devices.
        launch_s: Seconds of launches.
        energy_j: Joules; None if the machine's power is unknown.
        effect: The effect that decided the time.
        effect_share: Share of the latency that the effect takes.
        unit: Arithmetic unit and dtype (`"matrix float16"`).
        kernel_flops: FLOPs of the kernel.
        kernel_bytes: Bytes that the kernel moves; a fused kernel moves less than its nodes would on their own.
        note: The node that carries the kernel's time, or the unit that lacks the dtype.
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
    link_s: float
    launch_s: float
    energy_j: float | None
    effect: str
    effect_share: float
    unit: str
    kernel_flops: float
    kernel_bytes: float
    note: str = ""


@dataclass(frozen=True, repr=False)
class Estimate(Result):
    """Cost of one forward on one machine, in total and per layer.

    Attributes:
        hardware: Id of the machine.
        precision: The dtype that it runs in.
        engine: What runs the model: `"torch"`, or a serving engine.
        serving: How the engine forms its steps, as text; empty for its own settings.
        execution: How it runs.
        sizes: Values of all named sizes.
        threads: Threads of a CPU, or of each copy on it; None for all cores.
        instances: Copies of the model side by side on a CPU; latency, energy and memory are of one of them.
        sustained: Whether the machine runs without pause, so that its power limit bounds the clock.
        devices: Number of devices.
        layout: How the model lies on them; latency, memory and kernels are those of one device.
        nodes: Machines that the devices are in.
        per_device: What the device with the largest share holds, computes and sends; None for a single device without a
            layout.
        exchanges: Collective operations between the devices, by kind.
        latency_s: Seconds of the forward.
        latency_low_s: Lower end of its band.
        latency_high_s: Upper end of its band.
        interval_s: Seconds between the starts of two forwards under continuous load: the latency, except of a pipeline,
            whose first stage begins the next forward while later stages work on this one.
        evidence: What the band rests on -> share of the latency, strongest first: `"measured here"`, `"family fitted"`,
            `"sibling family fitted"`, `"datasheet only"`; empty for a machine that was built in Python.
        throughput_per_s: Items of the batch per second, over all instances, if the graph has a size `batch`, else
            forwards; None if the forward takes no time.
        energy_j: Joules of the forward on all devices; None, like the next three, if the machine's power is unknown.
        energy_low_j: Lower end of its band.
        energy_high_j: Upper end of its band.
        energy_per_item_j: Joules per item of the batch.
        transfer_s: Seconds to move inputs in and results out, beside the forward; None if the machine's file describes
            no host link.
        transfer: How they are moved.
        cold_start_s: Seconds until a replica is ready for its first forward; None if the machine's file describes no
            host link, or the warm-up of the engine is asked for and not known.
        cold_start: Its parts.
        tokens: Tokens that a forward reads; None for a model that reads none.
        tokens_per_s: Tokens per second, over all sequences and instances.
        tokens_per_s_per_sequence: Tokens per second and sequence of the batch.
        ttft_s: Time to first token of an idle server: the latency of a prefill; None for another forward.
        tpot_s: Time per output token: the latency of a decode step by the tokens of a sequence that it yields; None for
            another forward.
        cost_usd: USD per item of the batch; None without a price.
        cost: How the cost comes about.
        usd_per_million_tokens: USD per 10^6 tokens.
        carbon_g: Grams of CO2 equivalent per item, data center included; None if the place is unknown.
        place: Location of the machine.
        fits_in_memory: Whether the peak fits the machine's memory; None if its size is the owner's choice.
        machine_memory_bytes: Memory of the machine; None if its size is the owner's choice.
        memory: Weights, KV cache, activations and what is left of the memory; None for a model without a KV cache.
        bound_shares: Term -> share of the latency that it binds; the shares sum to 1.
        as_captured: Operators that the engine has no kernel for and that run as captured -> their number.
        stages: The stages of a pipeline, in order; empty without one. Layers are then those of all stages for one
            micro-batch, and `memory` is that of the fullest one.
        machine: The machine.
        layers: One per node that a kernel covers.
    """

    hardware: str
    precision: str
    engine: str
    serving: str
    execution: str
    sizes: Mapping[str, int]
    threads: int | None
    instances: int
    sustained: bool
    devices: int
    layout: Layout
    nodes: int
    per_device: DeviceUse | None
    exchanges: tuple[Exchange, ...]
    latency_s: float
    latency_low_s: float
    latency_high_s: float
    interval_s: float
    evidence: Mapping[str, float]
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
    tokens_per_s: float | None
    tokens_per_s_per_sequence: float | None
    ttft_s: float | None
    tpot_s: float | None
    cost_usd: float | None
    cost: Cost | None
    usd_per_million_tokens: float | None
    carbon_g: float | None
    place: Place | None
    fits_in_memory: bool | None
    machine_memory_bytes: int | None
    memory: MemoryUse | None
    bound_shares: Mapping[str, float]
    as_captured: Mapping[str, int]
    stages: tuple[StageEstimate, ...]
    machine: Hardware = field(compare=False)
    layers: tuple[LayerEstimate, ...]

    @property
    def in_all(self) -> DeviceUse | None:
        """What all devices hold, compute and send; None like `per_device`.

        Devices of one stage of a pipeline count as if each had the largest share of it, and so do all that are in no
        pipeline.
        """
        if self.per_device is None:
            return None
        whole = self.per_device.times(self.devices)
        if not self.stages:
            return whole
        of_stage = self.devices // len(self.stages)
        caches = [stage.kv_cache_bytes for stage in self.stages if stage.kv_cache_bytes is not None]
        return replace(
            whole,
            memory_bytes=of_stage * sum(stage.memory_bytes for stage in self.stages),
            weight_bytes=of_stage * sum(stage.weight_bytes for stage in self.stages),
            kv_cache_bytes=of_stage * sum(caches) if caches else None,
        )

    @property
    def max_sequences(self) -> int | None:
        """Sequences of as many tokens whose caches fit; None if it is unknown, or the model has no KV cache."""
        return None if self.memory is None else self.memory.max_sequences

    @property
    def memory_left_bytes(self) -> int | None:
        """Memory that weights, caches and activations leave; None if unknown, or the model has no KV cache."""
        return None if self.memory is None else self.memory.left_bytes

    @property
    def bubble_share(self) -> float:
        """Share of the latency in which the devices of a pipeline wait, on average; 0 without a pipeline."""
        if not self.stages or not self.latency_s > 0:
            return 0.0
        busy_s = sum(each.busy_s for each in self.stages) / len(self.stages)
        return max(0.0, 1 - busy_s / self.latency_s)

    def __repr__(self) -> str:
        return f"<Estimate {render(self, 'line')}>"

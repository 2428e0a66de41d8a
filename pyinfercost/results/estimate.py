"""Estimates: the predicted cost of one forward on one machine, in total and per layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .. import _core
from ..report.render import render
from .declared import declared, derived, fact, figure
from .result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


@declared(kw_only=False)
class LayerEstimate:
    """Time of one node of the graph, its terms, and the effect that decided it.

    A fused kernel's time is attributed to its first node that is not recomputed elsewhere; its other nodes take no
    time, and their note names that node.
    """

    index: int = fact("Number of the node in the graph.")
    module: str = fact("Path of the module that calls the operator.")
    op: str = fact("The operator.")
    kernel: str = fact("Name of the kernel.")
    latency_s: float = fact("Seconds.")
    bound: str = fact("The term that binds the kernel, one of `BOUNDS`.")
    compute_s: float = fact("Seconds of arithmetic.")
    dram_s: float = fact("Seconds of DRAM traffic.")
    cache_s: float = fact("Seconds of cache traffic.")
    link_s: float = fact("Seconds of bytes between devices.")
    launch_s: float = fact("Seconds of launches.")
    energy_j: float | None = fact("Joules; None if the machine's power is unknown.")
    effect: str = fact("The effect that decided the time.")
    effect_share: float = fact("Share of the latency that the effect takes.")
    unit: str = fact('Arithmetic unit and dtype (`"matrix float16"`).')
    kernel_flops: float = fact("FLOPs of the kernel.")
    kernel_bytes: float = fact(
        "Bytes that the kernel moves; a fused kernel moves less than its nodes would on their own."
    )
    note: str = fact("The node that carries the kernel's time, or the unit that lacks the dtype.", default="")


@declared
class Estimate(Result):
    """Cost of one forward on one machine, in total and per layer."""

    hardware: str = fact("Id of the machine.")
    precision: str = fact("The dtype that it runs in.")
    engine: str = fact('What runs the model: `"torch"`, or a serving engine.')
    serving: str = fact("How the engine forms its steps, as text; empty for its own settings.")
    execution: str = fact("How it runs.")
    sizes: Mapping[str, int] = fact("Values of all named sizes.", inner=True)
    threads: int | None = fact("Threads of a CPU, or of each copy on it; None for all cores.")
    instances: int = fact("Copies of the model side by side on a CPU; latency, energy and memory are of one of them.")
    sustained: bool = fact("Whether the machine runs without pause, so that its power limit bounds the clock.")
    devices: int = fact("Number of devices.")
    layout: Layout = fact("How the model lies on them; latency, memory and kernels are of one device.", inner=True)
    nodes: int = fact("Machines that the devices are in.")
    per_device: DeviceUse | None = fact(
        "Memory, work and traffic of the device with the largest share; None for a single device without a layout."
    )
    exchanges: tuple[Exchange, ...] = fact("Collective operations between the devices, by kind.")
    latency_s: float = figure()
    latency_low_s: float = figure()
    latency_high_s: float = figure()
    interval_s: float = fact(
        "Seconds between the starts of two forwards under continuous load: the latency, except of a pipeline, whose "
        "first stage begins the next forward while later stages work on this one."
    )
    evidence: Mapping[str, float] = fact(
        'What the band rests on -> share of the latency, strongest first: `"measured here"`, `"family fitted"`, '
        '`"sibling family fitted"`, `"datasheet only"`; empty for a machine that was built in Python.'
    )
    throughput_per_s: float | None = figure()
    energy_j: float | None = figure()
    energy_low_j: float | None = figure()
    energy_high_j: float | None = figure()
    energy_per_item_j: float | None = figure()
    transfer_s: float | None = figure()
    transfer: Moved = fact("How they are moved.")
    cold_start_s: float | None = figure()
    cold_start: ColdStart | None = fact("Its parts.")
    tokens: int | None = figure()
    tokens_per_s: float | None = figure()
    tokens_per_s_per_sequence: float | None = figure()
    ttft_s: float | None = figure()
    tpot_s: float | None = figure()
    cost_usd: float | None = figure()
    cost: Cost | None = fact("How the cost comes about.")
    usd_per_million_tokens: float | None = figure()
    carbon_g: float | None = figure()
    place: Place | None = fact("Location of the machine.")
    fits_in_memory: bool | None = figure()
    machine_memory_bytes: int | None = fact("Memory of the machine; None if its size is the owner's choice.")
    memory: MemoryUse | None = fact(
        "Weights, KV cache, activations and the rest of the memory; None for a model without a KV cache."
    )
    bound_shares: Mapping[str, float] = fact(
        "Term -> share of the latency that it binds; the shares sum to 1.", inner=True
    )
    as_captured: Mapping[str, int] = fact(
        "Operators that the engine has no kernel for and that run as captured -> their number."
    )
    stages: tuple[StageEstimate, ...] = fact(
        "The stages of a pipeline, in order; empty without one. Layers are then of all stages for one "
        "micro-batch, and `memory` is of the fullest stage."
    )
    machine: Hardware = fact("The machine.", inner=True, compare=False)
    layers: Sequence[LayerEstimate] = fact("One per node that a kernel covers.", inner=True)

    @property
    @derived(is_figure=False)
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
    @derived()
    def max_sequences(self) -> int | None:
        """Sequences of as many tokens whose caches fit; None if it is unknown, or the model has no KV cache."""
        return None if self.memory is None else self.memory.max_sequences

    @property
    @derived()
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

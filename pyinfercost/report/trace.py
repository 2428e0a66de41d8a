"""Timelines in the Chrome Trace Event Format, which Perfetto and chrome://tracing display.

The seconds of the layers add up to the latency of the estimate, in every execution mode and on every kind of machine:
the machine model distributes the time outside kernels (the start of the forward, host overhead) over the kernels as
launch seconds. Therefore kernels are contiguous, and the last one ends at the latency.

A slice is a pair of begin and end events, not one event with a duration: viewers round start and duration to
nanoseconds separately and drop slices that then begin before the previous one has ended. Rounded begins and ends stay
in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..results.stages import LAYER
from .rows import short_op

if TYPE_CHECKING:
    from ..results.estimate import Estimate, LayerEstimate
    from ..results.measurement import Measurement
    from ..results.profile import Profile

SCHEMA_VERSION = 1
MEMORY_TRACK = "memory"
"""Track of kernels without FLOPs, which are limited by memory."""
LINK_TRACK = "links"
"""Track of collectives."""
MOST_RANKS = 16
"""Maximum number of devices with a track of their own."""
MOST_TURNS = 64
"""Maximum number of micro-batches that are shown."""

_ESTIMATED, _MEASURED = 1, 2  # process ids
_MODULES = 1  # id of the first thread of each process
_TERMS = ("launch_s", "compute_s", "dram_s", "cache_s", "link_s")
_US = 1e6
_ROUNDING = 1e-9
_MEDIANS = "medians per module, laid end to end"


@dataclass
class _Kernel:
    """A layer with a nonzero time, and its counts."""

    layer: LayerEstimate
    phase: str
    live_bytes: int
    started_us: float = 0.0
    ended_us: float = 0.0

    @property
    def track(self) -> str:
        if self.layer.link_s > 0:
            return LINK_TRACK
        return self.layer.unit if self.layer.kernel_flops else MEMORY_TRACK


def trace_of(profile: Profile | None, measured: Measurement | None = None) -> dict[str, Any]:
    """Return the timeline of a profile and, below it, of a measurement.

    Args:
        profile: A profile with an estimate; None, or one without, for a measurement only.
        measured: A measurement of the same model.

    Returns:
        The JSON object of the trace.

    Raises:
        InputError: There is neither an estimate nor a measurement.
    """
    estimate = None if profile is None else profile.estimate
    if estimate is None and measured is None:
        raise InputError("a trace needs times; profile with hardware=, or pass the result of measure()")
    events: list[dict[str, Any]] = []
    about: dict[str, Any] = {"schema": f"pyinfercost.trace/{SCHEMA_VERSION}"}
    if profile is not None and estimate is not None:
        events += _estimated(profile, estimate)
        about |= {
            "model": profile.model,
            "sizes": dict(profile.sizes),
            "hardware": estimate.hardware,
            "precision": estimate.precision,
            "execution": estimate.execution,
            "estimated": True,
            "estimated_latency_s": estimate.latency_s,
            "estimated_energy_j": estimate.energy_j,
            "devices": estimate.devices,
            "layout": estimate.layout.given,
            "ranks_shown": ranks_shown(estimate),
            "order": "kernels one after another in the order of the graph; no two of a device are taken to overlap",
        }
    if measured is not None:
        events += _measured(measured)
        about = {"model": measured.model, "sizes": dict(measured.sizes), **about}
        about["measured"] = {
            "device": measured.device,
            "precision": measured.precision,
            "execution": measured.execution,
            "threads": measured.threads,
            "measured_s": measured.measured_s,
            "runs": measured.runs,
            "modules_s": sum(layer.measured_s for layer in measured.layers),
            "how": f"{_MEDIANS}, in the order in which modules first run, one that runs several times with all its "
            "calls together; looking at modules costs time, and medians of parts are no parts of a median: modules_s "
            "is not measured_s",
        }
    return {"displayTimeUnit": "ms", "otherData": about, "traceEvents": events}


def measured_trace(result: Measurement) -> dict[str, Any]:
    """Return the timeline of a measurement and, with hardware, of its prediction."""
    return trace_of(result.prediction, result)


def _kernels(profile: Profile, estimate: Estimate) -> list[_Kernel]:
    """Return the layers with nonzero time in order; other nodes have the memory of the preceding kernel."""
    times = {layer.index: layer for layer in estimate.layers}
    kernels: list[_Kernel] = []
    waiting = 0
    for counted in profile.counts.layers:
        live = counted.row.peak_activation_bytes
        live_bytes = live if isinstance(live, int) else 0
        layer = times.get(counted.index)
        if layer is not None and layer.latency_s > 0:
            kernels.append(_Kernel(layer, counted.phase, max(live_bytes, waiting)))
            waiting = 0
        elif kernels:
            kernels[-1].live_bytes = max(kernels[-1].live_bytes, live_bytes)
        else:
            waiting = max(waiting, live_bytes)
    return kernels


def _estimated(profile: Profile, estimate: Estimate) -> list[dict[str, Any]]:
    kernels = _kernels(profile, estimate)
    events = Events(_ESTIMATED, f"estimated: {profile.model or 'graph'} on {estimate.hardware}")
    events.name_thread(_MODULES, "modules (estimated)")
    tracks = {track: _MODULES + 1 + place for place, track in enumerate(sorted({kernel.track for kernel in kernels}))}
    for track, thread in tracks.items():
        events.name_thread(thread, f"{track} (estimated)")
    ends = laid_out([kernel.layer.latency_s for kernel in kernels])
    for kernel, (started, ended) in zip(kernels, ends, strict=True):
        kernel.started_us, kernel.ended_us = started, ended
    phases = len({kernel.phase for kernel in kernels}) > 1
    name = profile.model or "graph"
    module_slices(
        events,
        _MODULES,
        [
            ((f"{name}: {kernel.phase}" if phases else name), kernel.layer.module, kernel.started_us, kernel.ended_us,
             _sums(kernel))
            for kernel in kernels
        ],
    )  # fmt: skip
    for kernel in kernels:
        events.slice(
            tracks[kernel.track],
            short_op(kernel.layer.op),
            kernel.started_us,
            kernel.ended_us,
            _arguments(kernel),
        )
    _add_ranks(events, estimate, kernels, _MODULES + 1 + len(tracks))
    for counter, ts, values in _counters(profile, kernels):
        events.counter(counter, ts, values)
    return events.found


def ranks_shown(estimate: Estimate) -> int:
    """Return how many devices of a layout have a track of their own: none for copies that exchange nothing."""
    return min(estimate.devices, MOST_RANKS) if estimate.exchanges else 0


def _add_ranks(events: Events, estimate: Estimate, kernels: Sequence[_Kernel], first: int) -> None:
    """Add a track for each device.

    The devices of a stage run the same kernels at the same time, and meet in the collectives. The stages of a pipeline
    follow each other; of their micro-batches the kernels of the first one are shown.
    """
    stage_of = _stages_of(estimate, kernels)
    begins = [0.0, *accumulate(stage.latency_s * _US for stage in estimate.stages)]
    turns = _turns_us(estimate, begins)
    for rank in range(ranks_shown(estimate)):
        stage = estimate.layout.stage_of(rank)
        of_stage = f", stage {stage}" if estimate.stages else ""
        events.name_thread(first + rank, f"rank {rank}{of_stage} (estimated)")
        own = [kernel for kernel, place in zip(kernels, stage_of, strict=True) if place == stage]
        later = begins[stage] - own[0].started_us if own and stage else 0.0
        slices: list[tuple[float, float, str, dict[str, Any]]] = [
            (kernel.started_us + later, kernel.ended_us + later, short_op(kernel.layer.op),
             {"module": kernel.layer.module})
            for kernel in own
        ]  # fmt: skip
        slices += [(begin, end, f"micro-batch {turn}", {"micro_batch": turn}) for turn, begin, end in turns[stage]]
        for begin, end, name, arguments in sorted(slices, key=lambda each: each[:2]):
            events.slice(first + rank, name, begin, end, {"estimated": True, "rank": rank, **arguments})


def _stages_of(estimate: Estimate, kernels: Sequence[_Kernel]) -> list[int]:
    """Return the stage of each kernel: the one that has its module, in the order of the graph."""
    modules = [set(stage.modules) for stage in estimate.stages]
    found, stage = [], 0
    for kernel in kernels:
        path = LAYER.match(kernel.layer.module)
        named = path is not None and path[0]
        if named and stage + 1 < len(modules) and named not in modules[stage] and named in modules[stage + 1]:
            stage += 1
        found.append(stage)
    return found


Turn = tuple[int, float, float]
"""The number of a micro-batch, and when a stage works on it, in microseconds."""


def _turns_us(estimate: Estimate, begins: Sequence[float]) -> list[list[Turn]]:
    """Return when each stage works on the micro-batches after the first one.

    A micro-batch enters a stage once it has left the one before, and once the one before it has left the stage. A
    decode step finds the micro-batches of the step before in the later stages: what would end after the step is shown
    at its begin.
    """
    if not estimate.stages:
        return [[]]
    slowest_us = max(stage.latency_s for stage in estimate.stages) * _US
    if slowest_us <= 0:
        return [[] for _ in estimate.stages]
    count = min(MOST_TURNS, max(round(stage.busy_s * _US / slowest_us) for stage in estimate.stages))
    until_us = estimate.latency_s * _US
    turns: list[list[Turn]] = []
    for number, stage in enumerate(estimate.stages):
        of_stage = []
        for turn in range(1, count):
            started = begins[number] + turn * slowest_us
            ended = started + stage.latency_s * _US
            if started < until_us:
                of_stage.append((turn, started, min(ended, until_us)))
            if ended > until_us * (1 + _ROUNDING):
                of_stage.insert(0, (turn, max(0.0, started - until_us), ended - until_us))
        turns.append(sorted(of_stage, key=lambda each: each[1]))
    return turns


def _sums(kernel: _Kernel) -> dict[str, float]:
    """Return the figures that add up over the kernels of a module."""
    layer = kernel.layer
    sums = {"latency_s": layer.latency_s, "flops": layer.kernel_flops, "bytes": layer.kernel_bytes}
    if layer.energy_j is not None:
        sums["energy_j"] = layer.energy_j
    return sums


def _arguments(kernel: _Kernel) -> dict[str, Any]:
    layer = kernel.layer
    flops, moved = layer.kernel_flops, layer.kernel_bytes
    return {
        "estimated": True,
        "module": layer.module,
        "op": layer.op,
        "phase": kernel.phase,
        "kernel": layer.kernel,
        "unit": layer.unit,
        "bound": layer.bound,
        "effect": layer.effect,
        "effect_share": layer.effect_share,
        "flops": flops,
        "bytes": moved,
        "flop_per_byte": flops / moved if moved else None,
        "latency_s": layer.latency_s,
        **{name: getattr(layer, name) for name in _TERMS},
        "energy_j": layer.energy_j,
        "live_activation_bytes": kernel.live_bytes,
    }


def _counters(profile: Profile, kernels: list[_Kernel]) -> Iterator[tuple[str, float, Mapping[str, float]]]:
    """Yield memory and mean power of each kernel: a step at each start, and the final values at the end."""
    total = profile.counts.total
    peak, live = total.peak_memory_bytes, total.peak_activation_bytes
    # Weights, buffers and inputs, which are in memory all the time.
    always = peak - live if isinstance(peak, int) and isinstance(live, int) else 0
    for kernel in kernels:
        yield "live memory (estimated)", kernel.started_us, {"bytes": always + kernel.live_bytes}
    if kernels:
        yield "live memory (estimated)", kernels[-1].ended_us, {"bytes": always}
    if not kernels or any(kernel.layer.energy_j is None for kernel in kernels):
        return  # the power of the machine is unknown
    for kernel in kernels:
        joules = kernel.layer.energy_j or 0.0
        yield "power (estimated)", kernel.started_us, {"W": joules / kernel.layer.latency_s}
    yield "power (estimated)", kernels[-1].ended_us, {"W": 0.0}


def _measured(measured: Measurement) -> list[dict[str, Any]]:
    """Return slices of modules by their own time; of the whole forward only if modules were not measured."""
    events = Events(_MEASURED, f"measured: {measured.model} on {measured.device}")
    layers = [layer for layer in measured.layers if layer.measured_s > 0]
    if not layers:
        events.name_thread(_MODULES, f"forward (measured, the median of {measured.runs})")
        arguments: dict[str, Any] = {
            "estimated": False,
            "measured_s": measured.measured_s,
            "predicted_s": measured.predicted_s,
        }
        ((started, ended),) = laid_out([measured.measured_s])
        events.slice(_MODULES, measured.model, started, ended, arguments)
        return events.found
    events.name_thread(_MODULES, f"modules (measured, {_MEDIANS})")
    events.name_thread(_MODULES + 1, f"each module by itself (measured, {_MEDIANS})")
    ends = laid_out([layer.measured_s for layer in layers])
    module_slices(
        events,
        _MODULES,
        [
            (measured.model, layer.module, started, ended, {"measured_s": layer.measured_s})
            for layer, (started, ended) in zip(layers, ends, strict=True)
        ],
    )
    for layer, (started, ended) in zip(layers, ends, strict=True):
        arguments = {
            "estimated": False,
            "median": True,
            "module": layer.module,
            "ops": list(layer.ops),
            "measured_s": layer.measured_s,
            "predicted_s": layer.predicted_s,
        }
        events.slice(_MODULES + 1, layer.module or measured.model, started, ended, arguments)
    return events.found


class Events:
    """Events of one process of a timeline, collected in `found`.

    Args:
        process: Id of the process, which also determines its position.
        name: Name of the process.
    """

    def __init__(self, process: int, name: str) -> None:
        self.process = process
        self.found: list[dict[str, Any]] = []
        self._meta("process_name", 0, {"name": name})
        self._meta("process_sort_index", 0, {"sort_index": process})

    def name_thread(self, thread: int, name: str) -> None:
        """Name a track; tracks are ordered by id."""
        self._meta("thread_name", thread, {"name": name})
        self._meta("thread_sort_index", thread, {"sort_index": thread})

    def slice(self, thread: int, name: str, started_us: float, ended_us: float, arguments: Mapping[str, Any]) -> None:
        """Add a slice without children."""
        self.begin(thread, name, started_us, arguments)
        self.end(thread, name, ended_us)

    def begin(self, thread: int, name: str, ts: float, arguments: Mapping[str, Any]) -> None:
        """Begin a slice that `end` closes; slices that begin in between are nested in it."""
        self.found.append({"ph": "B", "pid": self.process, "tid": thread, "name": name, "ts": ts, "args": arguments})

    def end(self, thread: int, name: str, ts: float) -> None:
        """End the innermost open slice."""
        self.found.append({"ph": "E", "pid": self.process, "tid": thread, "name": name, "ts": ts})

    def counter(self, name: str, ts: float, values: Mapping[str, float]) -> None:
        """Set values that hold from this time on."""
        self.found.append({"ph": "C", "pid": self.process, "tid": 0, "name": name, "ts": ts, "args": values})

    def _meta(self, name: str, thread: int, arguments: Mapping[str, Any]) -> None:
        self.found.append({"ph": "M", "pid": self.process, "tid": thread, "name": name, "ts": 0, "args": arguments})


def laid_out(seconds: Sequence[float]) -> list[tuple[float, float]]:
    """Return starts and ends, in microseconds, of contiguous slices."""
    return list(pairwise(_US * passed for passed in accumulate(seconds, initial=0.0)))


def module_slices(
    events: Events, thread: int, stretches: Sequence[tuple[str, str, float, float, Mapping[str, float]]]
) -> None:
    """Add nested slices of modules, one for each uninterrupted run of a module.

    Args:
        events: Destination.
        thread: Track.
        stretches: Runs in order: name of the outermost slice, path of the module, start and end in microseconds, and
            figures that add up from children to parents.
    """
    open_slices: list[tuple[str, dict[str, Any]]] = []
    now = 0.0

    def close(down_to: int) -> None:
        while len(open_slices) > down_to:
            events.end(thread, open_slices.pop()[0], now)

    for whole, module, started, ended, figures in stretches:
        names = [whole, *(module.split(".") if module else ())]
        shared = 0
        while shared < min(len(names), len(open_slices)) and open_slices[shared][0] == names[shared]:
            shared += 1
        close(shared)
        for depth in range(shared, len(names)):
            arguments: dict[str, Any] = {"module": ".".join(names[1 : depth + 1])}
            open_slices.append((names[depth], arguments))
            events.begin(thread, names[depth], started, arguments)
        for _, arguments in open_slices:  # arguments may change until the slice ends; the file is written later
            for figure, value in figures.items():
                arguments[figure] = arguments.get(figure, 0.0) + value
        now = ended
    close(0)

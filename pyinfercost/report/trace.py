"""A profile as a timeline that Perfetto and chrome://tracing show: the JSON object of the Chrome Trace Event Format.

The seconds of the layers add up to the latency of the estimate, in each way of running and on each kind of machine:
what a forward takes beside its kernels (its start, and what the host is slower than the device) is shared out among
them by the machine model, as launch seconds. So kernels lie back to back, there is no gap, and the last ends at the
latency.

A slice is a pair of begin and end and never an event with a duration: viewers round start and duration to nanoseconds,
each by itself, and drop a slice that then begins before the last one has ended. Rounded ends and begins stay in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..results.estimate import Estimate, LayerEstimate
    from ..results.measurement import Measurement
    from ..results.profile import Profile

SCHEMA_VERSION = 1
MEMORY_TRACK = "memory"
"""Where kernels that compute nothing are: it is bytes that they wait for."""

_ESTIMATED, _MEASURED = 1, 2  # processes
_MODULES = 1  # the first thread of each
_TERMS = ("launch_s", "compute_s", "dram_s", "cache_s")
_US = 1e6
_MEDIANS = "medians per module, laid end to end"


@dataclass
class _Kernel:
    """A layer that takes time, with what the counts say of it."""

    layer: LayerEstimate
    phase: str
    live_bytes: int
    started_us: float = 0.0
    ended_us: float = 0.0

    @property
    def track(self) -> str:
        return self.layer.engine if self.layer.kernel_flops else MEMORY_TRACK


def trace_of(profile: Profile | None, measured: Measurement | None = None) -> dict[str, Any]:
    """The timeline of a profile, and below it that of a measurement.

    Args:
        profile: with an estimate; None, or one without, where there is a measurement alone.
        measured: the same model as it ran.

    Raises:
        ValueError: there is neither an estimate nor a measurement.
    """
    estimate = None if profile is None else profile.estimate
    if estimate is None and measured is None:
        raise ValueError("a trace needs times: profile with hardware=, or give what `measure` returned")
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
            "order": "kernels one after another in the order of the graph; no two are taken to overlap",
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
    """The layers that take time, in order; what is held while others run is with the one before them."""
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
            kernel.layer.op.removeprefix("aten."),
            kernel.started_us,
            kernel.ended_us,
            _arguments(kernel),
        )
    for counter, ts, values in _counters(profile, kernels):
        events.counter(counter, ts, values)
    return events.found


def _sums(kernel: _Kernel) -> dict[str, float]:
    """What a module has as much of as its kernels together."""
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
        "engine": layer.engine,
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
    """What is held, and the mean power of each kernel: a step at each start, and what is left at the end."""
    total = profile.counts.total
    peak, live = total.peak_memory_bytes, total.peak_activation_bytes
    # Weights, buffers and inputs, which are there all the time.
    always = peak - live if isinstance(peak, int) and isinstance(live, int) else 0
    for kernel in kernels:
        yield "live memory (estimated)", kernel.started_us, {"bytes": always + kernel.live_bytes}
    if kernels:
        yield "live memory (estimated)", kernels[-1].ended_us, {"bytes": always}
    if not kernels or any(kernel.layer.energy_j is None for kernel in kernels):
        return  # a machine whose power nobody has published
    for kernel in kernels:
        joules = kernel.layer.energy_j or 0.0
        yield "power (estimated)", kernel.started_us, {"W": joules / kernel.layer.latency_s}
    yield "power (estimated)", kernels[-1].ended_us, {"W": 0.0}


def _measured(measured: Measurement) -> list[dict[str, Any]]:
    """The modules by what each took by itself; the whole forward alone where modules cannot be told apart."""
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
    """The events of one process of a timeline, in `found`.

    Args:
        process: its number, which is also its place among the others.
        name: what it is called.
    """

    def __init__(self, process: int, name: str) -> None:
        self.process = process
        self.found: list[dict[str, Any]] = []
        self._meta("process_name", 0, {"name": name})
        self._meta("process_sort_index", 0, {"sort_index": process})

    def name_thread(self, thread: int, name: str) -> None:
        """Names a track; tracks stand in the order of their numbers."""
        self._meta("thread_name", thread, {"name": name})
        self._meta("thread_sort_index", thread, {"sort_index": thread})

    def slice(self, thread: int, name: str, started_us: float, ended_us: float, arguments: Mapping[str, Any]) -> None:
        """A slice with nothing in it."""
        self.begin(thread, name, started_us, arguments)
        self.end(thread, name, ended_us)

    def begin(self, thread: int, name: str, ts: float, arguments: Mapping[str, Any]) -> None:
        """The start of a slice that `end` closes; what begins before that is nested in it."""
        self.found.append({"ph": "B", "pid": self.process, "tid": thread, "name": name, "ts": ts, "args": arguments})

    def end(self, thread: int, name: str, ts: float) -> None:
        """The end of the slice that began last."""
        self.found.append({"ph": "E", "pid": self.process, "tid": thread, "name": name, "ts": ts})

    def counter(self, name: str, ts: float, values: Mapping[str, float]) -> None:
        """Values that hold from now on."""
        self.found.append({"ph": "C", "pid": self.process, "tid": 0, "name": name, "ts": ts, "args": values})

    def _meta(self, name: str, thread: int, arguments: Mapping[str, Any]) -> None:
        self.found.append({"ph": "M", "pid": self.process, "tid": thread, "name": name, "ts": 0, "args": arguments})


def laid_out(seconds: Sequence[float]) -> list[tuple[float, float]]:
    """Starts and ends, in microseconds, of slices that follow each other without a gap."""
    return list(pairwise(_US * passed for passed in accumulate(seconds, initial=0.0)))


def module_slices(
    events: Events, thread: int, stretches: Sequence[tuple[str, str, float, float, Mapping[str, float]]]
) -> None:
    """Nested slices of modules, one for each time that a module goes on without a break.

    Args:
        events: where they go.
        thread: the track.
        stretches: in their order: what all is in, the path of the module, start and end in microseconds, and figures
            that a module has as the sum of those in it.
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
        for _, arguments in open_slices:  # viewers see what is added up until the end: the file is written later
            for figure, value in figures.items():
                arguments[figure] = arguments.get(figure, 0.0) + value
        now = ended
    close(0)

"""Runs a model on this machine and sets what it took beside what is predicted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, SupportsIndex

from ..results.measurement import NOT_ASKED_FOR, MeasuredLayer, Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Graph, Hardware
    from ..results.estimate import Estimate
    from ..results.profile import Profile

_WARM_UP = 0.3  # of the seconds that are timed


def measure(
    model: Any,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    hardware: str | PathLike[str] | Hardware | None = None,
    execution: str = "eager",
    precision: str = "native",
    threads: int | None = None,
    device: str = "cpu",
    seconds: float = 2.0,
    energy: bool = True,
    **sizes: SupportsIndex,
) -> Measurement:
    """Runs a forward here: in total, with its joules, and in eager execution module by module.

    Joules are those of the whole processors (`device="cpu"`) or the whole board of the GPU, as `energy_meter` reads
    them, over forwards that are repeated until a step of the counter is 1 % or less.

    Args:
        model: a module, or a spec such as `"torchvision:resnet50"`, whose weights are drawn as its constructor does;
            no weight is downloaded. What lies on the meta device gets values.
        args: positional inputs of a module, a tuple or a lone input.
        kwargs: named inputs of a module.
        hardware: an id, a path or a `Hardware` to predict with, such as the file that `pyinfercost calibrate` writes;
            None measures only.
        execution: `"eager"`, `"compiled"` or `"replayed"` (CUDA).
        precision: `"native"`, `"fp32"`, `"bf16"` or `"fp16"`: weights and inputs are cast. A module that is given is
            cast in place.
        threads: threads to run on; by default those that torch uses.
        device: where to run, as torch spells it.
        seconds: how long to time; it is warmed up before, and joules and modules are measured after, each for as
            long.
        energy: whether to measure joules, where something here tells them; else an `EnergyUnknownWarning` says why
            not, and they are None.
        **sizes: for a spec: the sizes to run at, such as `batch=8`.

    Raises:
        ImportError: torch, or the library that a spec names, is not installed; the message names the extra.
        ValueError: an argument is not one of those above.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ImportError(
            "measuring runs torch, which is not installed: pip install 'pyinfercost[torch]'", name=error.name
        ) from error
    from ..sources.capture import as_inputs, capture
    from ..sources.loaded_model import LoadedModel
    from .clock import Budget, time_call
    from .energy import EnergyMeter, joules_per_forward
    from .layers import module_seconds
    from .running import forward_of, real_inputs, real_model, waiting_for

    machine = _machine(hardware, threads)
    given = {name: int(value) for name, value in sizes.items()}
    if isinstance(model, (str, PathLike)):
        name = fspath(model)
        loaded = real_model(name, given, device)
    elif given:
        raise TypeError(f"sizes ({', '.join(given)}) belong to a spec; a module's sizes are those of its inputs")
    else:
        name = type(model).__name__
        loaded = real_inputs(LoadedModel(model, as_inputs(args), dict(kwargs or {}), {}), device)
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    meter = EnergyMeter(device) if energy else None
    try:
        if meter is not None:
            meter.open()  # before anything runs: a device that was at work takes seconds to come to rest
        # The cast is done in here; what is captured below has the dtypes that run.
        forward = forward_of(loaded, execution=execution, precision=precision)
        wait = waiting_for(device)
        timing = time_call(forward, Budget(_WARM_UP * seconds, seconds), wait)
        joules = NOT_ASKED_FOR if meter is None else joules_per_forward(forward, meter, seconds, wait)
        by_module = module_seconds(loaded.module, forward, seconds, wait) if execution == "eager" else {}
        used = torch.get_num_threads()
    finally:
        if meter is not None:
            meter.close()
        torch.set_num_threads(before)
    graph = capture(loaded.module, loaded.args, loaded.kwargs)
    prediction = None if machine is None else _prediction(machine, graph, execution, name)
    estimate = None if prediction is None else prediction.estimate
    return Measurement(
        model=name,
        sizes=given,
        execution=execution,
        precision=precision,
        device=device,
        threads=used,
        hardware=None if machine is None else machine.id,
        runs=timing.runs,
        measured_s=timing.median_s,
        measured_low_s=timing.low_s,
        measured_high_s=timing.high_s,
        predicted_s=None if estimate is None else estimate.latency_s,
        predicted_low_s=None if estimate is None else estimate.latency_low_s,
        predicted_high_s=None if estimate is None else estimate.latency_high_s,
        layers=_layers(graph, by_module, estimate),
        energy=joules,
        predicted_j=None if estimate is None else estimate.energy_j,
        predicted_low_j=None if estimate is None else estimate.energy_low_j,
        predicted_high_j=None if estimate is None else estimate.energy_high_j,
        prediction=prediction,
    )


def worst_layers(result: Measurement) -> list[MeasuredLayer]:
    """Return the layers by the distance of prediction and measurement, the largest first.

    Args:
        result: a measurement. Without a prediction, the slowest layers come first.
    """
    return sorted(result.layers, key=lambda layer: abs(layer.measured_s - (layer.predicted_s or 0.0)), reverse=True)


def _machine(hardware: str | PathLike[str] | Hardware | None, threads: int | None) -> Hardware | None:
    """What to predict with; one that is loaded already has its threads."""
    from .._core import Hardware as Loaded
    from ..hardware import load

    if hardware is None or isinstance(hardware, Loaded):
        return hardware
    return load(hardware, threads=threads)


def _prediction(machine: Hardware, graph: Graph, execution: str, name: str) -> Profile:
    from ..predict.profile import profile

    return replace(profile(graph, hardware=machine, execution=execution), model=name)


def _layers(graph: Graph, by_module: Mapping[str, float], estimate: Estimate | None) -> tuple[MeasuredLayer, ...]:
    """Modules that call ops themselves; one that only calls others is left out where it took no prediction."""
    ops: dict[str, list[str]] = defaultdict(list)
    for index in range(len(graph)):
        node = graph.node(index)
        ops[node.module].append(node.op)
    predicted: dict[str, float] = defaultdict(float)
    for layer in () if estimate is None else estimate.layers:
        predicted[layer.module] += layer.latency_s
    return tuple(
        MeasuredLayer(
            module=path,
            ops=tuple(dict.fromkeys(ops.get(path, ()))),
            measured_s=seconds,
            predicted_s=None if estimate is None else predicted.get(path, 0.0),
        )
        for path, seconds in by_module.items()
    )

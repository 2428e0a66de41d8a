"""Run a model on this machine and compare its time and energy with the prediction."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, SupportsIndex

from .._core import Hardware
from ..deployment import deployment_of
from ..results.measurement import NOT_ASKED_FOR, MeasuredLayer, Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from .._core import Graph
    from ..deployment import Deployment, HardwareLike, PriceLike, TransferLike
    from ..results.estimate import Estimate
    from ..results.profile import Profile

_WARM_UP = 0.3  # of the seconds that are timed


def measure(
    model: torch.nn.Module | str | PathLike[str],
    inputs: Any = (),
    *,
    on: Deployment | None = None,
    hardware: HardwareLike | None = None,
    devices: SupportsIndex | None = None,
    precision: str | None = None,
    execution: str | None = None,
    threads: int | None = None,
    sustained: bool | None = None,
    price: PriceLike | None = None,
    utilization: float | None = None,
    region: str | None = None,
    transfer: TransferLike | None = None,
    device: str = "cpu",
    seconds: float = 2.0,
    energy: bool = True,
    sizes: Mapping[str, SupportsIndex] | None = None,
    **named_sizes: SupportsIndex,
) -> Measurement:
    """Run a forward on this machine: measure its total time and energy and, in eager execution, its time by module.

    Joules are those of the whole processors (`device="cpu"`) or the whole board of the GPU, as `energy_meter` reads
    them, over forwards that are repeated until a step of the counter is 1 % or less.

    Args:
        model: A module, or a spec such as `"torchvision:resnet50"`, whose weights are drawn by its constructor; no
            weight is downloaded. Tensors on the meta device get values.
        inputs: Inputs of a module: a tuple of positional inputs, a lone input, a mapping of keyword inputs, or an
            `Inputs`.
        on: Where and how the model runs: its precision, execution and threads are used here, and the whole of it for
            the prediction. The keywords below override its fields.
        hardware: The machine to predict for, such as the file that `pyinfercost calibrate` writes; without one nothing
            is predicted. This and the next nine are the fields of `Deployment`, which describes them.
        devices: Number of machines of the prediction that share the batch.
        precision: `"native"`, `"fp32"`, `"bf16"` or `"fp16"`: weights and inputs are cast. A module that is given is
            cast in place.
        execution: `"eager"`, `"compiled"` or `"cuda_graph"` (CUDA).
        threads: Threads to run on; by default those that torch uses.
        sustained: Whether the machine of the prediction runs without pause.
        price: Price of a device hour.
        utilization: Share of the paid time in which the devices work.
        region: Location of the machine.
        transfer: How inputs reach the device and results return.
        device: Where to run, as torch spells it.
        seconds: Seconds to time, after a warm-up; joules and modules are measured afterwards, each for as long.
        energy: Whether to measure joules; if no counter is readable, an `EnergyUnknownWarning` tells the reason, and
            they are None.
        sizes: For a spec: the sizes to run at, for names that options have too.
        **named_sizes: The same by keyword, such as `batch=8`.

    Returns:
        The measurement, with its prediction.

    Raises:
        ImportError: torch, or the library that a spec names, is not installed; the message names the extra.
        ValueError: An argument is invalid.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ImportError(
            "measuring runs torch, which is not installed: pip install 'pyinfercost[torch]'", name=error.name
        ) from error
    from ..sources.capture import capture
    from ..sources.captured import size_errors
    from ..sources.inputs import parse_inputs
    from ..sources.loaded_model import LoadedModel
    from ..sources.sizes import SizeError, call_sizes
    from .clock import Budget, time_call
    from .energy import EnergyMeter, joules_per_forward
    from .layers import module_seconds
    from .running import forward_of, real_inputs, real_model, waiting_for

    deployment, threads = deployment_and_threads(
        on,
        threads,
        hardware=hardware,
        devices=devices,
        precision=precision,
        execution=execution,
        sustained=sustained,
        price=price,
        utilization=utilization,
        region=region,
        transfer=transfer,
    )
    precision, execution = deployment.precision, deployment.execution
    with call_sizes(measure, sizes, named_sizes) as named:
        given = {name: int(value) for name, value in named.items()}
        if isinstance(model, (str, PathLike)):
            name = fspath(model)
            with size_errors():
                loaded = real_model(name, given, device)
        elif given:
            raise SizeError(f"sizes ({', '.join(given)}) belong to a spec; a module's sizes are those of its inputs")
        else:
            name = type(model).__name__
            args, kwargs = parse_inputs(inputs)
            loaded = real_inputs(LoadedModel(model, args, dict(kwargs), {}), device)
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
    graph = capture(loaded.module, loaded.inputs)
    prediction = None if deployment.hardware is None else _prediction(deployment, graph, name)
    estimate = None if prediction is None else prediction.estimate
    return Measurement(
        model=name,
        sizes=given,
        execution=execution,
        precision=precision,
        device=device,
        threads=used,
        hardware=None if deployment.hardware is None else deployment.machine.id,
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


def deployment_and_threads(
    on: Deployment | None, threads: int | None, *, hardware: HardwareLike | None, **fields: Any
) -> tuple[Deployment, int | None]:
    """Return the deployment to predict for, and the threads to run on here.

    Threads are a field of the deployment too if it names a CPU. A machine that was loaded already has its threads.
    """
    machine = hardware if hardware is not None or on is None else on.hardware
    named = machine is not None and not isinstance(machine, Hardware)
    deployment = deployment_of(on, hardware=hardware, threads=threads if named else None, **fields)
    return deployment, deployment.threads if threads is None else threads


def _prediction(on: Deployment, graph: Graph, name: str) -> Profile:
    from ..predict.profile import profile

    return replace(profile(graph, on=on.replace(precision="native")), model=name)  # the graph has what runs


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

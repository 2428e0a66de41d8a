"""Run a model on this machine and compare its time and energy with the prediction."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, SupportsIndex

from .._core import Hardware
from ..deployment import deployment_of
from ..deployment.deployment import TORCH
from ..errors import InputError, MissingLibraryError
from ..results.measurement import NOT_ASKED_FOR, MeasuredLayer, Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from .._core import Graph
    from ..deployment import (
        Deployment,
        HardwareLike,
        HostLike,
        LayoutLike,
        PriceLike,
        ServingLike,
        StartupLike,
        TransferLike,
    )
    from ..results.estimate import Estimate
    from ..results.profile import Profile

_WARM_UP = 0.3  # share of the timed seconds


def measure(
    model: torch.nn.Module | str | PathLike[str],
    inputs: Any = (),
    *,
    on: Deployment | None = None,
    hardware: HardwareLike | None = None,
    devices: SupportsIndex | None = None,
    layout: LayoutLike | None = None,
    precision: str | None = None,
    engine: str | None = None,
    serving: ServingLike | None = None,
    execution: str | None = None,
    threads: int | None = None,
    instances: SupportsIndex | None = None,
    sustained: bool | None = None,
    host: HostLike | None = None,
    price: PriceLike | None = None,
    utilization: float | None = None,
    region: str | None = None,
    transfer: TransferLike | None = None,
    startup: StartupLike | None = None,
    device: str = "cpu",
    seconds: float = 2.0,
    energy: bool = True,
    sizes: Mapping[str, SupportsIndex] | None = None,
    **named_sizes: SupportsIndex,
) -> Measurement:
    """Run a forward on this machine and measure its time and energy and, in eager execution, its time by module.

    Energy is that of the whole processors (`device="cpu"`) or the whole board of the GPU, read by `energy_meter`, over
    forwards that are repeated until a step of the counter is at most 1 %.

    Args:
        model: A module, or a spec such as `"torchvision:resnet50"`, which is built with random weights; nothing is
            downloaded. Tensors on the meta device get values.
        inputs: Inputs of a module: a tuple of positional inputs, a lone input, a mapping of keyword inputs, or an
            `Inputs`.
        on: Deployment. Its precision, execution and threads apply to the run, all fields to the prediction. The
            keywords below override its fields.
        hardware: Machine to predict for, such as the file written by `pyinfercost calibrate`; without one nothing is
            predicted. This and the next thirteen arguments are the fields of `Deployment`, which describes them.
        devices: Number of machines of the prediction that share the batch.
        precision: `"native"`, `"fp32"`, `"bf16"` or `"fp16"`: weights and inputs are cast, a given module in place.
        engine: `"torch"`: serving engines are measured as servers, not by their forwards.
        serving: None: torch forms no steps.
        execution: `"eager"`, `"compiled"`, `"cuda_graph"` (CUDA only) or `"reduce-overhead"`.
        threads: Number of threads to run on; default: torch's setting.
        instances: Copies of the model side by side on the CPU of the prediction; the run is of one.
        sustained: Whether the predicted machine runs under continuous load.
        host: Host of a GPU: microseconds to issue an operator, or a name.
        price: Price of a device-hour.
        utilization: Fraction of the paid time in which the devices are busy.
        region: Location of the machine.
        transfer: Transfer of inputs to the device and of results back.
        startup: How a replica starts, for `cold_start_s`.
        device: Device to run on, in torch's notation.
        seconds: Duration of timed runs, after a warm-up; energy and modules are measured afterwards, each for as long.
        energy: Whether to measure energy; if no counter is readable, it is None and an `EnergyUnknownWarning` states
            the reason.
        sizes: For a spec: the sizes to run at, by name, including names that are also options.
        **named_sizes: The same by keyword, such as `batch=8`.

    Returns:
        The measurement, with its prediction.

    Raises:
        ImportError: Torch, or the library of a spec, is not installed; the message names the extra to install.
        ValueError: An argument is invalid.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            "measuring runs torch, which is not installed; run pip install 'pyinfercost[torch]'", name=error.name
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
        layout=layout,
        precision=precision,
        engine=engine,
        serving=serving,
        execution=execution,
        instances=instances,
        sustained=sustained,
        host=host,
        price=price,
        utilization=utilization,
        region=region,
        transfer=transfer,
        startup=startup,
    )
    precision, execution = deployment.precision, deployment.execution
    if deployment.engine != TORCH:
        raise InputError(
            f"engine is {deployment.engine!r}, and measure runs the module in torch; pass engine='torch', and time a "
            "serving engine as a server"
        )
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
            meter.open()  # before anything runs: a device needs seconds to return to idle after work
        # This casts the module, so the capture below has the dtypes that run.
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
    """Return the layers by the difference of prediction and measurement, largest first.

    Args:
        result: A measurement. Without a prediction, the slowest layers come first.

    Returns:
        The sorted layers.
    """
    return sorted(result.layers, key=lambda layer: abs(layer.measured_s - (layer.predicted_s or 0.0)), reverse=True)


def deployment_and_threads(
    on: Deployment | None, threads: int | None, *, hardware: HardwareLike | None, **fields: Any
) -> tuple[Deployment, int | None]:
    """Return the deployment of the prediction, and the number of threads of the run.

    The deployment has threads only if its machine is a CPU given by name; a loaded machine has its own.
    """
    machine = hardware if hardware is not None or on is None else on.hardware
    named = machine is not None and not isinstance(machine, Hardware)
    deployment = deployment_of(on, hardware=hardware, threads=threads if named else None, **fields)
    return deployment.for_throughput(), deployment.threads if threads is None else threads


def _prediction(on: Deployment, graph: Graph, name: str) -> Profile:
    from ..predict.profile import profile

    return replace(profile(graph, on=on.replace(precision="native")), model=name)  # the graph has the dtypes that run


def _layers(graph: Graph, by_module: Mapping[str, float], estimate: Estimate | None) -> tuple[MeasuredLayer, ...]:
    """Return modules that call operators themselves; modules that only call others are omitted without a prediction."""
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

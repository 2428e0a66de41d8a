"""Run a model on this machine and compare its time and energy with the prediction."""

from __future__ import annotations

import operator
from collections import defaultdict
from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, SupportsIndex

from .._core import Hardware
from ..deployment import deployment_of
from ..deployment.engines import TORCH
from ..deployment.keywords import shows, split_options
from ..deployment.options import SizedOptions
from ..errors import InputError, MissingLibraryError
from ..results.measurement import NOT_ASKED_FOR, MeasuredLayer, Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from typing_extensions import Unpack

    from .._core import Graph
    from ..deployment import Deployment
    from ..deployment.options import DeploymentOptions
    from ..results.estimate import Estimate
    from ..results.profile import Profile

_WARM_UP = 0.3  # share of the timed seconds


@shows(SizedOptions)
def measure(
    model: torch.nn.Module | str | PathLike[str],
    inputs: Any = (),
    *,
    on: Deployment | None = None,
    device: str = "cpu",
    seconds: float = 2.0,
    energy: bool = True,
    sizes: Mapping[str, SupportsIndex] | None = None,
    **options: Unpack[SizedOptions],
) -> Measurement:
    """Run a forward on this machine and measure its time and energy and, in eager execution, its time by module.

    Energy covers the whole processors (`device="cpu"`) or the whole board of the GPU. `energy_meter` reads it over
    forwards that are repeated until a step of the counter is at most 1 %.

    Args:
        model: A module, or a spec such as `"torchvision:resnet50"`, which is built with random weights; nothing is
            downloaded. Tensors on the meta device get values.
        inputs: Inputs of a module: a tuple of positional inputs, a lone input, a mapping of keyword inputs, or an
            `Inputs`.
        on: Deployment. Its precision, execution and threads apply to the run, all fields to the prediction. Weights
            and inputs are cast to the precision (`"native"`, `"fp32"`, `"bf16"` or `"fp16"`), a given module in place.
        device: Device to run on, in torch's notation.
        seconds: Duration of timed runs, after a warm-up; energy and modules are measured afterwards, each for as long.
        energy: Whether to measure energy; if no counter is readable, it is None and an `EnergyUnknownWarning` states
            the reason.
        sizes: For a spec: the sizes to run at, by name, including names that are also options.
        **options: Fields of `Deployment`, such as `hardware`, which take precedence over `on`, and sizes by name, such
            as `batch=8`. `hardware` is the machine to predict for; without one nothing is predicted.

    Returns:
        The measurement, with its prediction.

    Raises:
        ImportError: Torch, or the library of a spec, is not installed; the message names the extra to install.
        ValueError: An argument is invalid.

    Examples:
        >>> found = ic.measure(nn.Linear(784, 10), torch.empty(64, 784), seconds=0.05, energy=False)
        >>> found.measured_low_s <= found.measured_s <= found.measured_high_s
        True
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
    from .real_models import forward_of, real_inputs, real_model, waiting_for

    fields, named_sizes = split_options(options)
    deployment, threads = deployment_and_threads(on, fields)
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
            raise SizeError(f"sizes ({', '.join(given)}) belong to a spec; the inputs of a module decide its sizes")
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


def deployment_and_threads(on: Deployment | None, options: DeploymentOptions) -> tuple[Deployment, int | None]:
    """Return the deployment of the prediction, and the number of threads of the run.

    The deployment has threads only if its machine is a CPU given by name; a loaded machine has its own.
    """
    threads, machine = options.get("threads"), options.get("hardware")
    if machine is None and on is not None:
        machine = on.hardware
    if machine is None or isinstance(machine, Hardware):
        options = {**options, "threads": None}
    deployment = deployment_of(on, options)
    return deployment.for_throughput(), deployment.threads if threads is None else operator.index(threads)


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

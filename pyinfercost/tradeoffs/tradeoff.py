"""Trade-off runs: apply each candidate, evaluate it, and compare its cost and accuracy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from .._core import __version__
from ..deployment.keywords import shows
from ..deployment.options import DeploymentOptions
from ..errors import InputTypeError, MissingLibraryError
from ..measuring.measure import deployment_and_threads
from ..results.tradeoff import ORIGINAL, LayerSensitivity, Tradeoff, TradeoffRow
from . import TradeoffError
from .journal import Journal
from .steps import Saying, Steps, said, takes

if TYPE_CHECKING:
    from torch import nn
    from typing_extensions import Unpack

    from ..deployment import Deployment
    from ..inputs.price import Price

_MEASURED = ("native", "fp32", "bf16", "fp16")


@shows(DeploymentOptions)
def tradeoff(
    model: nn.Module | Callable[[], nn.Module],
    candidates: Mapping[str, Callable[..., Any]],
    *,
    evaluate: Callable[[Any], Any],
    inputs: Any,
    on: Deployment | None = None,
    measure: bool = False,
    seconds: float = 2.0,
    device: str = "cpu",
    per_layer: bool | Iterable[str] = False,
    maximize: bool = True,
    resume: str | PathLike[str] | None = None,
    progress: bool | Callable[[int, int], None] | None = None,
    **options: Unpack[DeploymentOptions],
) -> Tradeoff:
    """Compare accuracy and cost of candidates: apply each to a fresh copy, evaluate it and predict its cost.

    The first row is the unchanged model. Each copy is in eval mode when it is predicted, evaluated and measured. A
    failing candidate becomes a row with its error, and the others continue; if the unchanged model fails, so does the
    call.

    Args:
        model: A module, which is copied for each candidate, or a callable that returns the same model each time.
        candidates: Name -> callable that takes the copy and returns the changed module. `pyinfercost.candidates` has
            ready-made ones.
        evaluate: Returns the accuracy of a module; higher is better.
        inputs: Inputs of one forward, for prediction and measurement: a tuple of positional inputs, a lone input, a
            mapping of keyword inputs, or an `Inputs` with both kinds.
        on: Deployment of all candidates; keywords override its fields. `"native"` precision keeps each candidate's own
            dtypes, and a price gives `cost_usd`.
        measure: Whether to also run each candidate on this machine, for `measured_s`.
        seconds: Duration of each measurement.
        device: Device of measurements, in torch's notation; the copy is moved there.
        per_layer: Whether to also apply each candidate to one layer at a time, as `candidate(copy, path)`: True for all
            linear layers and convolutions, or paths of modules. A candidate that requires a path has no row of its own.
        maximize: False if `evaluate` returns a loss; lower is better then.
        resume: Path of a JSONL file to which finished rows are appended and from which they are read instead of being
            computed again. Rows with errors are not stored. The file identifies the model's weights, the settings and
            the ready-made candidates, but not your own functions: use another file when these change.
        progress: True reports steps on stderr, None only if it is a terminal, False never; a function is called with
            the number of finished steps and of all steps.
        **options: Fields of `Deployment`, such as `hardware`, which take precedence over `on`.

    Returns:
        The trade-off.

    Raises:
        TradeoffError: Candidates or settings are invalid, or the file to resume from has other settings.
        TypeError: The model is neither a module nor a callable that makes one, or a candidate has the wrong signature.
        ValueError: Hardware, precision, execution or price is unknown.
        ImportError: Torch is not installed.

    Examples:
        >>> net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> images = torch.randn(256, 784, generator=torch.Generator().manual_seed(0))
        >>> labels = net(images).argmax(1)
        >>> def evaluate(model):
        ...     return (model(images).argmax(1) == labels).float().mean().item()
        >>> from pyinfercost.tradeoffs import candidates
        >>> pruned = {"half": candidates.magnitude(0.5)}
        >>> found = ic.tradeoff(net, pruned, evaluate=evaluate, inputs=images[:1], hardware="l4")
        >>> [(row.name, round(row.zero_share, 2)) for row in found.rows]
        [('original', 0.0), ('half', 0.5)]
    """
    deployment, threads = deployment_and_threads(on, options)
    machine = deployment.machine
    _check(candidates, evaluate, deployment.precision if measure else "native", per_layer=bool(per_layer))
    try:
        from .modules import described, layers_of, maker_of
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            "a trade-off runs torch, which is not installed; run pip install 'pyinfercost[torch]'", name=error.name
        ) from error
    make, original, signature = maker_of(model)
    ran = {"precision": deployment.precision, "execution": deployment.execution, "threads": threads}
    paid = deployment.device_price
    settings = {
        "model": signature,
        "inputs": described(inputs),
        "hardware": f"{machine.id} {_hash(machine.__getstate__())}",
        **ran,
        "devices": deployment.devices,
        "price": None if paid is None else f"{paid.usd_per_h} USD/h {_hash(_electricity(paid))}",
        "utilization": deployment.utilization,
        "transfer": None if deployment.transfer is None else str(deployment.data_transfer),
        "measured": f"{seconds} s on {device}" if measure else None,
        "maximize": maximize,
        "pyinfercost": __version__,
    }
    steps = Steps(
        make=make,
        evaluate=evaluate,
        inputs=inputs,
        on=deployment,
        measured={**ran, "seconds": seconds, "device": device} if measure else None,
        journal=Journal(resume, settings),
        maximize=maximize,
    )
    layers = _layers(per_layer, layers_of(original), {path for path, _ in original.named_modules()})
    rows, sensitivity = _all(steps, candidates, layers, progress)
    return Tradeoff(
        model=type(original).__name__,
        hardware=machine.id,
        precision=deployment.precision,
        execution=deployment.execution,
        maximize=maximize,
        settings=settings,
        rows=tuple(rows),
        layers=tuple(sensitivity),
    )


def _all(
    steps: Steps,
    candidates: Mapping[str, Callable[..., Any]],
    layers: list[str],
    progress: bool | Callable[[int, int], None] | None,
) -> tuple[list[TradeoffRow], list[LayerSensitivity]]:
    """Return all rows, starting with the unchanged model."""
    whole = [name for name, candidate in candidates.items() if not layers or takes(candidate, 1)]
    for name, candidate in candidates.items():  # rejects candidates that differ from the file, before anything runs
        for layer in ("", *layers):
            steps.journal.find(name, layer, said(candidate))
    say = Saying(progress, 1 + len(whole) + len(candidates) * len(layers))
    say(ORIGINAL)
    original = steps.original()
    rows = [original]
    for name in whole:
        say(name)
        rows.append(steps.row(name, candidates[name], original))
    sensitivity = []
    for name, candidate in candidates.items():
        for layer in layers:
            say(f"{name} of {layer}")
            sensitivity.append(steps.layer(name, layer, candidate, original))
    say.done()
    return rows, sensitivity


def _check(
    candidates: Mapping[str, Callable[..., Any]],
    evaluate: Callable[[Any], Any],
    measured_precision: str,
    *,
    per_layer: bool,
) -> None:
    """Reject invalid arguments before anything runs."""
    if not isinstance(candidates, Mapping):
        raise InputTypeError(
            f"candidates is of type {type(candidates).__name__}; expected a mapping of names to callables"
        )
    if not callable(evaluate):
        raise InputTypeError(
            f"evaluate is of type {type(evaluate).__name__}; expected a callable from a model to a number"
        )
    if not candidates:
        raise TradeoffError("candidates is empty; expected a mapping of names to callables")
    for name, candidate in candidates.items():
        if not name or type(name) is not str:
            raise InputTypeError(f"a candidate is named {name!r}; expected a str")
        if name == ORIGINAL:
            raise TradeoffError(f"candidate {ORIGINAL!r} is reserved for the unchanged model; pass another name")
        if not callable(candidate):
            raise InputTypeError(f"candidate {name!r} is of type {type(candidate).__name__}; expected a callable")
        if per_layer and not takes(candidate, 2):
            raise InputTypeError(
                f"candidate {name!r} does not take the path of a layer; per_layer calls it as candidate(model, path)"
            )
        if not per_layer and not takes(candidate, 1):
            raise InputTypeError(f"candidate {name!r} requires more than a model; expected candidate(model)")
    if measured_precision not in _MEASURED:
        raise TradeoffError(f"measure=True supports {', '.join(_MEASURED)}; got precision {measured_precision!r}")


def _layers(per_layer: bool | Iterable[str], usual: list[str], known: set[str]) -> list[str]:
    """Return the layers that are changed one at a time."""
    if isinstance(per_layer, bool):
        if per_layer and not usual:
            raise TradeoffError("per_layer needs linear layers or convolutions; the model has none")
        return usual if per_layer else []
    if isinstance(per_layer, str):
        raise InputTypeError(f"per_layer is {per_layer!r}; expected True, False or an iterable of module paths")
    layers = list(per_layer)
    unknown = [path for path in layers if path not in known]
    if unknown:
        raise TradeoffError(f"the model has no module {unknown[0]!r}; expected some of {', '.join(usual)}")
    return layers


def _electricity(price: Price) -> tuple[float, float, float]:
    return price.usd_per_h, price.usd_per_kwh, price.pue


def _hash(value: Any) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=8).hexdigest()

"""Sensitivity of layers: the accuracy that each loses in each format, and the saving on a machine."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any, SupportsIndex

from .._core import __version__
from ..deployment import deployment_of
from ..deployment.keywords import shows
from ..deployment.options import DeploymentOptions
from ..errors import InputTypeError, MissingLibraryError
from ..formats.table import FormatError
from ..results.sensitivity import FormatSensitivity, MixedFigures, Sensitivity, WholeFormat
from ..results.tradeoff import ORIGINAL
from ..sources.capture import capture
from . import NotApplicableError, TradeoffError
from .journal import Journal
from .layers import layers_in
from .mixed_model import KIND, Choice, Mixing, choice_of
from .steps import Saying, lost, takes, told

if TYPE_CHECKING:
    from torch import nn
    from typing_extensions import Unpack

    from .._core import Graph
    from ..deployment import Deployment

Candidates = Iterable[str] | Mapping[str, Callable[[Any, str], Any] | None]


@shows(DeploymentOptions)
def sensitivity(
    model: nn.Module | Callable[[], nn.Module],
    formats: Candidates,
    *,
    evaluate: Callable[[Any], Any],
    inputs: Any = None,
    layers: Iterable[str] | None = None,
    graph: Graph | None = None,
    sizes: Mapping[str, SupportsIndex] | None = None,
    kernels: str = "engine",
    on: Deployment | None = None,
    maximize: bool = True,
    resume: str | PathLike[str] | None = None,
    progress: bool | Callable[[int, int], None] | None = None,
    **options: Unpack[DeploymentOptions],
) -> Sensitivity:
    """Measure the accuracy that each layer loses in each format, and predict the saving on a machine.

    For each layer and format, a fresh copy of the model gets the format in that layer alone and is evaluated. How it
    gets it is a column of the result: int8 of linear layers by torchao, 16 bits by a cast, 2:4 by zeros, and all other
    formats by rounding the weights, and the inputs of layers with narrow activations, to the values that the format can
    hold. Costs are estimates of the model's graph with the kernels of that format, and so include kernels that quantize
    activations and the effect of fusion. Then each format is evaluated and estimated in all layers that it applies to,
    for comparison with the sums of the single layers. `allocate` chooses a format for each layer.

    Args:
        model: A module, which is copied for each evaluation, or a callable that returns the same model each time.
        formats: Names of formats of `whatif` (`"int8_wo"`, `"fp16"`, `"int4_wo:64"`) and `"2:4"`. A mapping of names to
            callables applies your own: `candidate(copy, path)` returns the copy with the layer at that path changed.
            Under the name of a format, the costs of the format apply; under another name, the changed module is
            captured. None as a callable stands for the format as above.
        evaluate: Returns the accuracy of a module; higher is better.
        inputs: Inputs of one forward, to predict it: a tuple of positional inputs, a lone input, a mapping of keyword
            inputs, or an `Inputs` with both kinds. Static formats take the range of activations from it.
        layers: Paths of modules, names of weights of experts, or patterns such as `"*.mlp.*"`, whose matches get the
            same format together, as one layer. None takes each layer with a product alone.
        graph: Graph to predict costs for, in place of a forward of `inputs`, such as `capture("hf:model#decode")`; its
            modules have the paths of the model's.
        sizes: Values of its named sizes.
        kernels: Kernels of the formats, `"engine"` or `"torchao"`, as in `whatif`.
        on: Deployment; keywords override its fields. Its precision applies to layers without a format in the
            prediction; evaluations run the model as it is. A price gives `saved_usd`.
        maximize: False if `evaluate` returns a loss; lower is better then.
        resume: Path of a JSONL file to which accuracies are appended and from which they are read instead of being
            evaluated again. It identifies the model's weights, the shapes of inputs, formats and how they are applied,
            and neither the machine nor your own functions: it serves other machines, and other functions need another
            file.
        progress: True reports evaluations on stderr, None only if it is a terminal, False never; a function is called
            with the number of finished evaluations and of all.
        **options: Fields of `Deployment`, such as `hardware`, which take precedence over `on`.

    Returns:
        The sensitivity of all layers.

    Raises:
        TradeoffError: Formats, layers or settings are invalid, the unchanged model fails, or the file to resume from
            has other settings.
        FormatError: There is no such format.
        TypeError: The model is neither a module nor a callable that makes one, or an argument has the wrong type.
        ValueError: Hardware, precision, execution or price is unknown.
        ImportError: Torch is not installed.

    Examples:
        >>> net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> images = torch.randn(256, 784, generator=torch.Generator().manual_seed(0))
        >>> labels = net(images).argmax(1)
        >>> def evaluate(model):
        ...     return (model(images).argmax(1) == labels).float().mean().item()
        >>> found = ic.sensitivity(net, ["int8_wo"], evaluate=evaluate, inputs=images[:1], hardware="l4")
        >>> [(row.layer, row.format, row.saved_bytes) for row in found.rows]
        [('0', 'int8_wo', 300416), ('2', 'int8_wo', 3790)]
    """
    deployment = deployment_of(on, options)
    choices = _choices(formats, captured=graph is None)
    if not callable(evaluate):
        raise InputTypeError(
            f"evaluate is of type {type(evaluate).__name__}; expected a callable from a model to a number"
        )
    if graph is None and inputs is None:
        raise TradeoffError("neither inputs nor graph is given; pass inputs of one forward to predict it")
    machine = deployment.machine
    try:
        from .modules import described, maker_of
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            "a sensitivity runs torch, which is not installed; run pip install 'pyinfercost[torch]'", name=error.name
        ) from error
    make, original, signature = maker_of(model)
    captured = capture(make().eval(), inputs) if graph is None else graph
    settings = {
        "model": signature,
        "inputs": described(inputs),
        "torchao": _version("torchao"),
        "pyinfercost": __version__,
    }
    mixing = Mixing(
        make=make,
        model=original,
        evaluate=evaluate,
        inputs=inputs,
        graph=captured,
        on=deployment,
        sizes={name: int(size) for name, size in (sizes or {}).items()},
        kernels=kernels,
        choices=choices,
        layers={
            each.name: each for each in layers_in(captured, layers, (path for path, _ in original.named_modules()))
        },
        journal=Journal(resume, settings, KIND),
    )
    first, rows, whole = _Study(mixing, maximize, progress).all()
    return Sensitivity(
        model=type(original).__name__,
        hardware=machine.id,
        precision=deployment.precision,
        execution=deployment.execution,
        engine=deployment.engine,
        kernels=kernels,
        maximize=maximize,
        original=first,
        rows=tuple(rows),
        whole=tuple(whole),
        mixer=mixing,
    )


class _Study:
    """All evaluations and estimates of a sensitivity.

    Args:
        mixing: Evaluates and predicts mixes of formats.
        maximize: Whether more accuracy is better.
        progress: As in `sensitivity`.
    """

    def __init__(self, mixing: Mixing, maximize: bool, progress: bool | Callable[[int, int], None] | None) -> None:
        self._mixing, self._maximize, self._progress = mixing, maximize, progress

    def all(self) -> tuple[MixedFigures, list[FormatSensitivity], list[WholeFormat]]:
        """Return the unchanged model, the rows, and the formats in all layers."""
        mixing = self._mixing
        predicted = mixing.figures({})  # an unknown size or machine fails here, before anything is evaluated
        saved = [self._saved(name, form, predicted) for name in mixing.layers for form in mixing.choices]
        possible = {form: [row for row in saved if row.format == form and row.error is None] for form in mixing.choices}
        for row in saved:  # rejects candidates that differ from the file, before anything is evaluated
            if row.error is None:
                mixing.stored({row.layer: row.format})
        say = Saying(
            self._progress,
            1 + sum(map(len, possible.values())) + sum(1 for rows in possible.values() if rows),
            "sensitivity",
        )
        say(ORIGINAL)
        try:
            accuracy = mixing.accuracy({})
        except Exception as error:
            raise TradeoffError(f"the unchanged model fails: {told(error)}") from error
        original = _with(predicted, accuracy, 0.0)
        rows = []
        for row in saved:
            if row.error is None:
                say(f"{row.format} of {row.layer or 'the model'}")
                row = self._evaluated(row, accuracy)  # noqa: PLW2901
            rows.append(row)
        whole = []
        for form, those in possible.items():
            if those:
                say(f"{form} of all {len(those)}")
                whole.append(
                    self._whole(form, [row for row in rows if row.format == form and row.applicable], original)
                )
        say.done()
        return original, rows, whole

    def _saved(self, name: str, form: str, original: MixedFigures) -> FormatSensitivity:
        """Return the saving of a format in one layer, or why it does not apply."""
        try:
            applied = self._mixing.method(name, form)
            figures = self._mixing.figures({name: form})
        except (FormatError, NotApplicableError) as error:
            return FormatSensitivity(layer=name, format=form, applicable=False, error=str(error))
        except Exception as error:
            if self._mixing.choices[form].candidate is None:
                raise
            return FormatSensitivity(layer=name, format=form, applied="own", error=told(error))
        return FormatSensitivity(
            layer=name,
            format=form,
            applied=applied,
            saved_s=original.latency_s - figures.latency_s,
            saved_j=_less(original.energy_j, figures.energy_j),
            saved_usd=_less(original.cost_usd, figures.cost_usd),
            saved_bytes=original.parameter_bytes - figures.parameter_bytes,
        )

    def _evaluated(self, row: FormatSensitivity, original: float) -> FormatSensitivity:
        """Return a row with its accuracy; a failure is its error, and stays out of the file to resume from."""
        try:
            accuracy = self._mixing.accuracy({row.layer: row.format})
        except NotApplicableError as error:
            return FormatSensitivity(layer=row.layer, format=row.format, applicable=False, error=str(error))
        except TradeoffError:
            raise  # the file has another candidate of that name
        except Exception as error:
            return replace(row, error=told(error))
        return replace(row, accuracy=accuracy, lost=lost(accuracy, original, maximize=self._maximize))

    def _whole(self, form: str, rows: list[FormatSensitivity], original: MixedFigures) -> WholeFormat:
        losses = [row.lost for row in rows]
        formats = {row.layer: form for row in rows}
        figures = self._mixing.figures(formats)
        whole = WholeFormat(
            format=form,
            layers=len(rows),
            added_lost=None if None in losses else sum(each for each in losses if each is not None),
            added_latency_s=original.latency_s - sum(row.saved_s or 0.0 for row in rows),
            figures=figures,
        )
        try:
            accuracy = self._mixing.accuracy(formats)
        except TradeoffError:
            raise
        except Exception as error:
            return replace(whole, error=told(error))
        less = lost(accuracy, original.accuracy, maximize=self._maximize)
        return replace(whole, figures=_with(figures, accuracy, less))


def _choices(formats: Candidates, *, captured: bool) -> dict[str, Choice]:
    """Return the choices by name, checked before anything runs."""
    if isinstance(formats, str):
        raise InputTypeError(f"formats is {formats!r}; expected names of formats, such as [{formats!r}]")
    given = formats if isinstance(formats, Mapping) else dict.fromkeys(formats)
    if not given:
        raise TradeoffError("formats is empty; expected names of formats, such as ['int8_wo', 'fp16']")
    choices = {}
    for name, candidate in given.items():
        if not isinstance(name, str) or not name:
            raise InputTypeError(f"a format is named {name!r}; expected the name of a format, such as 'int8_wo'")
        if name == ORIGINAL:
            raise TradeoffError(f"format {ORIGINAL!r} is reserved for unchanged layers; pass another name")
        if candidate is not None and not callable(candidate):
            raise InputTypeError(f"format {name!r} is of type {type(candidate).__name__}; expected a callable or None")
        if candidate is not None and not takes(candidate, 2):
            raise InputTypeError(
                f"candidate {name!r} does not take the path of a layer; expected candidate(model, path)"
            )
        choice = choice_of(name, candidate)
        if choice.form is None and not captured:
            raise TradeoffError(
                f"{name!r} is no format, and its cost needs a capture of the changed module; pass inputs in place "
                "of graph, or the name of a format"
            )
        choices[name] = choice
    return choices


def _with(figures: MixedFigures, accuracy: float, less: float | None) -> MixedFigures:
    return replace(figures, accuracy=accuracy, lost=less)


def _less(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else before - after


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None

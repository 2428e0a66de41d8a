"""Sensitivity of layers: accuracy and cost of each layer in each format, and the formats chosen for a limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import UnknownNameError
from .declared import declared, fact, figure
from .figures import LESS, MORE
from .result import Result
from .tradeoff import ORIGINAL

if TYPE_CHECKING:
    from .._core import Graph

ADDED = ("latency_s", "energy_j", "cost_usd", "parameter_bytes")
"""Costs whose savings of single layers are added up. The peak of memory is a maximum, and is not."""


@declared
class MixedFigures:
    """Accuracy and predicted cost of the model with some layers in other formats."""

    accuracy: float | None = figure("Result of `evaluate`, in its own unit; None if it was not evaluated or failed.")
    lost: float | None = figure(
        "Accuracy lost against the original: less accuracy, or more loss; below 0 for a better model.", better=LESS
    )
    latency_s: float = figure("Predicted seconds of one forward.", better=LESS)
    latency_low_s: float = figure("The lower end of their band.")
    latency_high_s: float = figure("The upper end of the band.")
    energy_j: float | None = figure("Joules of one forward; None if the machine's power is unknown.", better=LESS)
    cost_usd: float | None = figure("USD of one item of the batch; None without a price.", better=LESS)
    parameter_bytes: int = figure("Weights.", better=LESS)
    peak_memory_bytes: int = figure("Weights and activations at their peak.", better=LESS)


@declared
class FormatSensitivity:
    """One layer, or one group of layers, in one format, with all others unchanged."""

    layer: str = fact("Path of the layer, or the pattern of the group.")
    format: str = fact("The format, or the name of the caller's candidate.")
    applied: str = fact(
        'How the evaluated model has the format: `"torchao"`, `"cast"`, `"rounded"` (values rounded to those that the '
        'format can hold, and computed in floating point), `"zeros"` (2:4 zeros) or `"own"`.',
        default="",
    )
    accuracy: float | None = figure("Result of `evaluate`; None if the format does not apply, or failed.", default=None)
    lost: float | None = figure(
        "Accuracy lost against the original; below 0 for a better model.", default=None, better=LESS
    )
    saved_s: float | None = figure(
        "Predicted seconds that one forward of the whole model saves; below 0 if it becomes slower.",
        default=None,
        better=MORE,
    )
    saved_j: float | None = figure(
        "Joules that it saves; None if the machine's power is unknown.", default=None, better=MORE
    )
    saved_usd: float | None = figure(
        "USD that it saves per item of the batch; None without a price.", default=None, better=MORE
    )
    saved_bytes: int | None = figure("Bytes of weights that it saves.", default=None, better=MORE)
    applicable: bool = fact("False if the format has no kernel for the layer.", default=True)
    error: str | None = fact("The failure, or why the format does not apply; None without one.", default=None)


@declared
class WholeFormat:
    """One format in all layers that it applies to: sums of the single layers next to figures of the whole."""

    format: str = fact("The format.")
    layers: int = fact("Number of layers that have it.")
    added_lost: float | None = figure(
        "Sum of what the layers lose one by one; None if one of them failed.", better=LESS
    )
    added_latency_s: float = figure(
        "Latency of the original less the sum of savings of the layers one by one.", better=LESS
    )
    figures: MixedFigures = fact("Evaluation and estimate of the model with all of them.")
    error: str | None = fact("The failure, in words; None without one.", default=None)


class Mixer(Protocol):
    """What evaluates and predicts a model with some layers in other formats."""

    def figures(self, formats: Mapping[str, str]) -> MixedFigures:
        """Return the predicted costs of a combination, without its accuracy."""

    def accuracy(self, formats: Mapping[str, str]) -> float:
        """Return the accuracy of a combination."""

    def graph_of(self, formats: Mapping[str, str]) -> Graph:
        """Return the graph of a combination."""

    def policies(self, formats: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the arguments `quantize` and `prune` of `whatif` for a combination."""

    def module(self, formats: Mapping[str, str]) -> Any:
        """Return a fresh module that has a combination."""


@declared
class _Mixed(Result):
    """What sensitivities and allocations have."""

    model: str = fact("Class of the model.")
    hardware: str = fact("The machine of the predictions.")
    precision: str = fact("The dtype of layers without a format.")
    execution: str = fact("How the model runs.")
    kernels: str = fact("Kernels of formats, as in `whatif`.")
    maximize: bool = fact("Whether more accuracy is better; False if `evaluate` returns a loss.")
    original: MixedFigures = fact("The unchanged model.")
    whole: tuple[WholeFormat, ...] = fact("The same figures for each format in all layers that it applies to.")
    mixer: Mixer = fact("What evaluates and predicts combinations.", inner=True, compare=False)


@declared
class Sensitivity(_Mixed):
    """Accuracy that each layer loses in each format, with its saving on the machine.

    `print(result)` shows one row per layer and format, and what all layers together lose and save. `allocate` chooses
    formats from it.
    """

    document_key = "sensitivity"
    rows_of = "rows"

    engine: str = fact("What runs the model.")
    rows: tuple[FormatSensitivity, ...] = fact("One per layer and format, layers in the order of the model.")

    def __getitem__(self, key: tuple[str, str]) -> FormatSensitivity:
        """Return a row by its layer and format.

        Raises:
            UnknownNameError: There is no such row.
        """
        for row in self.rows:
            if (row.layer, row.format) == key:
                return row
        raise UnknownNameError(
            f"there is no row {key!r}; expected a layer of {self.layers}, a format of {self.formats}"
        )

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in the order of the model."""
        return tuple(dict.fromkeys(row.layer for row in self.rows))

    @property
    def formats(self) -> tuple[str, ...]:
        """Names of the formats."""
        return tuple(dict.fromkeys(row.format for row in self.rows))


@declared
class AllocatedLayer:
    """The format of one layer in an allocation, with its figures alone."""

    layer: str = fact("Path of the layer, or the pattern of the group.")
    format: str = fact('Its format; `"original"` if it is unchanged.', default=ORIGINAL)
    applied: str = fact("How the evaluated model has it, as in a row of the sensitivity.", default="")
    lost: float = figure("Accuracy that it loses alone.", default=0.0, better=LESS)
    saved_s: float = figure("Seconds that it saves alone.", default=0.0, better=MORE)
    saved_bytes: int = figure("Bytes of weights that it saves alone.", default=0, better=MORE)


@declared
class Allocation(_Mixed):
    """Formats chosen for the layers of a model, within limits."""

    document_key = "allocation"
    rows_of = "layers"

    method: str = fact('`"exact"` or `"greedy"`.')
    limits: Mapping[str, float] = fact("Figure -> the most that it may be.")
    minimized: str = fact("The figure that is minimized.")
    layers: tuple[AllocatedLayer, ...] = fact("One per layer.")
    added: Mapping[str, float | None] = fact(
        "Sums over the layers: what the choice was made by. Accuracy losses below 0 count as 0."
    )
    together: MixedFigures = fact("The model with all chosen formats, estimated and evaluated anew.")
    holds: bool = fact("Whether `together` is within the limits.")
    rounds: int = fact("Combinations that were tried, since sums differ from figures of the whole.")
    optimal: bool = fact("Whether no other choice has a smaller sum of the minimized figure within the limits on sums.")
    quantize: Mapping[str, str] = fact("Layer or pattern -> format: argument of `whatif` that gives the graph.")
    prune: Mapping[str, str] = fact("The same, for 2:4 zeros.")

    @property
    def formats(self) -> dict[str, str]:
        """Layer -> format, without layers that are unchanged."""
        return {layer.layer: layer.format for layer in self.layers if layer.format != ORIGINAL}

    def module(self) -> Any:
        """Return a fresh module that has the formats, as it was evaluated.

        Layers whose format is `"rounded"` compute in floating point: the module has the accuracy of the choice, and
        not its time.
        """
        return self.mixer.module(self.formats)

    def graph(self) -> Graph:
        """Return the graph with the kernels of the formats, to count, estimate and sweep."""
        return self.mixer.graph_of(self.formats)

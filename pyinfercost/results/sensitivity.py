"""Sensitivity of layers: accuracy and cost of each layer in each format, and the formats chosen for a limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import UnknownNameError
from .result import Result
from .tradeoff import ORIGINAL

if TYPE_CHECKING:
    from .._core import Graph

ADDED = ("latency_s", "energy_j", "cost_usd", "parameter_bytes")
"""Costs whose savings of single layers are added up. The peak of memory is a maximum, and is not."""


@dataclass(frozen=True)
class MixedFigures:
    """Accuracy and predicted cost of the model with some layers in other formats.

    Attributes:
        accuracy: Result of `evaluate`, in its own unit; None if it was not evaluated or failed.
        lost: Accuracy lost against the original: less accuracy, or more loss; below 0 for a better model.
        latency_s: Predicted seconds of one forward; the same with `_low` and `_high` are its band.
        latency_low_s: The lower end of the band.
        latency_high_s: The upper end of the band.
        energy_j: Joules of one forward; None if the machine's power is unknown.
        cost_usd: USD of one item of the batch; None without a price.
        parameter_bytes: Weights.
        peak_memory_bytes: Weights and activations at their peak.
    """

    accuracy: float | None
    lost: float | None
    latency_s: float
    latency_low_s: float
    latency_high_s: float
    energy_j: float | None
    cost_usd: float | None
    parameter_bytes: int
    peak_memory_bytes: int


@dataclass(frozen=True)
class FormatSensitivity:
    """One layer, or one group of layers, in one format, with all others unchanged.

    Attributes:
        layer: Path of the layer, or the pattern of the group.
        format: The format, or the name of the caller's candidate.
        applied: How the evaluated model has the format: `"torchao"`, `"cast"`, `"rounded"` (values rounded to those
            that the format can hold, and computed in floating point), `"zeros"` (2:4 zeros) or `"own"`.
        accuracy: Result of `evaluate`; None if the format does not apply, or failed.
        lost: Accuracy lost against the original; below 0 for a better model.
        saved_s: Predicted seconds that one forward of the whole model saves; below 0 if it becomes slower.
        saved_j: Joules that it saves; None if the machine's power is unknown.
        saved_usd: USD that it saves per item of the batch; None without a price.
        saved_bytes: Bytes of weights that it saves.
        applicable: False if the format has no kernel for the layer.
        error: The failure, or why the format does not apply; None without one.
    """

    layer: str
    format: str
    applied: str = ""
    accuracy: float | None = None
    lost: float | None = None
    saved_s: float | None = None
    saved_j: float | None = None
    saved_usd: float | None = None
    saved_bytes: int | None = None
    applicable: bool = True
    error: str | None = None


@dataclass(frozen=True)
class WholeFormat:
    """One format in all layers that it applies to: sums of the single layers beside figures of the whole.

    Attributes:
        format: The format.
        layers: Number of layers that have it.
        added_lost: Sum of what the layers lose one by one; None if one of them failed.
        added_latency_s: Latency of the original less the sum of savings of the layers one by one.
        figures: Evaluation and estimate of the model with all of them.
        error: The failure, in words; None without one.
    """

    format: str
    layers: int
    added_lost: float | None
    added_latency_s: float
    figures: MixedFigures
    error: str | None = None


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


@dataclass(frozen=True)
class Sensitivity(Result):
    """Accuracy that each layer loses in each format, beside what that saves on the machine.

    `print(result)` shows one row per layer and format, and what all layers together lose and save. `allocate` chooses
    formats from it.

    Attributes:
        model: Class of the model.
        hardware: The machine of the predictions.
        precision: The dtype of layers without a format.
        execution: How the model runs.
        engine: What runs the model.
        kernels: Kernels of formats, as in `whatif`.
        maximize: Whether more accuracy is better; False if `evaluate` returns a loss.
        original: The unchanged model.
        rows: One per layer and format, layers in the order of the model.
        whole: One per format.
        mixer: What evaluates and predicts combinations.
    """

    model: str
    hardware: str
    precision: str
    execution: str
    engine: str
    kernels: str
    maximize: bool
    original: MixedFigures
    rows: tuple[FormatSensitivity, ...]
    whole: tuple[WholeFormat, ...]
    mixer: Mixer = field(repr=False, compare=False)

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


@dataclass(frozen=True)
class AllocatedLayer:
    """The format of one layer in an allocation, with its figures alone.

    Attributes:
        layer: Path of the layer, or the pattern of the group.
        format: Its format; `"original"` if it is unchanged.
        applied: How the evaluated model has it, as in a row of the sensitivity.
        lost: Accuracy that it loses alone.
        saved_s: Seconds that it saves alone.
        saved_bytes: Bytes of weights that it saves alone.
    """

    layer: str
    format: str
    applied: str
    lost: float
    saved_s: float
    saved_bytes: int


@dataclass(frozen=True)
class Allocation(Result):
    """Formats chosen for the layers of a model, within limits.

    Attributes:
        model: Class of the model.
        hardware: The machine of the predictions.
        precision: The dtype of layers without a format.
        execution: How the model runs.
        kernels: Kernels of formats, as in `whatif`.
        maximize: Whether more accuracy is better.
        method: `"exact"` or `"greedy"`.
        limits: Figure -> the most that it may be.
        minimized: The figure that is minimized.
        layers: One per layer.
        original: The unchanged model.
        added: Sums over the layers: what the choice was made by. Accuracy losses below 0 count as 0.
        together: The model with all chosen formats, estimated and evaluated anew.
        holds: Whether `together` is within the limits.
        rounds: Combinations that were tried, since sums differ from figures of the whole.
        optimal: Whether no other choice has a smaller sum of the minimized figure within the limits on sums.
        whole: The same figures for one format in all layers, for comparison.
        quantize: Argument of `whatif` that gives the graph of the choice.
        prune: The same, for 2:4 zeros.
        mixer: What evaluates and predicts combinations.
    """

    model: str
    hardware: str
    precision: str
    execution: str
    kernels: str
    maximize: bool
    method: str
    limits: Mapping[str, float]
    minimized: str
    layers: tuple[AllocatedLayer, ...]
    original: MixedFigures
    added: Mapping[str, float | None]
    together: MixedFigures
    holds: bool
    rounds: int
    optimal: bool
    whole: tuple[WholeFormat, ...]
    quantize: Mapping[str, str]
    prune: Mapping[str, str]
    mixer: Mixer = field(repr=False, compare=False)

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

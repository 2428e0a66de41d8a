"""Trade-offs between accuracy and cost: one row per candidate, and one per candidate and layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import UnknownNameError
from .result import Result

ORIGINAL = "original"
"""Name of the row of the unchanged model."""


@dataclass(frozen=True)
class TradeoffRow:
    """One candidate: its accuracy, its predicted cost, and its measured time.

    Attributes:
        name: The candidate's name; `"original"` for the unchanged model.
        accuracy: Result of `evaluate`, in its own unit; None if it failed.
        lost: Accuracy lost against the original: less accuracy, or more loss; below 0 for a better candidate.
        latency_s: Predicted seconds of one forward; the same with `_low` and `_high` are its band.
        latency_low_s: The lower end of the band.
        latency_high_s: The upper end of the band.
        peak_memory_bytes: Weights and activations at their peak.
        parameter_bytes: Weights.
        energy_j: Joules of one forward; None if the machine's power is unknown.
        cost_usd: USD of one item of the batch; None without a price.
        measured_s: Median seconds of one forward on this machine; None if it was not measured.
        measured_low_s: The lower quartile.
        measured_high_s: The upper quartile.
        zero_share: Share of the weights' elements that are zero, biases included; None if they cannot be scanned.
        structure: Strictest N:M structure of all groups of all matrices, such as `"2:4"`; empty for none.
        zero_rows: Output channels (rows of weights) that are wholly zero.
        unmodelled: Nodes of the forward that the prediction does not cover.
        error: The failure, in words; None without one.
        training_steps: Steps of the candidate's training; None, like all below, for a candidate without one.
        training_hardware: Machine of its predicted cost; empty if it is unknown.
        training_s: Predicted seconds of the training.
        training_j: Predicted joules; None if the machine's power is unknown.
        training_usd: Predicted USD; None without a price.
        training_why_not: The reason why the training has no predicted cost; empty if it has.
        measured_training_s: Seconds of the training on this machine.
        measured_training_j: Joules by its counter; None if none is readable.
        break_even_inferences: Predicted number of inferences (forwards of the same inputs) whose savings pay for the
            training, in USD if prices are known, else in seconds of one machine; None if it never pays, or is unknown.
        break_even: The number or the reason why there is none, in words; empty without a training.
        measured_break_even_inferences: The same of the measured seconds of training and inference.
        measured_break_even: The same in words.
    """

    name: str
    accuracy: float | None = None
    lost: float | None = None
    latency_s: float | None = None
    latency_low_s: float | None = None
    latency_high_s: float | None = None
    peak_memory_bytes: int | None = None
    parameter_bytes: int | None = None
    energy_j: float | None = None
    cost_usd: float | None = None
    measured_s: float | None = None
    measured_low_s: float | None = None
    measured_high_s: float | None = None
    zero_share: float | None = None
    structure: str = ""
    zero_rows: int | None = None
    unmodelled: int = 0
    error: str | None = None
    training_steps: int | None = None
    training_hardware: str = ""
    training_s: float | None = None
    training_j: float | None = None
    training_usd: float | None = None
    training_why_not: str = ""
    measured_training_s: float | None = None
    measured_training_j: float | None = None
    break_even_inferences: float | None = None
    break_even: str = ""
    measured_break_even_inferences: float | None = None
    measured_break_even: str = ""


@dataclass(frozen=True)
class LayerSensitivity:
    """One candidate applied to one layer alone.

    Attributes:
        candidate: Its name.
        module: The path of the layer.
        accuracy: Result of `evaluate`; None if it failed.
        lost: Accuracy lost against the original, as in a row.
        applicable: False if the candidate has nothing to change in the layer.
        error: The failure, in words; None without one.
    """

    candidate: str
    module: str
    accuracy: float | None = None
    lost: float | None = None
    applicable: bool = True
    error: str | None = None


@dataclass(frozen=True)
class Tradeoff(Result):
    """Accuracy beside cost, one row per candidate, the unchanged model first.

    `print(result)` shows the candidates, failures, and the accuracy that each candidate loses per layer.

    Attributes:
        model: Class of the model.
        hardware: The machine of the predictions.
        precision: The dtype of the predictions.
        execution: How the model runs.
        maximize: Whether more accuracy is better; False if `evaluate` returns a loss.
        settings: Everything that the figures depend on, as in a file to resume from.
        rows: One per candidate.
        layers: One per candidate and layer; empty without `per_layer`.
    """

    model: str
    hardware: str
    precision: str
    execution: str
    maximize: bool
    settings: Mapping[str, Any] = field(repr=False)
    rows: tuple[TradeoffRow, ...]
    layers: tuple[LayerSensitivity, ...] = ()

    def __getitem__(self, name: str) -> TradeoffRow:
        """Return a row by the name of its candidate.

        Raises:
            UnknownNameError: No candidate has the name.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise UnknownNameError(f"no candidate is called {name!r}; there are {[row.name for row in self.rows]}")

"""Trade-offs between accuracy and cost: one row per candidate, and one per candidate and layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UnknownNameError
from .declared import declared, fact, figure
from .figures import LESS
from .result import Result

ORIGINAL = "original"
"""Name of the row of the unchanged model."""


@declared
class TradeoffRow:
    """One candidate: its accuracy, its predicted cost, and its measured time."""

    name: str = fact('The candidate\'s name; `"original"` for the unchanged model.')
    accuracy: float | None = figure("Result of `evaluate`, in its own unit; None if it failed.", default=None)
    lost: float | None = figure(
        "Accuracy lost against the original: less accuracy, or more loss; below 0 for a better candidate.",
        default=None,
        better=LESS,
    )
    latency_s: float | None = figure("Predicted seconds of one forward.", default=None, better=LESS)
    latency_low_s: float | None = figure("The lower end of their band.", default=None)
    latency_high_s: float | None = figure("The upper end of the band.", default=None)
    peak_memory_bytes: int | None = figure("Weights and activations at their peak.", default=None, better=LESS)
    parameter_bytes: int | None = figure("Weights.", default=None, better=LESS)
    energy_j: float | None = figure(
        "Joules of one forward; None if the machine's power is unknown.", default=None, better=LESS
    )
    cost_usd: float | None = figure("USD of one item of the batch; None without a price.", default=None, better=LESS)
    measured_s: float | None = figure(
        "Median seconds of one forward on this machine; None if it was not measured.", default=None, better=LESS
    )
    measured_low_s: float | None = figure("The lower quartile.", default=None)
    measured_high_s: float | None = figure("The upper quartile.", default=None)
    zero_share: float | None = figure(
        "Share of the weights' elements that are zero, biases included; None if they cannot be scanned.", default=None
    )
    structure: str = fact(
        'Strictest N:M structure of all groups of all matrices, such as `"2:4"`; empty for none.', default=""
    )
    zero_rows: int | None = figure("Output channels (rows of weights) that are wholly zero.", default=None)
    unmodelled: int = fact("Nodes of the forward that the prediction does not cover.", default=0)
    error: str | None = fact("The failure, in words; None without one.", default=None)
    training_steps: int | None = fact(
        "Steps of the candidate's training; None, like all below, for a candidate without one.", default=None
    )
    training_hardware: str = fact("Machine of its predicted cost; empty if it is unknown.", default="")
    training_s: float | None = figure("Predicted seconds of the training.", default=None, better=LESS)
    training_j: float | None = figure(
        "Predicted joules; None if the machine's power is unknown.", default=None, better=LESS
    )
    training_usd: float | None = figure("Predicted USD; None without a price.", default=None, better=LESS)
    training_why_not: str = fact("The reason why the training has no predicted cost; empty if it has.", default="")
    measured_training_s: float | None = figure("Seconds of the training on this machine.", default=None, better=LESS)
    measured_training_j: float | None = figure(
        "Joules by its counter; None if none is readable.", default=None, better=LESS
    )
    break_even_inferences: float | None = figure(
        "Predicted number of inferences (forwards of the same inputs) whose savings pay for the training, in USD if "
        "prices are known, else in seconds of one machine; None if it never pays, or is unknown.",
        default=None,
        better=LESS,
    )
    break_even: str = fact(
        "The number or the reason why there is none, in words; empty without a training.", default=""
    )
    measured_break_even_inferences: float | None = figure(
        "The same of the measured seconds of training and inference.", default=None, better=LESS
    )
    measured_break_even: str = fact("The same in words.", default="")


@declared
class LayerSensitivity:
    """One candidate applied to one layer alone."""

    candidate: str = fact("Its name.")
    module: str = fact("The path of the layer.")
    accuracy: float | None = figure("Result of `evaluate`; None if it failed.", default=None)
    lost: float | None = figure("Accuracy lost against the original, as in a row.", default=None, better=LESS)
    applicable: bool = fact("False if the candidate has nothing to change in the layer.", default=True)
    error: str | None = fact("The failure, in words; None without one.", default=None)


@declared
class Tradeoff(Result):
    """Accuracy against cost, one row per candidate, the unchanged model first.

    `print(result)` shows the candidates, failures, and the accuracy that each candidate loses per layer.
    """

    document_key = "tradeoff"
    rows_of = "rows"

    model: str = fact("Class of the model.")
    hardware: str = fact("The machine of the predictions.")
    precision: str = fact("The dtype of the predictions.")
    execution: str = fact("How the model runs.")
    maximize: bool = fact("Whether more accuracy is better; False if `evaluate` returns a loss.")
    settings: Mapping[str, Any] = fact("Everything that the figures depend on, as in a file to resume from.")
    rows: tuple[TradeoffRow, ...] = fact("One per candidate.")
    layers: tuple[LayerSensitivity, ...] = fact("One per candidate and layer; empty without `per_layer`.", default=())

    def __getitem__(self, name: str) -> TradeoffRow:
        """Return a row by the name of its candidate.

        Raises:
            UnknownNameError: No candidate has the name.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise UnknownNameError(f"no candidate is called {name!r}; there are {[row.name for row in self.rows]}")

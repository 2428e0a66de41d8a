"""The result of a trade-off: one row per candidate, and one per candidate and layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .result import Result

ORIGINAL = "original"
"""The name of the unchanged model's row."""


@dataclass(frozen=True)
class TradeoffRow:
    """One candidate: what `evaluate` said of it, what it is predicted to cost, and what it took here.

    Attributes:
        name: the candidate's name; `"original"` for the unchanged model.
        accuracy: what `evaluate` returned, in its own unit; None where that failed.
        lost: accuracy lost against the original: less accuracy, or more loss; below 0 where the candidate is better.
        latency_s: predicted seconds of one forward; the same with `_low` and `_high` are its band.
        latency_low_s: the lower end of the band.
        latency_high_s: the upper end of the band.
        peak_memory_bytes: weights and activations at their peak.
        parameter_bytes: weights.
        energy_j: joules of one forward; None where the machine's power is not known.
        cost_usd: USD of one item of the batch; None without a price.
        measured_s: seconds of one forward here, the median; None where nothing was measured.
        measured_low_s: the lower quartile.
        measured_high_s: the upper quartile.
        zero_share: share of the weights' elements that are zero, biases included; None where they cannot be scanned.
        structure: the strictest N:M structure that all groups of all matrices have, such as `"2:4"`; empty for none.
        zero_rows: output channels (rows of weights) that are wholly zero.
        unmodelled: nodes of the forward that the prediction does not cover.
        error: what failed, in words; None where nothing did.
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


@dataclass(frozen=True)
class LayerSensitivity:
    """One candidate applied to one layer alone.

    Attributes:
        candidate: its name.
        module: the path of the layer.
        accuracy: what `evaluate` returned; None where something failed.
        lost: accuracy lost against the original, as in a row.
        applicable: False where the candidate has nothing to change in such a layer.
        error: what failed, in words; None where nothing did.
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

    `print(result)` shows the table, what failed, and per layer what each candidate loses.

    Attributes:
        model: the class of the model.
        hardware: the machine that was predicted for.
        precision: in which precision.
        execution: and how it runs.
        maximize: whether more accuracy is better; False where `evaluate` returns a loss.
        settings: all that the figures depend on, as it stands in a file to resume from.
        rows: one per candidate.
        layers: one per candidate and layer; empty unless `per_layer` was asked for.
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
        """A row by the name of its candidate.

        Raises:
            KeyError: there is none of that name.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no candidate is called {name!r}; there are {[row.name for row in self.rows]}")

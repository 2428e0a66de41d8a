"""Break-even of a training: the number of inferences whose savings pay for it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from .._checks import Range, number
from ..results.tradeoff import TradeoffRow
from ..results.units import significant
from . import TradeoffError

_AMOUNT = Range(0, 1e30)
_RATE = Range(1e-12, 1e15, "inferences per second")
_SECONDS_PER_DAY = 86400
_MILLION = 1_000_000


@dataclass(frozen=True)
class BreakEven:
    """Number of inferences after which a training has paid for itself.

    Attributes:
        inferences: Number of forwards of the same inputs; None if it never pays, or is unknown.
        unit: Unit of the comparison: `"USD"`, `"J"` or `"s"`; empty if it is unknown.
        text: The number, or the reason why there is none, in words.
    """

    inferences: float | None
    unit: str
    text: str

    def days_at(self, per_s: float) -> float | None:
        """Return the days after which it has paid for itself, at a rate of inferences per second.

        Raises:
            TradeoffError: The rate is no number above 0.
        """
        rate = number(per_s, "per_s", _RATE, TradeoffError)
        return None if self.inferences is None else self.inferences / rate / _SECONDS_PER_DAY


def break_even(training: float | None, before: float | None, after: float | None, unit: str) -> BreakEven:
    """Return the inferences that pay for a training: `training / (before - after)`.

    Args:
        training: Cost of the training; None if it is unknown.
        before: Cost of an inference of the unchanged model, in the same unit.
        after: Cost of an inference of the trained one.
        unit: The unit, `"USD"`, `"J"` or `"s"`; of seconds, the training and the inferences are on one machine.

    Returns:
        The number; None with the reason if a cost is unknown, or if an inference is not cheaper afterwards, which no
        number of inferences repays.

    Raises:
        TradeoffError: A cost is negative or not finite.
    """
    given = (("training", training), ("before", before), ("after", after))
    missing = [name for name, value in given if value is None]
    if missing or training is None or before is None or after is None:
        return BreakEven(None, "", f"unknown: {_LACKING[missing[0]]} in {unit}")
    for name, value in given:
        number(value, name, _AMOUNT, TradeoffError)
    if training == 0:
        return BreakEven(0.0, unit, "at once: the training costs nothing")
    saved = before - after
    if saved <= 0:
        cost = "as much" if saved == 0 else "more"
        return BreakEven(None, unit, f"never: an inference costs {cost} afterwards")
    found = training / saved
    if not isfinite(found):  # a saving of a last bit
        return BreakEven(None, unit, "never: an inference costs as much afterwards")
    return BreakEven(found, unit, counted(found))


def predicted_break_even(row: TradeoffRow, original: TradeoffRow, hardware: str) -> BreakEven:
    """Return the break-even of the predictions: in USD where prices are known, else in seconds of one machine.

    Args:
        row: A candidate that was trained.
        original: The unchanged model.
        hardware: The machine of their latencies.
    """
    if row.training_why_not:
        return BreakEven(None, "", f"unknown: the training cannot be predicted ({row.training_why_not})")
    if row.training_usd is not None and row.cost_usd is not None and original.cost_usd is not None:
        return break_even(row.training_usd, original.cost_usd, row.cost_usd, "USD")
    if row.training_s is not None and row.training_hardware != hardware:
        return BreakEven(
            None, "", f"unknown: seconds of {row.training_hardware} and of {hardware} do not compare; give prices"
        )
    return break_even(row.training_s, original.latency_s, row.latency_s, "s")


def measured_break_even(row: TradeoffRow, original: TradeoffRow) -> BreakEven:
    """Return the break-even of the measurements, all of which are seconds on this machine."""
    return break_even(row.measured_training_s, original.measured_s, row.measured_s, "s")


def counted(inferences: float) -> str:
    """Return a number of inferences in words: `1.234 M inferences`, `5,678 inferences`."""
    if inferences >= _MILLION:
        return f"{significant(inferences / _MILLION)} M inferences"
    return f"{inferences:,.0f} inferences" if inferences > 1 else "1 inference"


_LACKING = {
    "training": "the cost of the training is not known",
    "before": "the cost of the unchanged model is not known",
    "after": "the cost of the candidate is not known",
}

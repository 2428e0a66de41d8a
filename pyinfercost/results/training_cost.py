"""Cost of a training, predicted and measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingCost:
    """What the training of a candidate cost.

    Attributes:
        steps: Steps that it took.
        hardware: The machine of the prediction.
        predicted_s: Predicted seconds of these steps and of their evaluations: forwards of the teacher, forward and
            backward of the student, and the update of its weights. None if the prediction failed.
        predicted_j: Joules of these; None if the machine's power is unknown.
        predicted_usd: USD of these; None without a price.
        measured_s: Seconds on this machine.
        measured_j: Joules by its counter; None without one.
        why_not: The reason of a prediction that failed; empty otherwise.
    """

    steps: int
    hardware: str = ""
    predicted_s: float | None = None
    predicted_j: float | None = None
    predicted_usd: float | None = None
    measured_s: float | None = None
    measured_j: float | None = None
    why_not: str = ""

    def __add__(self, other: TrainingCost) -> TrainingCost:
        """Return the cost of two trainings, one after the other; what one of them lacks is unknown."""
        return TrainingCost(
            self.steps + other.steps,
            self.hardware if self.hardware == other.hardware else "",
            _sum(self.predicted_s, other.predicted_s),
            _sum(self.predicted_j, other.predicted_j),
            _sum(self.predicted_usd, other.predicted_usd),
            _sum(self.measured_s, other.measured_s),
            _sum(self.measured_j, other.measured_j),
            self.why_not or other.why_not,
        )


def _sum(one: float | None, two: float | None) -> float | None:
    return None if one is None or two is None else one + two

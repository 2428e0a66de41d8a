"""Course and cost of a training: its losses, its seconds and joules, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

Shape: TypeAlias = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Name, dtype and shape of each tensor of a batch; names of positional inputs are their numbers."""


class Evaluation(NamedTuple):
    """The losses at one step of a training.

    Attributes:
        step: Steps done.
        train_loss: Mean loss of the steps since the evaluation before.
        held_out_loss: Mean loss of the held-out batches; None without any.
        learning_rate: Learning rate of the last step.
    """

    step: int
    train_loss: float
    held_out_loss: float | None
    learning_rate: float


@dataclass(frozen=True)
class TrainingRun:
    """Course and measured cost of one training.

    Attributes:
        steps: Steps done.
        planned_steps: Steps of a run that does not end early.
        best_step: Step of the student's weights: the step of the least held-out loss, else the last one.
        evaluations: Losses at the end of each epoch, or of `evaluate_every` steps.
        ended: `"finished"`, `"early"`, `"interrupted"` or `"diverged"`.
        seconds: Seconds of steps and evaluations on this machine, of all parts of a resumed run.
        joules: Joules of the whole processors or the board; None if no counter is readable.
        work: Shape of a batch -> number of its steps, and of forwards of its evaluations.
    """

    steps: int
    planned_steps: int
    best_step: int
    evaluations: tuple[Evaluation, ...]
    ended: str
    seconds: float
    joules: float | None
    work: Mapping[Shape, tuple[int, int]] = field(repr=False)

    @property
    def best_loss(self) -> float | None:
        """Least held-out loss; None without held-out data."""
        losses = [each.held_out_loss for each in self.evaluations if each.held_out_loss is not None]
        return min(losses, default=None)


class DistillationInterrupted(KeyboardInterrupt):
    """A distillation was stopped by Ctrl-C; its state is stored, and the same call continues it.

    Attributes:
        partial: The run so far; at a prompt also `sys.last_value.partial`.
    """

    def __init__(self, partial: TrainingRun, where: str) -> None:
        super().__init__(
            f"stopped after {partial.steps:,} of {partial.planned_steps:,} steps; the state is in {where}, and the "
            "same call continues"
        )
        self.partial = partial

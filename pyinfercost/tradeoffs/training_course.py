"""Course of a training in progress: its steps, losses, evaluations and costs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from . import DistillationError, TrainingDivergedError
from .training_run import Evaluation, Shape, TrainingRun
from .training_settings import Training

_KEPT = ("step", "epoch", "batches_done", "evaluated_at", "losses", "best", "ended", "seconds", "joules")


class NonFiniteError(Exception):
    """A loss is infinite or not a number."""


class Course:
    """Course of a training, which its states keep.

    Attributes:
        total: Steps of a run that does not end early.
        step: Steps done.
        epoch: Epochs done.
        batches_done: Batches of the current epoch done.
        evaluated_at: Step of the last evaluation.
        losses: Losses of the steps since then.
        evaluations: The evaluations.
        best: Step, loss and weights of the best evaluation.
        ended: As in `TrainingRun`; empty before the end.
        seconds: Seconds of steps and evaluations.
        joules: Joules in that time; None if they are unknown.
        work: Shape of a batch and "step" or "forward" -> their number.

    Args:
        settings: The settings.
        steps_per_epoch: Batches of the training data; None if their number is unknown.
        weights: Weights of the student.

    Raises:
        DistillationError: The number of steps is unknown or 0.
    """

    def __init__(self, settings: Training, steps_per_epoch: int | None, weights: Mapping[str, Any]) -> None:
        self._settings = settings
        self.total = _total(settings, steps_per_epoch)
        self._evaluate_every = settings.evaluate_every or steps_per_epoch or self.total
        self.step = self.epoch = self.batches_done = 0
        self.evaluated_at = -1
        self.losses: list[float] = []
        self.evaluations: list[Evaluation] = []
        self.best: dict[str, Any] = {"step": 0, "loss": math.inf, "weights": weights}
        self.ended = ""
        self.seconds = 0.0
        self.joules: float | None = 0.0
        self.work: Counter[tuple[Shape, str]] = Counter()

    def check(self, loss: float) -> None:
        """Raise NonFiniteError unless the loss of the next step is finite."""
        if not math.isfinite(loss):
            raise NonFiniteError(f"the loss is {loss} at step {self.step + 1} of {self.total}")

    def take(self, shape: Shape, loss: float) -> None:
        """Add a step."""
        self.step += 1
        self.losses.append(loss)
        self.work[shape, "step"] += 1

    def is_due(self) -> bool:
        """Return whether an evaluation is due."""
        if self.step in (0, self.evaluated_at):
            return False
        return self.step % self._evaluate_every == 0 or self.step == self.total

    def is_stale(self) -> bool:
        """Return whether the held-out loss has not improved for too long."""
        if self._settings.patience is None:
            return False
        return len([each for each in self.evaluations if each.step > self.best["step"]]) >= self._settings.patience

    def evaluate(self, held_out: float | None, weights: Callable[[], Mapping[str, Any]]) -> None:
        """Add an evaluation, and keep the best weights."""
        mean = sum(self.losses) / max(1, len(self.losses))
        self.losses.clear()
        rate = self._settings.rate_at(self.step - 1, self.total)
        self.evaluations.append(Evaluation(self.step, mean, held_out, rate))
        self.evaluated_at = self.step
        if held_out is not None and not math.isfinite(held_out):
            raise NonFiniteError(f"the held-out loss is {held_out} after step {self.step} of {self.total}")
        # Without held-out data, weights of the least training loss are kept for a training that diverges.
        loss = mean if held_out is None else held_out
        if loss < self.best["loss"]:
            self.best = {"step": self.step, "loss": loss, "weights": weights()}

    def result(self, ended: str = "") -> TrainingRun:
        """Return the run so far."""
        shapes = dict.fromkeys(shape for shape, _ in self.work)
        return TrainingRun(
            steps=self.step,
            planned_steps=self.total,
            best_step=self.best["step"],
            evaluations=tuple(self.evaluations),
            ended=ended or self.ended,
            seconds=self.seconds,
            joules=self.joules,
            work={shape: (self.work[shape, "step"], self.work[shape, "forward"]) for shape in shapes},
        )

    def diverged(self, why: str, where: str) -> TrainingDivergedError:
        """Return the error of a training that diverged, whose weights are kept in `where`."""
        best = self.best
        kept = (
            f"The weights of step {best['step']} (loss {best['loss']:.4g}) are kept in the student and in {where}"
            if best["step"]
            else "There was no evaluation before, so the student has its first weights"
        )
        return TrainingDivergedError(
            f"training diverged: {why}. {kept}. Pass a lower learning_rate than "
            f"{self._settings.learning_rate:g}, a longer warm_up or a smaller clip"
        )

    def state(self) -> dict[str, Any]:
        """Return the values that a state keeps."""
        return {
            **{name: getattr(self, name) for name in _KEPT},
            "evaluations": [tuple(each) for each in self.evaluations],
            "work": [(list(map(list, shape)), kind, count) for (shape, kind), count in self.work.items()],
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Continue from the values of a state."""
        for name in _KEPT:
            setattr(self, name, state[name])
        self.evaluations = [Evaluation(*each) for each in state["evaluations"]]
        self.work = Counter(
            {
                (tuple((name, dtype, tuple(size)) for name, dtype, size in shape), kind): count
                for shape, kind, count in state["work"]
            }
        )


def _total(settings: Training, steps_per_epoch: int | None) -> int:
    if settings.steps is not None:
        return settings.steps
    if steps_per_epoch is None:
        raise DistillationError(
            "the number of batches of data is unknown, as it has no length; pass Training(steps=...)"
        )
    if not steps_per_epoch:
        raise DistillationError("data has no batch; expected at least one")
    return settings.epochs * steps_per_epoch

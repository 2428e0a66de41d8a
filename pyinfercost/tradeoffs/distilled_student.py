"""The candidate of a distillation: a student made from the model, chosen within a budget, and trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..sources.inputs import Inputs, parse_inputs
from . import DistillationError, NotApplicableError
from .batches import Batches, constants_of
from .distillation_loop import distill, resolved
from .student_choice import choose
from .students import Student
from .training_costs import training_cost
from .training_run import TrainingRun
from .training_settings import Training
from .training_store import TrainingStore

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..results.training_cost import TrainingCost


@dataclass
class _Done:
    """Result of the last application of a candidate."""

    student: Student | None = None
    run: TrainingRun | None = None
    cost: TrainingCost | None = None


@dataclass(frozen=True)
class Distilled:
    """A candidate that returns a trained student of the model; created by `candidates.distilled`.

    A student is trained once for a teacher: further applications, also in a chain with other candidates, load its
    weights.

    Attributes:
        students: Makers of the student; the largest student within the budget is made.
        train: Settings of the training.
        data: Training data.
        held_out: Data that end the training; None for none.
        data_text: Description of both, with a hash of tensors.
        within: Limits of predicted figures; empty for none.
        hidden: Pairs of hidden states; None for the pairs of the student's maker.
        training_on: Machine of the predicted training; None for the trade-off's.
        device: Device to train on.
        store: States of the training.
        placed_on: Deployment of the trade-off; None outside of one.
        inputs: Inputs of a forward of the trade-off; None outside of one.
        threads: Threads to train with; None for torch's setting.
        progress: Called with the numbers of finished and of all steps.
        done: The last application.
    """

    students: Sequence[Student]
    train: Training
    data: Any = field(repr=False)
    held_out: Any = field(repr=False)
    data_text: str
    within: Mapping[str, float | str]
    hidden: Mapping[str, str] | None
    training_on: Deployment | None
    device: str
    store: TrainingStore
    placed_on: Deployment | None = None
    inputs: Inputs | None = None
    threads: int | None = None
    progress: Callable[[int, int], None] | None = None
    done: _Done = field(default_factory=_Done, compare=False, repr=False)

    @property
    def text(self) -> str:
        """Description with all settings and the content of the data, which a file to resume from stores."""
        within = f", within={dict(self.within)}" if self.within else ""
        hidden = f", hidden={dict(self.hidden)}" if self.hidden is not None else ""
        students = ", ".join(map(str, self.students))
        return f"distilled({students}, {self.train}{within}{hidden}, data: {self.data_text})"

    def __str__(self) -> str:
        return self.text

    def __call__(self, model: nn.Module, module_name: str | None = None) -> nn.Module:
        """Return the trained student of a model.

        Raises:
            NotApplicableError: A layer is given.
            DistillationError: The student cannot be made or trained.
            TrainingDivergedError: The loss is infinite or not a number.
            DistillationInterrupted: Ctrl-C was pressed; the same call continues.
        """
        if module_name is not None:
            raise NotApplicableError("distilled(...) replaces the whole model; expected no layer")
        inputs = self._inputs(model)
        self.done.student = self.done.run = self.done.cost = None
        student = self._student(model, inputs)
        made = student.made(model, inputs)
        hidden = made.hidden if self.hidden is None else self.hidden
        settings = resolved(self.train, self.device)
        before = torch.get_num_threads()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        try:
            run = distill(
                made.module,
                model,
                data=self.data,
                train=settings,
                held_out=self.held_out,
                hidden=hidden,
                store=self.store,
                device=self.device,
                progress=self.progress,
            )
        finally:
            torch.set_num_threads(before)
        self.done.student, self.done.run = student, run
        on = self.placed_on if self.training_on is None else self.training_on
        if on is not None and on.hardware is not None:
            self.done.cost = training_cost(run, made.module, model, settings, hidden, on)
        return made.module.eval()

    def placed(self, on: Deployment, inputs: Any, threads: int | None) -> Distilled:
        """Return the candidate for the machine and the inputs of a trade-off, with the same states.

        Args:
            on: The deployment.
            inputs: Inputs of a forward.
            threads: Threads of measurements, with which the training runs too.
        """
        return replace(self, placed_on=on, inputs=parse_inputs(inputs), threads=threads)

    @property
    def student(self) -> Student | None:
        """The student that the last application chose; None before."""
        return self.done.student

    @property
    def run(self) -> TrainingRun | None:
        """The training of the last application; None before."""
        return self.done.run

    @property
    def cost(self) -> TrainingCost | None:
        """Cost of the training of the last application; None before, and outside of a trade-off."""
        return self.done.cost

    def _inputs(self, model: nn.Module) -> Inputs:
        if self.inputs is not None:
            given = self.inputs
        else:
            batch = Batches(self.data, self.train.batch_size).first()
            given = Inputs(batch.args, batch.kwargs)
        return Inputs(given.args, {**constants_of(model), **given.kwargs})

    def _student(self, model: nn.Module, inputs: Inputs) -> Student:
        if self.within:
            return choose(self.students, model, inputs, self.within, self.placed_on)
        if len(self.students) > 1:
            raise DistillationError("several students are given without a budget; pass within=, or one student")
        return self.students[0]

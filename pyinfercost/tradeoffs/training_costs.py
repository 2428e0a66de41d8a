"""Predicted cost of a distillation: teacher, student, losses and the optimizer's update, as captured graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..errors import Error
from ..predict.estimate import estimate
from ..results.training_cost import TrainingCost
from ..sources.capture import capture
from ..sources.inputs import Inputs
from ..sources.torch_state import in_mode
from .batches import Batch, batch_of_shape, constants_of
from .distillation_loss import Objective, Watched, logits_of, projection_between
from .training_run import Shape, TrainingRun
from .training_settings import Training

if TYPE_CHECKING:
    from .._core import Graph
    from ..deployment import Deployment

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8
_AUTOCAST = {"bf16": "amp_bf16", "fp16": "amp_fp16"}
_FIGURES = ("latency_s", "energy_j", "cost_usd")


def training_cost(
    run: TrainingRun,
    student: nn.Module,
    teacher: nn.Module | None,
    settings: Training,
    hidden: Mapping[str, str],
    on: Deployment,
) -> TrainingCost:
    """Return the measured cost of a training, and its prediction for a machine.

    A step is the teacher's forward, the student's forward, losses and backward, and the clipping and update of AdamW;
    each is captured at the shapes of the batches that ran. Loading of data is not included.

    Args:
        run: The training.
        student: The student.
        teacher: The teacher; None if no loss needs one.
        settings: Settings of the training.
        hidden: Pairs of hidden states.
        on: Machine, threads and price of the training.
    """
    measured = TrainingCost(run.steps, on.machine.id, measured_s=run.seconds, measured_j=run.joules)
    try:
        seconds, joules, usd = predicted_figures(run.work, student, teacher, settings, hidden, on)
    except Error as error:
        return TrainingCost(run.steps, on.machine.id, measured_s=run.seconds, measured_j=run.joules, why_not=str(error))
    return TrainingCost(run.steps, on.machine.id, seconds, joules, usd, measured.measured_s, measured.measured_j)


def predicted_figures(
    work: Mapping[Shape, tuple[int, int]],
    student: nn.Module,
    teacher: nn.Module | None,
    settings: Training,
    hidden: Mapping[str, str],
    on: Deployment,
) -> tuple[float | None, float | None, float | None]:
    """Return the predicted seconds, joules and USD of steps and evaluations.

    Args:
        work: Shape of a batch -> number of its steps, and of forwards of its evaluations.
        student: The student.
        teacher: The teacher; None if no loss needs one.
        settings: Settings of the training.
        hidden: Pairs of hidden states.
        on: Machine, threads and price of the training.
    """
    precision = _AUTOCAST.get(settings.autocast or "", "native")
    where = on.replace(precision=precision, execution="eager", layout=None, devices=1)
    pairs = hidden if settings.hidden_weight > 0 else {}
    totals: list[float | None] = [0.0, 0.0, 0.0]

    def add(graph: Graph, times: int) -> None:
        found = estimate(graph, on=where)
        for place, name in enumerate(_FIGURES):
            total, one = totals[place], getattr(found, name)
            totals[place] = None if total is None or one is None else total + times * one

    steps = sum(count for count, _ in work.values())
    for shape, (trained, evaluated) in work.items():
        batch = batch_of_shape(shape)
        inputs = _inputs_of(batch, student)
        forwards = trained + evaluated
        if settings.uses_teacher and teacher is not None and forwards:
            add(capture(teacher.eval(), _inputs_of(batch, teacher)), forwards)
        if trained:
            step = _Step(student, teacher, settings, pairs, batch)
            with in_mode(student, training=True):
                add(capture(step.train(), step.inputs, training=True), trained)
        if evaluated:
            add(capture(student.eval(), inputs), evaluated)
    if steps:
        update = _Update(student, settings)
        add(capture(update, update.inputs), steps)
    student.eval()
    return totals[0], totals[1], totals[2]


def _inputs_of(batch: Batch, module: nn.Module) -> Inputs:
    """Return the inputs of a forward as the loop gives them."""
    return Inputs(batch.args, {**batch.kwargs, **constants_of(module)})


class _Step(nn.Module):
    """Forward and losses of a student, whose inputs include the teacher's results.

    Args:
        student: The student.
        teacher: The teacher; None if no loss needs one.
        settings: Settings of the training.
        hidden: Pairs of hidden states.
        batch: A batch of tensors without values.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | None,
        settings: Training,
        hidden: Mapping[str, str],
        batch: Batch,
    ) -> None:
        super().__init__()
        self.student = student
        self._batch = batch
        self._soft = settings.soft_weight > 0
        self._own = Watched(student, list(hidden), "student") if hidden else None
        taught, states = (
            _results(teacher, batch, list(hidden.values()), "teacher") if teacher is not None else (None, [])
        )
        _, own = _results(student, batch, list(hidden), "student")
        projections = [
            projection_between(f"{one} and {two}", mine, other)
            for (one, two), mine, other in zip(hidden.items(), own, states, strict=bool(hidden))
        ]
        self.objective = Objective(settings, projections)
        given: list[torch.Tensor] = [*states]
        if self._soft and taught is not None:
            given.insert(0, taught)
        if batch.labels is not None:
            given.insert(0, batch.labels)
        self._given = len(given)
        self.inputs = Inputs((*given, *batch.args), dict(batch.kwargs))

    def forward(self, *args: torch.Tensor, **kwargs: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        given, args = list(args[: self._given]), args[self._given :]
        labels = None if self._batch.labels is None else given.pop(0)
        taught = given.pop(0) if self._soft else None
        batch = Batch(args, kwargs, labels)
        constants = constants_of(self.student)
        if self._own is None:
            logits = logits_of(self.student(*args, **kwargs, **constants), "student")
            own: Sequence[torch.Tensor] = ()
        else:
            with self._own.attached():
                logits = logits_of(self.student(*args, **kwargs, **constants), "student")
                own = self._own.states()
        loss: torch.Tensor = self.objective(batch, logits, taught, own, given)
        return loss


def _results(
    module: nn.Module, batch: Batch, paths: Sequence[str], whose: str
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return tensors like the logits and the hidden states of a forward, from one forward of zeros."""
    device = next((weight.device for weight in module.parameters()), torch.device("cpu"))
    real = Batch(
        tuple(torch.zeros_like(each, device=device) for each in batch.args),
        {name: torch.ones_like(each, device=device) for name, each in batch.kwargs.items()},
        None,
    )
    watched = Watched(module, paths, whose)
    with torch.no_grad(), watched.attached(), torch.random.fork_rng(devices=[]):
        logits = logits_of(module.eval()(*real.args, **real.kwargs, **constants_of(module)), whose)
        states = list(watched.states())
    return torch.empty_like(logits, device="meta"), [torch.empty_like(each, device="meta") for each in states]


class _Update(nn.Module):
    """Clipping of gradients and an update of AdamW, operator by operator, as torch runs them on a CPU.

    On CUDA, torch updates all weights in a few kernels; the bytes are the same, the launches fewer.

    Args:
        student: The student, whose weights are updated.
        settings: Settings of the training.
    """

    def __init__(self, student: nn.Module, settings: Training) -> None:
        super().__init__()
        shapes = [tuple(weight.shape) for weight in student.parameters() if weight.requires_grad]
        self._count = len(shapes)
        self._clip = settings.clip
        self._decay = settings.weight_decay
        self.inputs = tuple(torch.empty(shape, device="meta") for _ in range(4) for shape in shapes)

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the updated weights; tensors are all weights, all gradients, and both moments."""
        count = self._count
        weights, gradients = tensors[:count], tensors[count : 2 * count]
        if self._clip is not None:
            norms = torch.stack([torch.linalg.vector_norm(each) for each in gradients])
            factor = torch.clamp(self._clip / (torch.linalg.vector_norm(norms) + _EPSILON), max=1.0)
            for each in gradients:
                each.mul_(factor)
        for weight, gradient, mean, square in zip(
            weights, gradients, tensors[2 * count : 3 * count], tensors[3 * count :], strict=True
        ):
            weight.mul_(1 - self._decay)
            mean.lerp_(gradient, 1 - _BETAS[0])
            square.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1 - _BETAS[1])
            weight.addcdiv_(mean, (square.sqrt() / _BETAS[1]).add_(_EPSILON), value=-1.0)
        return weights

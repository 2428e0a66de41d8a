"""Forwards of a student and its teacher in training, and the loss of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from . import DistillationError
from .batches import Batch, Batches, constants_of
from .distillation_loss import Objective, Watched, logits_of, projection_between
from .training_settings import Training

_DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Forwards:
    """Student and teacher on a device.

    Attributes:
        objective: The loss, with its projections.
        scaler: Scaler of the loss, for gradients in fp16.

    Args:
        student: The student.
        teacher: The teacher; None if no loss needs it.
        settings: The settings.
        hidden: Path of a part of the student -> path of the teacher's part.
        data: Training data, whose first batch gives the widths of hidden states.
        device: The device.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | None,
        settings: Training,
        hidden: Mapping[str, str],
        data: Batches,
        device: str,
    ) -> None:
        self._student = student
        self._teacher = teacher
        self._settings = settings
        self._own, self._others = _watched(student, teacher, settings, hidden)
        self._constants = [constants_of(module) for module in (student, teacher)]
        self.objective = Objective(settings, self._projections(hidden, data, device)).to(device)
        kind, dtype = torch.device(device).type, _DTYPES[settings.autocast or "off"]
        self._autocast: dict[str, Any] = {"device_type": kind, "dtype": dtype, "enabled": dtype is not None}
        self.scaler = torch.amp.GradScaler(kind, enabled=dtype is torch.float16)

    def _projections(self, hidden: Mapping[str, str], data: Batches, device: str) -> list[nn.Module]:
        """Return the maps of hidden states, from the shapes of one forward of both modules."""
        if self._own is None or self._others is None or self._teacher is None:
            return []
        batch = data.first().to(device)
        of_student, of_teacher = self._constants
        self._student.eval()
        with torch.no_grad(), self.attached():
            self._teacher(*batch.args, **batch.kwargs, **of_teacher)
            self._student(*batch.args, **batch.kwargs, **of_student)
            states = zip(hidden.items(), self._own.states(), self._others.states(), strict=True)
            return [projection_between(f"{a} and {b}", own, other) for (a, b), own, other in states]

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Keep the hidden states of forwards."""
        with ExitStack() as stack:
            for watched in (self._own, self._others):
                if watched is not None:
                    stack.enter_context(watched.attached())
            yield

    def loss(self, batch: Batch) -> torch.Tensor:
        """Return the loss of a batch."""
        of_student, of_teacher = self._constants
        taught: torch.Tensor | None = None
        hidden: tuple[torch.Tensor, ...] = ()
        with torch.autocast(**self._autocast):
            if self._teacher is not None:
                with torch.no_grad():
                    taught = logits_of(self._teacher(*batch.args, **batch.kwargs, **of_teacher), "teacher").float()
                hidden = () if self._others is None else self._others.states()
            logits = logits_of(self._student(*batch.args, **batch.kwargs, **of_student), "student").float()
            own = () if self._own is None else self._own.states()
            if self._settings.soft_weight == 0:
                taught = None
            return self.objective(batch, logits, taught, own, hidden)  # type: ignore[no-any-return]


def _watched(
    student: nn.Module, teacher: nn.Module | None, settings: Training, hidden: Mapping[str, str]
) -> tuple[Watched | None, Watched | None]:
    """Return the hidden states of both modules; None if the loss has none."""
    if settings.hidden_weight == 0 or teacher is None:
        return None, None
    if not hidden:
        raise DistillationError(
            "hidden_weight is above 0, and hidden is empty; expected paths of the student's modules and of the "
            "teacher's, such as {'layers.0': 'layers.1'}"
        )
    return Watched(student, list(hidden), "student"), Watched(teacher, list(hidden.values()), "teacher")

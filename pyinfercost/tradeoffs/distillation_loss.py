"""Losses of a distillation: labels, the teacher's probabilities, and hidden states through learned projections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from ..errors import InputTypeError
from . import DistillationError
from .batches import IGNORED, Batch, first_tensor
from .training_settings import Training

_MASK = "attention_mask"
_MATRIX = 2


def logits_of(output: Any, whose: str) -> torch.Tensor:
    """Return the logits of a forward: the tensor, its `logits`, or the first element of a tuple.

    Raises:
        InputTypeError: It has none.
    """
    found = output
    if isinstance(found, Mapping):
        found = found.get("logits", found)
    elif hasattr(found, "logits"):
        found = found.logits
    elif isinstance(found, tuple | list) and found:
        found = found[0]
    if not isinstance(found, torch.Tensor) or not found.is_floating_point() or found.dim() < _MATRIX:
        raise InputTypeError(
            f"the {whose} returned a {type(output).__name__} without logits; expected a floating-point tensor of two "
            "dimensions or more, or a result with `logits`"
        )
    return found


class Rows(NamedTuple):
    """Predictions that a loss counts, one per row.

    Attributes:
        student: Logits of the student, [rows, classes].
        teacher: Logits of the teacher; None where it does not run.
        labels: Labels, [rows]; None without.
    """

    student: torch.Tensor
    teacher: torch.Tensor | None
    labels: torch.Tensor | None


class Objective(nn.Module):
    """The loss of a distillation, with the projections that are trained with the student.

    Args:
        settings: Weights and temperature.
        projections: One per pair of hidden states; `nn.Identity` where the widths are equal.
    """

    def __init__(self, settings: Training, projections: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.settings = settings
        self.projections = nn.ModuleList(projections)

    def forward(
        self,
        batch: Batch,
        student: torch.Tensor,
        teacher: torch.Tensor | None,
        student_hidden: Sequence[torch.Tensor] = (),
        teacher_hidden: Sequence[torch.Tensor] = (),
    ) -> torch.Tensor:
        """Return the loss of a batch.

        Args:
            batch: The batch.
            student: Logits of the student.
            teacher: Logits of the teacher; None where it does not run.
            student_hidden: Hidden states of the student, in the order of the pairs.
            teacher_hidden: Hidden states of the teacher, in the same order.
        """
        settings = self.settings
        rows = rows_of(settings, batch, student, teacher)
        loss: torch.Tensor | None = None
        if settings.uses_labels:
            loss = hard_loss(rows)
            if settings.soft_weight > 0:
                loss = (1 - settings.soft_weight) * loss
        if settings.soft_weight > 0:
            soft = soft_loss(rows, settings.temperature)
            # At a weight of 1 there is no other part, and nothing to multiply by.
            loss = soft if loss is None else loss + settings.soft_weight * soft
        if settings.hidden_weight > 0:
            mask = batch.kwargs.get(_MASK)
            hidden = torch.stack(
                [
                    hidden_loss(projection, of_student, of_teacher, mask)
                    for projection, of_student, of_teacher in zip(
                        self.projections, student_hidden, teacher_hidden, strict=True
                    )
                ]
            ).mean()
            loss = settings.hidden_weight * hidden if loss is None else loss + settings.hidden_weight * hidden
        if loss is None:  # no weight is above 0, which the settings exclude
            raise DistillationError("the loss has no part; expected a weight above 0")
        return loss


def rows_of(settings: Training, batch: Batch, student: torch.Tensor, teacher: torch.Tensor | None) -> Rows:
    """Return the predictions that count, as matrices.

    For a causal language model, logits at a position are of the next token, and positions without a label do not count.

    Raises:
        DistillationError: Shapes do not fit.
    """
    if teacher is not None and teacher.shape != student.shape:
        raise DistillationError(
            f"logits of the student have shape {tuple(student.shape)}, and logits of the teacher "
            f"{tuple(teacher.shape)}; expected equal shapes: the same inputs, and the same classes or tokens"
        )
    labels = labels_of(settings, batch)
    if settings.task == "causal_lm":
        if student.dim() <= _MATRIX:
            raise DistillationError(
                f"logits have shape {tuple(student.shape)}; expected [batch, tokens, vocabulary] of task='causal_lm'"
            )
        student = student[:, :-1]
        teacher = None if teacher is None else teacher[:, :-1]
        labels = None if labels is None else labels[:, 1:]
    if labels is not None and labels.shape != student.shape[:-1]:
        raise DistillationError(
            f"labels have shape {tuple(labels.shape)}, and logits {tuple(student.shape)}; expected one label for each "
            "row of logits, with the classes in the last dimension"
        )
    return Rows(
        student.reshape(-1, student.shape[-1]),
        None if teacher is None else teacher.reshape(-1, teacher.shape[-1]),
        None if labels is None else labels.reshape(-1),
    )


def labels_of(settings: Training, batch: Batch) -> torch.Tensor | None:
    """Return the labels of a batch; of a causal language model without labels, its tokens that are no padding.

    Raises:
        DistillationError: Labels are needed and absent, or are no whole numbers.
    """
    labels = batch.labels
    if labels is None and settings.task == "causal_lm":
        labels = batch.args[0] if batch.args else batch.kwargs.get("input_ids")
        mask = batch.kwargs.get(_MASK)
        if labels is not None and mask is not None:
            labels = labels.masked_fill(mask == 0, IGNORED)
    if labels is None:
        if settings.uses_labels:
            raise DistillationError(
                "a batch has no labels; expected (inputs, labels), a mapping with 'labels', or soft_weight=1 to learn "
                "from the teacher alone"
            )
        return None
    if labels.is_floating_point() or labels.is_complex():
        raise DistillationError(f"labels are {labels.dtype}; expected whole numbers, one class or token each")
    return labels.long()


def hard_loss(rows: Rows) -> torch.Tensor:
    """Return the cross entropy with the labels, as the mean over rows with a label."""
    if rows.labels is None:
        raise DistillationError("a batch has no labels; expected one for each row of logits")
    return functional.cross_entropy(rows.student, rows.labels, ignore_index=IGNORED)


def soft_loss(rows: Rows, temperature: float) -> torch.Tensor:
    """Return `T^2 KL(teacher || student)` of the softmaxes at temperature T, as the mean over rows with a label.

    T^2 keeps gradients of the same size at all temperatures (Hinton et al. 2015, section 2).
    """
    if rows.teacher is None:
        raise DistillationError("the teacher's logits are missing; expected logits of the same batch")
    student = functional.log_softmax(rows.student / temperature, dim=-1)
    teacher = functional.log_softmax(rows.teacher / temperature, dim=-1)
    each = functional.kl_div(student, teacher, reduction="none", log_target=True).sum(-1)
    if rows.labels is None:
        return temperature**2 * each.mean()
    counted = rows.labels != IGNORED
    return temperature**2 * (each * counted).sum() / counted.sum()


def hidden_loss(
    projection: nn.Module, student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """Return the mean squared difference of a projected hidden state and the teacher's, without padded positions."""
    squares: torch.Tensor = (projection(student) - teacher).square()
    if mask is None or mask.shape != squares.shape[: mask.dim()]:
        return squares.mean()
    weight = mask.to(squares.dtype).reshape(*mask.shape, *[1] * (squares.dim() - mask.dim()))
    return (squares * weight).sum() / (weight.expand_as(squares).sum())


class Projection(nn.Module):
    """A linear map of one dimension of a hidden state to the teacher's width, without a bias.

    Args:
        dim: The dimension of the channels.
        width: Channels of the student.
        wanted: Channels of the teacher.
    """

    def __init__(self, dim: int, width: int, wanted: int) -> None:
        super().__init__()
        self.dim = dim
        self.linear = nn.Linear(width, wanted, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the projected hidden state."""
        projected: torch.Tensor = self.linear(hidden.movedim(self.dim, -1)).movedim(-1, self.dim)
        return projected


def projection_between(pair: str, student: torch.Tensor, teacher: torch.Tensor) -> nn.Module:
    """Return the map from one hidden state to another: `nn.Identity` for equal shapes.

    Args:
        pair: Names of both modules, for messages.
        student: A hidden state of the student.
        teacher: The teacher's of the same batch.

    Raises:
        DistillationError: The shapes differ in several dimensions.
    """
    if student.shape == teacher.shape:
        return nn.Identity()
    different = [
        dim for dim, (own, other) in enumerate(zip(student.shape, teacher.shape, strict=False)) if own != other
    ]
    if student.dim() != teacher.dim() or len(different) != 1 or different == [0]:
        raise DistillationError(
            f"hidden states of {pair} have shapes {tuple(student.shape)} and {tuple(teacher.shape)}; expected shapes "
            "that differ in the channels alone"
        )
    dim = different[0]
    return Projection(dim, student.shape[dim], teacher.shape[dim])


class Watched:
    """Hidden states of the last forward of a module: results of some of its parts.

    Args:
        module: The module.
        paths: Paths of the parts.
        whose: `"student"` or `"teacher"`, for messages.

    Raises:
        DistillationError: There is no part at a path.
    """

    def __init__(self, module: nn.Module, paths: Sequence[str], whose: str) -> None:
        known = dict(module.named_modules(remove_duplicate=False))
        missing = [path for path in paths if path not in known]
        if missing:
            raise DistillationError(
                f"hidden names {missing[0]!r} of the {whose}, which has no such module; expected paths as in "
                "named_modules()"
            )
        self._parts = [known[path] for path in paths]
        self._paths = tuple(paths)
        self._whose = whose
        self._states: dict[int, torch.Tensor] = {}

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Keep hidden states in this block, by hooks that are removed at its end."""
        handles = [
            part.register_forward_hook(lambda module, args, output, place=place: self._keep(place, output))
            for place, part in enumerate(self._parts)
        ]
        try:
            yield
        finally:
            self._states.clear()
            for handle in handles:
                handle.remove()

    def states(self) -> tuple[torch.Tensor, ...]:
        """Return the hidden states of the last forward, and forget them.

        Raises:
            DistillationError: A part did not run.
        """
        idle = [path for place, path in enumerate(self._paths) if place not in self._states]
        if idle:
            raise DistillationError(f"{idle[0]} of the {self._whose} did not run in its forward; expected another path")
        found = tuple(self._states[place] for place in range(len(self._paths)))
        self._states.clear()
        return found

    def _keep(self, place: int, output: Any) -> None:
        found = first_tensor(output)
        if found is None:
            raise DistillationError(
                f"{self._paths[place]} of the {self._whose} returned a {type(output).__name__}; expected a "
                "floating-point tensor"
            )
        self._states[place] = found

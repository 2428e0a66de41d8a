"""The training loop of a distillation: seeded, resumable, with a held-out loss that ends it."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from . import DistillationError
from .batches import Batch, Batches
from .modules import signature_of
from .training_account import Account, interrupt_between_steps
from .training_course import Course, NonFiniteError
from .training_forwards import Forwards
from .training_run import DistillationInterrupted, Shape, TrainingRun
from .training_settings import Training
from .training_store import TrainingStore

_SAVE_EVERY_S = 60.0
_DECAYED = 2  # dimensions of weights that decay: neither biases nor scales of norms


def distill(
    student: nn.Module,
    teacher: nn.Module | None,
    *,
    data: Any,
    train: Training | None = None,
    held_out: Any = None,
    hidden: Mapping[str, str] | None = None,
    store: TrainingStore | None = None,
    device: str = "cpu",
    energy: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingRun:
    """Train a student in place to reproduce a teacher.

    With one seed and one number of threads, results on a CPU are equal bit by bit, also after an interruption. The
    generators of torch are restored afterwards.

    Args:
        student: The student; it is left in eval mode, with the weights of the least held-out loss.
        teacher: The teacher, which runs in eval mode without gradients; None if no loss needs one.
        data: Training data: a tuple of tensors (inputs, labels), a mapping of tensors with `labels`, or an iterable of
            such batches, such as a `DataLoader`.
        train: The settings.
        held_out: Data of the same form whose loss ends the training and chooses the weights; None for neither.
        hidden: Path of a part of the student -> path of the teacher's part whose result it should reproduce, through a
            learned projection where the widths differ. For `hidden_weight` above 0.
        store: Where the state is kept when the training is interrupted, at each evaluation and once a minute; a state
            of the same training there is continued.
        device: Device to train on, in torch's notation; both modules are moved there.
        energy: Whether to read the machine's energy counter.
        progress: Called with the numbers of finished and of all steps.

    Returns:
        The run.

    Raises:
        DistillationError: The data, the modules and the settings do not fit.
        TrainingDivergedError: The loss is infinite or not a number.
        DistillationInterrupted: (a `KeyboardInterrupt`) Ctrl-C was pressed.
        InputTypeError: Data or results of the modules have unsupported types.
    """
    settings = resolved(Training() if train is None else train, device)
    cuda = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=cuda), ExitStack() as undo:
        torch.manual_seed(settings.seed)
        loop = _Loop(student, teacher, settings, data, held_out, dict(hidden or {}), store or TrainingStore(), device)
        undo.callback(student.eval)
        loop.resume()
        return loop.run(energy=energy, progress=progress)


class _Loop:
    """State and steps of one training."""

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | None,
        settings: Training,
        data: Any,
        held_out: Any,
        hidden: Mapping[str, str],
        store: TrainingStore,
        device: str,
    ) -> None:
        self.settings = settings
        self.data = Batches(data, settings.batch_size)
        self.held_out = None if held_out is None else Batches(held_out, settings.batch_size, "held_out")
        self.store = store
        self.device = device
        self.student = student.to(device)
        teacher = _teacher_of(teacher, settings, device)
        if not any(weight.requires_grad for weight in student.parameters()):
            raise DistillationError("no weight of the student requires a gradient; call student.requires_grad_(True)")
        self.identity = {
            "settings": str(settings),
            "data": self.data.digest(),
            "held_out": "none" if self.held_out is None else self.held_out.digest(),
            "hidden": repr(sorted(hidden.items())),
            "student": signature_of(student),
            "teacher": "none" if teacher is None else signature_of(teacher),
        }
        self.course = Course(settings, self.data.count, _weights(student))
        self.forwards = Forwards(student, teacher, settings, hidden, self.data, device)
        self.optimizer = torch.optim.AdamW(
            _groups([*student.parameters(), *self.forwards.objective.parameters()], settings.weight_decay),
            lr=settings.learning_rate,
        )
        self.rng = _rng(device)
        self.saved_at = time.monotonic()

    # ---- the loop ----------------------------------------------------------------------------------------------------

    def run(self, *, energy: bool, progress: Callable[[int, int], None] | None) -> TrainingRun:
        course = self.course
        if course.ended == "diverged":
            self._load_best()
            raise course.diverged("the stored training ended so", str(self.store))
        if course.ended:
            self._load_best()
            return course.result()
        with (
            interrupt_between_steps() as stop,
            self.forwards.attached(),
            Account(self.device, course.seconds, course.joules, energy=energy) as account,
        ):
            try:
                self._train(stop, account, progress)
            except _StopError:
                self._save(account)
                raise DistillationInterrupted(course.result("interrupted"), str(self.store)) from None
            except NonFiniteError as error:
                course.ended = "diverged"
                self._save(account)
                self._load_best()
                raise course.diverged(str(error), str(self.store)) from None
            if self.held_out is None:
                course.best = {"step": course.step, "loss": math.inf, "weights": _weights(self.student)}
            self._save(account)
        self._load_best()
        return course.result()

    def _train(self, stop: threading.Event, account: Account, progress: Callable[[int, int], None] | None) -> None:
        course = self.course
        while True:
            batches = self._rest_of_epoch()
            self.student.train()
            while True:
                if course.is_due():
                    held_out = None if self.held_out is None else self._held_out_loss(self.held_out, stop)
                    course.evaluate(held_out, partial(_weights, self.student))
                    self._save(account)
                    self.student.train()
                if course.step >= course.total or (self.held_out is not None and course.is_stale()):
                    course.ended = "early" if course.step < course.total else "finished"
                    return
                if stop.is_set():
                    raise _StopError
                batch = next(batches, None)
                if batch is None:
                    break
                self._take(batch.to(self.device))
                course.batches_done += 1
                self.rng = _rng(self.device)
                if progress is not None:
                    progress(course.step, course.total)
                if time.monotonic() - self.saved_at > _SAVE_EVERY_S and self.store.path is not None:
                    self._save(account)
            if not course.batches_done:
                raise DistillationError(f"epoch {course.epoch + 1} of data has no batch; expected at least one")
            course.epoch, course.batches_done = course.epoch + 1, 0

    def _rest_of_epoch(self) -> Iterator[Batch]:
        """Return the remaining batches of the epoch; restore the generators after the batches of a resumed run."""
        batches = self.data.epoch(self.settings.seed, self.course.epoch)
        if not self.course.batches_done:
            first = next(batches, None)  # an iterable has drawn its order from torch's generator then
            torch.manual_seed(self.settings.seed + self.course.epoch + 1)
            if first is not None:
                yield first
        else:
            for _ in range(self.course.batches_done):
                next(batches, None)
            _set_rng(self.rng, self.device)
        yield from batches

    def _take(self, batch: Batch) -> None:
        """Take one step."""
        rate = self.settings.rate_at(self.course.step, self.course.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss = self.forwards.loss(batch)
        value = float(loss.detach())
        self.course.check(value)
        scaler = self.forwards.scaler
        torch.autograd.backward(scaler.scale(loss))
        if self.settings.clip is not None:
            scaler.unscale_(self.optimizer)
            weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.settings.clip)
        scaler.step(self.optimizer)
        scaler.update()
        self.course.take(batch.shape, value)

    def _held_out_loss(self, held_out: Batches, stop: threading.Event) -> float:
        self.student.eval()
        total, items = 0.0, 0
        forwards: Counter[tuple[Shape, str]] = Counter()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for batch in held_out.in_order():
                if stop.is_set():
                    raise _StopError
                total += float(self.forwards.loss(batch.to(self.device))) * batch.items
                items += batch.items
                forwards[batch.shape, "forward"] += 1
        if not items:
            raise DistillationError("held_out has no batch; expected at least one")
        self.course.work.update(forwards)
        return total / items

    # ---- states ------------------------------------------------------------------------------------------------------

    def _save(self, account: Account) -> None:
        """Store the state; an ended training is stored without the parts that only a continuation needs."""
        account.add()
        self.course.seconds, self.course.joules = account.seconds, account.joules
        state = self.course.state()
        if not self.course.ended:
            state |= {name: part.state_dict() for name, part in self._parts().items()}
            state["rng"] = self.rng
        self.store.save(self.identity, state)
        self.saved_at = time.monotonic()
        account.skip()

    def resume(self) -> None:
        """Continue from the stored state, if there is one."""
        state = self.store.load(self.identity)
        if state is None:
            return
        self.course.resume(state)
        if self.course.ended:
            return
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.rng = state["rng"]

    def _parts(self) -> dict[str, Any]:
        return {
            "student": self.student,
            "objective": self.forwards.objective,
            "optimizer": self.optimizer,
            "scaler": self.forwards.scaler,
        }

    def _load_best(self) -> None:
        self.student.load_state_dict(self.course.best["weights"])


class _StopError(Exception):
    """Ctrl-C was pressed, and the step is complete."""


def _teacher_of(teacher: nn.Module | None, settings: Training, device: str) -> nn.Module | None:
    """Return the teacher in eval mode; None if no loss needs it."""
    if not settings.uses_teacher:
        return None
    if teacher is None:
        raise DistillationError("soft_weight or hidden_weight is above 0; expected a teacher")
    return teacher.to(device).eval()


def _groups(weights: list[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Return groups of the optimizer: weights that decay, and biases and scales, which do not."""
    trained = [weight for weight in dict.fromkeys(weights) if weight.requires_grad]
    decayed = [weight for weight in trained if weight.dim() >= _DECAYED]
    others = [weight for weight in trained if weight.dim() < _DECAYED]
    groups = [{"params": decayed, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def resolved(settings: Training, device: str) -> Training:
    """Return the settings with the dtype of autocast that a device has by default: bf16 on CUDA, none on a CPU."""
    if settings.autocast is not None:
        return settings
    has_bf16 = torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported()
    return replace(settings, autocast="bf16" if has_bf16 else "off")


def _weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of all weights and buffers."""
    return {name: value.detach().to("cpu", copy=True) for name, value in module.state_dict().items()}


def _rng(device: str) -> list[torch.Tensor]:
    found = [torch.get_rng_state()]
    return [*found, torch.cuda.get_rng_state(device)] if device.startswith("cuda") else found


def _set_rng(states: list[torch.Tensor], device: str) -> None:
    torch.set_rng_state(states[0].cpu())
    if device.startswith("cuda") and len(states) > 1:
        torch.cuda.set_rng_state(states[1].cpu(), device)

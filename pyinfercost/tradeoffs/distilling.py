"""The training loop of a distillation: seeded, resumable, with a held-out loss that ends it."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from . import DistillationError, TrainingDivergedError
from .batches import Batch, Batches, constants_of
from .distillation_loss import Objective, Watched, logits_of, projection_between
from .modules import signature_of
from .training_account import Account, interrupt_between_steps
from .training_run import DistillationInterrupted, Evaluation, Shape, TrainingRun
from .training_settings import Training
from .training_store import TrainingStore

_SAVE_EVERY_S = 60.0
_DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}
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
        self.teacher = _teacher_of(teacher, settings, device)
        if not any(weight.requires_grad for weight in student.parameters()):
            raise DistillationError("no weight of the student requires a gradient; call student.requires_grad_(True)")
        self.identity = {
            "settings": str(settings),
            "data": self.data.digest(),
            "held_out": "none" if self.held_out is None else self.held_out.digest(),
            "hidden": repr(sorted(hidden.items())),
            "student": signature_of(student),
            "teacher": "none" if self.teacher is None else signature_of(self.teacher),
        }
        self.steps_per_epoch = self.data.count
        self.total = self._total()
        self.own, self.others = _watched(student, self.teacher, settings, hidden)
        self.constants = [constants_of(module) for module in (student, self.teacher)]
        self.objective = Objective(settings, self._projections(hidden)).to(device)
        self.optimizer = torch.optim.AdamW(
            _groups([*student.parameters(), *self.objective.parameters()], settings.weight_decay),
            lr=settings.learning_rate,
        )
        kind, dtype = torch.device(device).type, _DTYPES[settings.autocast or "off"]
        self.autocast: dict[str, Any] = {"device_type": kind, "dtype": dtype, "enabled": dtype is not None}
        self.scaler = torch.amp.GradScaler(kind, enabled=dtype is torch.float16)
        self.step = self.epoch = self.batches_done = 0
        self.evaluated_at = -1
        self.losses: list[float] = []
        self.evaluations: list[Evaluation] = []
        self.best: dict[str, Any] = {"step": 0, "loss": math.inf, "weights": _weights(student)}
        self.ended = ""
        self.seconds = 0.0
        self.joules: float | None = 0.0
        self.work: Counter[tuple[Shape, str]] = Counter()
        self.rng = _rng(device)
        self.saved_at = time.monotonic()

    # ---- the loop ----------------------------------------------------------------------------------------------------

    def run(self, *, energy: bool, progress: Callable[[int, int], None] | None) -> TrainingRun:
        if self.ended == "diverged":
            self._load_best()
            raise self._diverged("the stored training ended so")
        if self.ended:
            self._load_best()
            return self.result()
        with ExitStack() as stack:
            stop = stack.enter_context(interrupt_between_steps())
            for watched in (self.own, self.others):
                if watched is not None:
                    stack.enter_context(watched.attached())
            account = stack.enter_context(Account(self.device, self.seconds, self.joules, energy=energy))
            try:
                self._train(stop, account, progress)
            except _StopError:
                self._save(account)
                raise DistillationInterrupted(self.result("interrupted"), str(self.store)) from None
            except _NonFiniteError as error:
                self.ended = "diverged"
                self._save(account)
                self._load_best()
                raise self._diverged(str(error)) from None
            if self.held_out is None:
                self.best = {"step": self.step, "loss": math.inf, "weights": _weights(self.student)}
            self._save(account)
        self._load_best()
        return self.result()

    def _train(self, stop: threading.Event, account: Account, progress: Callable[[int, int], None] | None) -> None:
        while True:
            batches = self._rest_of_epoch()
            self.student.train()
            while True:
                if self._is_due():
                    self._evaluate(stop)
                    self._save(account)
                    self.student.train()
                if self.step >= self.total or self._is_stale():
                    self.ended = "early" if self.step < self.total else "finished"
                    return
                if stop.is_set():
                    raise _StopError
                batch = next(batches, None)
                if batch is None:
                    break
                self._take(batch.to(self.device))
                self.batches_done += 1
                self.rng = _rng(self.device)
                if progress is not None:
                    progress(self.step, self.total)
                if time.monotonic() - self.saved_at > _SAVE_EVERY_S and self.store.path is not None:
                    self._save(account)
            if not self.batches_done:
                raise DistillationError(f"epoch {self.epoch + 1} of data has no batch; expected at least one")
            self.epoch, self.batches_done = self.epoch + 1, 0

    def _rest_of_epoch(self) -> Iterator[Batch]:
        """Return the remaining batches of the epoch; restore the generators after the batches of a resumed run."""
        batches = self.data.epoch(self.settings.seed, self.epoch)
        if not self.batches_done:
            first = next(batches, None)  # an iterable has drawn its order from torch's generator then
            torch.manual_seed(self.settings.seed + self.epoch + 1)
            if first is not None:
                yield first
        else:
            for _ in range(self.batches_done):
                next(batches, None)
            _set_rng(self.rng, self.device)
        yield from batches

    def _take(self, batch: Batch) -> None:
        """Take one step."""
        rate = self.settings.rate_at(self.step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss = self._loss(batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise _NonFiniteError(f"the loss is {value} at step {self.step + 1} of {self.total}")
        torch.autograd.backward(self.scaler.scale(loss))
        if self.settings.clip is not None:
            self.scaler.unscale_(self.optimizer)
            weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self.losses.append(value)
        self.work[batch.shape, "step"] += 1

    def _loss(self, batch: Batch) -> torch.Tensor:
        of_student, of_teacher = self.constants
        taught: torch.Tensor | None = None
        hidden: tuple[torch.Tensor, ...] = ()
        with torch.autocast(**self.autocast):
            if self.teacher is not None:
                with torch.no_grad():
                    taught = logits_of(self.teacher(*batch.args, **batch.kwargs, **of_teacher), "teacher").float()
                hidden = () if self.others is None else self.others.states()
            logits = logits_of(self.student(*batch.args, **batch.kwargs, **of_student), "student").float()
            own = () if self.own is None else self.own.states()
            if self.settings.soft_weight == 0:
                taught = None
            return self.objective(batch, logits, taught, own, hidden)  # type: ignore[no-any-return]

    # ---- evaluations -------------------------------------------------------------------------------------------------

    def _is_due(self) -> bool:
        if self.step in (0, self.evaluated_at):
            return False
        every = self.settings.evaluate_every or self.steps_per_epoch or self.total
        return self.step % every == 0 or self.step == self.total

    def _is_stale(self) -> bool:
        """Return whether the held-out loss has not improved for too long."""
        if self.held_out is None or self.settings.patience is None:
            return False
        after_best = [each for each in self.evaluations if each.step > self.best["step"]]
        return len(after_best) >= self.settings.patience

    def _evaluate(self, stop: threading.Event) -> None:
        """Compute the held-out loss, and keep the best weights."""
        held_out = None if self.held_out is None else self._held_out_loss(self.held_out, stop)
        mean = sum(self.losses) / max(1, len(self.losses))
        self.losses.clear()
        rate = self.settings.rate_at(self.step - 1, self.total)
        self.evaluations.append(Evaluation(self.step, mean, held_out, rate))
        self.evaluated_at = self.step
        if held_out is not None and not math.isfinite(held_out):
            raise _NonFiniteError(f"the held-out loss is {held_out} after step {self.step} of {self.total}")
        # Without held-out data, weights of the least training loss are kept for a training that diverges.
        loss = mean if held_out is None else held_out
        if loss < self.best["loss"]:
            self.best = {"step": self.step, "loss": loss, "weights": _weights(self.student)}

    def _held_out_loss(self, held_out: Batches, stop: threading.Event) -> float:
        self.student.eval()
        total, items = 0.0, 0
        forwards: Counter[tuple[Shape, str]] = Counter()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for batch in held_out.in_order():
                if stop.is_set():
                    raise _StopError
                total += float(self._loss(batch.to(self.device))) * batch.items
                items += batch.items
                forwards[batch.shape, "forward"] += 1
        if not items:
            raise DistillationError("held_out has no batch; expected at least one")
        self.work.update(forwards)
        return total / items

    # ---- states ------------------------------------------------------------------------------------------------------

    def result(self, ended: str = "") -> TrainingRun:
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

    def _save(self, account: Account) -> None:
        """Store the state; an ended training is stored without the parts that only a continuation needs."""
        account.add()
        self.seconds, self.joules = account.seconds, account.joules
        state = {
            **{name: getattr(self, name) for name in _KEPT},
            "evaluations": [tuple(each) for each in self.evaluations],
            "work": [(list(map(list, shape)), kind, count) for (shape, kind), count in self.work.items()],
        }
        if not self.ended:
            state |= {
                "student": self.student.state_dict(),
                "objective": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "rng": self.rng,
            }
        self.store.save(self.identity, state)
        self.saved_at = time.monotonic()
        account.skip()

    def resume(self) -> None:
        """Continue from the stored state, if there is one."""
        state = self.store.load(self.identity)
        if state is None:
            return
        for name in _KEPT:
            setattr(self, name, state[name])
        self.evaluations = [Evaluation(*each) for each in state["evaluations"]]
        self.work = Counter(
            {
                (tuple((name, dtype, tuple(size)) for name, dtype, size in shape), kind): count
                for shape, kind, count in state["work"]
            }
        )
        if self.ended:
            return
        self.student.load_state_dict(state["student"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.rng = state["rng"]

    def _load_best(self) -> None:
        self.student.load_state_dict(self.best["weights"])

    def _diverged(self, why: str) -> TrainingDivergedError:
        best = self.best
        kept = (
            f"The weights of step {best['step']} (loss {best['loss']:.4g}) are kept in the student and in {self.store}"
            if best["step"]
            else "There was no evaluation before, so the student has its first weights"
        )
        return TrainingDivergedError(
            f"training diverged: {why}. {kept}. Pass a lower learning_rate than "
            f"{self.settings.learning_rate:g}, a longer warm_up or a smaller clip"
        )

    # ---- settings ----------------------------------------------------------------------------------------------------

    def _total(self) -> int:
        if self.settings.steps is not None:
            return self.settings.steps
        if self.steps_per_epoch is None:
            raise DistillationError(
                "the number of batches of data is unknown, as it has no length; pass Training(steps=...)"
            )
        if not self.steps_per_epoch:
            raise DistillationError("data has no batch; expected at least one")
        return self.settings.epochs * self.steps_per_epoch

    def _projections(self, hidden: Mapping[str, str]) -> list[nn.Module]:
        """Return the maps of hidden states, from the shapes of one forward of both modules."""
        if self.own is None or self.others is None or self.teacher is None:
            return []
        batch = self.data.first().to(self.device)
        of_student, of_teacher = self.constants
        self.student.eval()
        with torch.no_grad(), self.own.attached(), self.others.attached():
            self.teacher(*batch.args, **batch.kwargs, **of_teacher)
            self.student(*batch.args, **batch.kwargs, **of_student)
            states = zip(hidden.items(), self.own.states(), self.others.states(), strict=True)
            return [projection_between(f"{a} and {b}", own, other) for (a, b), own, other in states]


_KEPT = ("step", "epoch", "batches_done", "evaluated_at", "losses", "best", "ended", "seconds", "joules")


class _StopError(Exception):
    """Ctrl-C was pressed, and the step is complete."""


class _NonFiniteError(Exception):
    """A loss is infinite or not a number."""


def _teacher_of(teacher: nn.Module | None, settings: Training, device: str) -> nn.Module | None:
    """Return the teacher in eval mode; None if no loss needs it."""
    if not settings.uses_teacher:
        return None
    if teacher is None:
        raise DistillationError("soft_weight or hidden_weight is above 0; expected a teacher")
    return teacher.to(device).eval()


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

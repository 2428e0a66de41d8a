"""Settings of a distillation: weights of its losses, and the optimizer, schedule and end of its training."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import cos, pi

from .._checks import COUNT, Range, number, shown, whole
from . import DistillationError

TASKS = ("classification", "causal_lm")
"""Kinds of logits: classes in the last dimension, or the next token after each position."""

AUTOCASTS = ("off", "bf16", "fp16")
"""Dtypes of autocast in training."""

_SHARE = Range(0, 1)
_RATE = Range(1e-12, 1e3)
_TEMPERATURE = Range(1e-3, 1e4)
_WEIGHT = Range(1e-9, 1e9, zero=True)
_SEED = Range(0, 2**63 - 1)


@dataclass(frozen=True)
class Training:
    """Settings of a distillation.

    The loss is from Hinton et al. 2015 (arXiv:1503.02531), `(1 - w) CE(labels) + w T^2 KL(teacher || student)` with
    both softmaxes at temperature T, plus `hidden_weight` times the mean squared difference of hidden states (FitNets,
    arXiv:1412.6550; TinyBERT, arXiv:1909.10351).

    Attributes:
        epochs: Passes over the data.
        steps: Number of steps instead of epochs; needed for data without a length.
        batch_size: Rows of a batch, where the data are tensors.
        learning_rate: Maximum learning rate of AdamW.
        weight_decay: Decay of weights with two dimensions or more; biases and scales of norms have none.
        warm_up: Share of the steps in which the learning rate rises linearly.
        final_rate: Learning rate at the end of the cosine as a share of the maximum.
        clip: Maximum norm of all gradients together; None for no limit.
        temperature: T of both softmaxes.
        soft_weight: w, the weight of the teacher's probabilities; at 0 the teacher does not run, at 1 no labels are
            needed.
        hidden_weight: Weight of the difference of hidden states; 0 for none.
        task: `"classification"`, or `"causal_lm"`: labels are tokens, and logits predict the next one.
        patience: Evaluations of the held-out loss without improvement after which training ends; None never ends early.
        evaluate_every: Steps between evaluations; None for one per epoch.
        seed: Seed of the order of rows, of dropout and of projections.
        autocast: `"bf16"`, `"fp16"` (with scaled gradients) or `"off"`; None for bf16 on a CUDA device that has it, and
            for off on a CPU.
    """

    epochs: int = 10
    steps: int | None = None
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up: float = 0.1
    final_rate: float = 0.0
    clip: float | None = 1.0
    temperature: float = 2.0
    soft_weight: float = 0.5
    hidden_weight: float = 0.0
    task: str = "classification"
    patience: int | None = 3
    evaluate_every: int | None = None
    seed: int = 0
    autocast: str | None = None

    def __post_init__(self) -> None:
        for name, within in (
            ("learning_rate", _RATE),
            ("weight_decay", _WEIGHT),
            ("warm_up", _SHARE),
            ("final_rate", _SHARE),
            ("temperature", _TEMPERATURE),
            ("soft_weight", _SHARE),
            ("hidden_weight", _WEIGHT),
        ):
            number(getattr(self, name), name, within, DistillationError)
        for name in ("epochs", "batch_size"):
            whole(getattr(self, name), name, COUNT, DistillationError)
        for name in ("steps", "patience", "evaluate_every"):
            if getattr(self, name) is not None:
                whole(getattr(self, name), name, Range(1, 1e12), DistillationError)
        whole(self.seed, "seed", _SEED, DistillationError)
        if self.clip is not None:
            number(self.clip, "clip", Range(1e-9, 1e9), DistillationError)
        if self.task not in TASKS:
            raise DistillationError(f"task is {shown(self.task)}; expected one of {', '.join(TASKS)}")
        if self.autocast is not None and self.autocast not in AUTOCASTS:
            raise DistillationError(f"autocast is {shown(self.autocast)}; expected one of {', '.join(AUTOCASTS)}")

    def __str__(self) -> str:
        """`Training(epochs=20, temperature=4)`: the settings that are not the default."""
        given = [
            f"{each.name}={_text(getattr(self, each.name))}"
            for each in fields(self)
            if getattr(self, each.name) != each.default
        ]
        return f"Training({', '.join(given)})"

    @property
    def uses_teacher(self) -> bool:
        """Whether the teacher runs in each step."""
        return self.soft_weight > 0 or self.hidden_weight > 0

    @property
    def uses_labels(self) -> bool:
        """Whether the loss depends on labels."""
        return self.soft_weight < 1

    def rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate of a step: linear warm-up, then half a cosine.

        Args:
            step: Number of the step, from 0.
            steps: Number of all steps.
        """
        warm_up = int(self.warm_up * steps)
        if step < warm_up:
            return self.learning_rate * (step + 1) / warm_up
        part = (step - warm_up) / max(1, steps - warm_up)
        return self.learning_rate * (self.final_rate + (1 - self.final_rate) * (1 + cos(pi * part)) / 2)


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)

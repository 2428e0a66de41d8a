"""Trade-offs of accuracy and cost: candidates are applied and evaluated, their cost is predicted or measured."""

from __future__ import annotations

from ..errors import InputError, StateError

__all__ = ["AllocationError", "DistillationError", "NotApplicableError", "TradeoffError", "TrainingDivergedError"]


class TradeoffError(InputError):
    """A trade-off cannot be run; the message states what was given and what is expected."""


class NotApplicableError(InputError):
    """A candidate does not apply to a layer or a model, such as int8 for linear layers to a convolution."""


class AllocationError(InputError):
    """No choice of formats is within the limits, or limits are invalid; the message states what is reachable."""


class DistillationError(InputError):
    """A student cannot be made or trained as asked; the message states what was given and what is expected."""


class TrainingDivergedError(StateError):
    """The loss of a training is infinite or not a number; the student has the weights of its best evaluation."""

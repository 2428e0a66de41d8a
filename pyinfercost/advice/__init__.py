"""Trade-offs of accuracy and cost: candidates are applied and evaluated, their cost is predicted or measured."""

from __future__ import annotations

from ..errors import InputError

__all__ = ["AllocationError", "NotApplicableError", "TradeoffError"]


class TradeoffError(InputError):
    """A trade-off cannot be run; the message states what was given and what is expected."""


class NotApplicableError(InputError):
    """A candidate does not apply to a layer or a model, such as int8 for linear layers to a convolution."""


class AllocationError(InputError):
    """No choice of formats is within the limits, or limits are invalid; the message states what is reachable."""

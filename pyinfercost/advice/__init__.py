"""Accuracy beside cost: candidates are applied for real and evaluated, their cost is predicted and may be measured."""

from __future__ import annotations

__all__ = ["NotApplicableError", "TradeoffError"]


class TradeoffError(ValueError):
    """What was asked for cannot be done; the message says what was got and what was expected."""


class NotApplicableError(ValueError):
    """A candidate has nothing to change in a layer or a model, such as int8 of linear layers in a convolution."""

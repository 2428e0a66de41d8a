"""The table of tactics, in the order in which reports name them."""

from __future__ import annotations

from ..tactic import Tactic
from .execution import Execution
from .half_precision import HalfPrecision

TACTICS: tuple[Tactic, ...] = (
    HalfPrecision(),
    Execution(),
)

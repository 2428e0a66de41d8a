"""What is fitted: constants of a kind of machine, and how far a family may differ from its kind.

A family's value is the kind's times exp(difference), and a difference costs as much as a residual when it is as large
as `family_sd`. So what families share is learnt from all of them, a family with few rows stays near its kind, and a
machine of a family that has no rows takes what the others share.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyinfercost.hardware.constants import constant_of


@dataclass(frozen=True)
class Parameter:
    """One constant.

    Attributes:
        kind: the kind of machine it belongs to.
        key: its dotted key in calibration files.
        start: a value to start from; where rows say little, it stays close to it.
        low: the least it may be.
        high: the most it may be.
        tables: the tables whose rows depend on it.
        sd: how far, as a logarithm, it may be from `start` at the cost of one residual.
        family_sd: the same for a family's difference from its kind; 0 where families share it.
    """

    kind: str
    key: str
    start: float
    low: float
    high: float
    tables: tuple[str, ...]
    sd: float = 1.0
    family_sd: float = 0.0

    def __post_init__(self) -> None:
        constant = constant_of(self.key)
        if self.low < constant.low or (constant.high is not None and self.high > constant.high):
            raise ValueError(
                f"{self.key} is fitted from {self.low:g} to {self.high:g}; expected a range within "
                f"{constant.low:g} to {constant.high}"
            )

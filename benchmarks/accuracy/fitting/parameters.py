"""Fitted parameters: constants of a kind of machine, and the allowed deviations of families from their kind.

A family's value is that of its kind times exp(deviation), and a deviation of `family_sd` costs as much as one residual.
Therefore shared values are fitted to all families, a family with few rows stays close to its kind, and a machine of a
family without rows takes the shared values.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyinfercost.hardware.constants import constant_of


@dataclass(frozen=True)
class Parameter:
    """One constant.

    Attributes:
        kind: Kind of machine.
        key: Dotted key in calibration files.
        start: Start value; the fit stays close to it if rows provide little information.
        low: Lower limit.
        high: Upper limit.
        tables: Tables whose rows depend on it.
        sd: Deviation from `start`, as a logarithm, that costs as much as one residual.
        family_sd: The same for a family's deviation from its kind; 0 for a shared value.
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

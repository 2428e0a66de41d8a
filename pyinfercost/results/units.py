"""Numbers with units as text: one unit per column or figure, and no more digits than the accuracy of predictions."""

from __future__ import annotations

from math import floor, isfinite, log10
from typing import TYPE_CHECKING

from .._core import Expr
from .._records import dataclass

if TYPE_CHECKING:
    from .._core import Quantity

_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SECONDS = ((1.0, ""), (1e-3, "m"), (1e-6, "u"))
# Units of measured quantities have no prefixes above 1, such as kiloseconds.
_MEASURED = {"s": _SECONDS, "J": (*_PREFIXES, *_SECONDS), "W": (*_PREFIXES, *_SECONDS), "g": (*_PREFIXES, *_SECONDS)}
_PLAIN = ("USD", "per s")  # never with a prefix
_DIGITS = 4
_HALF_PERCENT = 0.005


@dataclass(frozen=True)
class Scale:
    """Unit and decimals of all numbers of one column."""

    factor: float
    unit: str
    decimals: int

    def show(self, value: float | Expr | None) -> str:
        """Return the number without its unit; empty for None, and with `<` if it rounds to 0."""
        if value is None:
            return ""
        if isinstance(value, Expr):
            return str(value)
        if value == 0:
            return "0"
        scaled = value / self.factor
        smallest = 10.0**-self.decimals
        if abs(scaled) < smallest / 2:
            return f"<{smallest:.{self.decimals}f}"
        return f"{scaled:.{self.decimals}f}"


def scale_for(largest: float | Expr, unit: str, *, decimals: int = 0) -> Scale:
    """Return the scale that shows the largest number of a column with four significant digits.

    Args:
        largest: Largest number of the column, in the unit itself.
        unit: The unit without a prefix: `"B"`, `"FLOP"`, `"s"`, or empty for a plain number.
        decimals: Minimum number of decimals for a unit with a prefix.

    Returns:
        The scale.
    """
    if isinstance(largest, Expr) or not isfinite(largest):
        return Scale(1.0, unit, 0)
    measured = unit in _MEASURED
    prefixes, smallest = (_MEASURED[unit], (1e-6, "u" + unit)) if measured else (_PREFIXES, (1.0, unit))
    factor, name = next(((step, prefix + unit) for step, prefix in prefixes if largest >= step), smallest)
    whole = factor == 1.0 and not measured
    digits_before = len(str(int(largest / factor)))
    return Scale(factor, name, 0 if whole else max(_DIGITS - digits_before, decimals))


def quantity(value: float | Quantity, unit: str) -> str:
    """Return one figure with its unit: `4.089 GFLOP`, `1.234 ms`, `25.56 M`."""
    scale = scale_for(value, unit)
    return f"{scale.show(value)} {scale.unit}".rstrip()


def percent(share: float) -> str:
    """Return a share in whole percent; `<1` for a share above 0 that rounds to 0."""
    if 0 < share < _HALF_PERCENT:
        return "<1"
    return f"{100 * share:.0f}"


def significant(value: float) -> str:
    """Return a number with four significant digits and no exponent, for columns that span orders of magnitude."""
    if value == 0 or not isfinite(value):
        return f"{value:.0f}"
    digits_before = floor(log10(abs(value))) + 1
    return f"{value:.{max(_DIGITS - digits_before, 0)}f}"


def amount(value: float | Quantity, unit: str) -> str:
    """Return one figure with its unit, as `quantity`; money and rates have no prefix."""
    return f"{significant(value)} {unit}" if unit in _PLAIN and not isinstance(value, Expr) else quantity(value, unit)

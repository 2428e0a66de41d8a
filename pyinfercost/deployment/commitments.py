"""Commitments of years, and costs of a month beside machines: staff and storage.

The catalog has no prices of these: they are inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeAlias

from .._checks import Range, number, number_in
from .._records import dataclass
from ..results.bill import MONTH_S
from ..results.costs import USD_PER_H, Price, PriceError
from .prices import HOURS_PER_YEAR
from .settings import settings_of

CommitmentLike: TypeAlias = "Commitment | str | Mapping[str, str | float]"
"""A commitment as `parse_commitment` accepts it."""

FixedCostsLike: TypeAlias = "FixedCosts | str | Mapping[str, str | float]"
"""Costs of a month as `parse_fixed_costs` accepts them."""

_COMMITMENT = {"term_years": Range(1e-3, 100, "years"), "discount": Range(1e-9, 0.999999), "usd_per_h": USD_PER_H}
_USD = Range(1e-9, 1e12, "USD per month", zero=True)
_FIXED = {
    "staff_usd_per_month": _USD,
    "storage_gb": Range(1e-6, 1e12, "times 10^9 bytes", zero=True),
    "storage_usd_per_gb_month": Range(1e-9, 1e4, "USD per 10^9 bytes and month", zero=True),
}
_SECONDS = Range(0, 1e12, "seconds")


@dataclass(frozen=True)
class Commitment:
    """Devices that are paid in every hour of a term, used or not: reserved instances, committed use, savings plans.

    Attributes:
        term_years: Years of the term, 0.001 to 100.
        discount: Share of the on-demand price that is saved, between 0 and 1; None if `usd_per_h` is given.
        usd_per_h: USD per device-hour; None if `discount` is given.
    """

    term_years: float
    discount: float | None = None
    usd_per_h: float | None = None

    def __post_init__(self) -> None:
        for name, within in _COMMITMENT.items():
            value = getattr(self, name)
            if value is not None or name == "term_years":
                object.__setattr__(self, name, number(value, name, within, PriceError))
        if (self.discount is None) == (self.usd_per_h is None):
            raise PriceError("a commitment has both or none of discount and usd_per_h; pass one of them")

    @property
    def hours(self) -> float:
        """Hours of the term."""
        return self.term_years * HOURS_PER_YEAR


def parse_commitment(value: CommitmentLike) -> Commitment:
    """Parse a commitment.

    Args:
        value: A `Commitment`; text such as `"discount=0.4,term_years=1"` or `"usd_per_h=1.2,term_years=3"`; or a
            mapping of the same names.

    Raises:
        PriceError: The value is none of these, or a number is out of range.
    """
    if isinstance(value, Commitment):
        return value
    known = _numbers(value, "commitment", Commitment, _COMMITMENT)
    if "term_years" not in known:
        raise PriceError("a commitment has no term_years; pass its years, such as term_years=1")
    return Commitment(**known)


def committed(price: Price, commitment: Commitment) -> Price:
    """Return the price of a device-hour under a commitment, which is paid in every hour of its term.

    Args:
        price: The price on demand.
        commitment: The commitment.
    """
    for_years = f"committed for {commitment.term_years:g} years"
    if commitment.usd_per_h is not None:
        return replace(price, usd_per_h=commitment.usd_per_h, text=f"given, {for_years}", terms="committed")
    discount = commitment.discount or 0.0
    text = f"{price.text} less {100 * discount:g} %, {for_years}"
    return replace(price, usd_per_h=price.usd_per_h * (1 - discount), text=text, terms="committed")


@dataclass(frozen=True)
class FixedCosts:
    """Costs of a month that do not depend on traffic.

    Attributes:
        staff_usd_per_month: USD for the share of staff that runs the service.
        storage_gb: 10^9 bytes that are stored, such as checkpoints, images and logs.
        storage_usd_per_gb_month: USD for 10^9 bytes that are stored for a month, at most 1e4.
    """

    staff_usd_per_month: float = 0.0
    storage_gb: float = 0.0
    storage_usd_per_gb_month: float = 0.0

    def __post_init__(self) -> None:
        for name, within in _FIXED.items():
            object.__setattr__(self, name, number(getattr(self, name), name, within, PriceError))

    @property
    def storage_usd_per_month(self) -> float:
        """USD of storage in a month."""
        return self.storage_gb * self.storage_usd_per_gb_month

    @property
    def usd_per_month(self) -> float:
        """USD of a month."""
        return self.staff_usd_per_month + self.storage_usd_per_month

    def usd(self, seconds: float) -> float:
        """Return the USD of some seconds, as a share of a month."""
        return self.usd_per_month * number(seconds, "seconds", _SECONDS, PriceError) / MONTH_S


def parse_fixed_costs(value: FixedCostsLike) -> FixedCosts:
    """Parse costs of a month.

    Args:
        value: A `FixedCosts`; text such as `"staff_usd_per_month=4000,storage_gb=500,storage_usd_per_gb_month=0.023"`;
            or a mapping of the same names.

    Raises:
        PriceError: The value is none of these, or a number is out of range.
    """
    if isinstance(value, FixedCosts):
        return value
    return FixedCosts(**_numbers(value, "costs of a month", FixedCosts, _FIXED))


def _numbers(value: Any, what: str, of: type[Any], ranges: Mapping[str, Range]) -> dict[str, float]:
    """Return numbers by the names of the fields of a type."""
    settings = settings_of(value, what, [field.name for field in fields(of)], PriceError)
    return {name: number_in(given, name, ranges[name], PriceError) for name, given in settings.items()}

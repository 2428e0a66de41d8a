"""Commitments of years, and costs of a month besides machines: staff and storage.

The catalog has no prices of these: they are inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from .._checks import Range
from .._checks import number as checked_number
from ..inputs.price import USD_PER_H, Price, PriceError
from ..inputs.settings import Settings, number
from ..results.bill import MONTH_S
from .prices import HOURS_PER_YEAR

CommitmentLike: TypeAlias = "Commitment | str | Mapping[str, str | float]"
"""A commitment as `Commitment.parse` accepts it."""

FixedCostsLike: TypeAlias = "FixedCosts | str | Mapping[str, str | float]"
"""Costs of a month as `FixedCosts.parse` accepts them."""

_SECONDS = Range(0, 1e12, "seconds")


class Commitment(Settings):
    """Devices that are paid in every hour of a term, used or not: reserved instances, committed use, savings plans."""

    kind = "commitment"
    error = PriceError
    term_years: float = number(Range(1e-3, 100, "years"), "Years of the term, 0.001 to 100.")
    discount: float | None = number(
        Range(1e-9, 0.999999),
        "Share of the on-demand price that is saved, between 0 and 1; None if `usd_per_h` is given.",
        default=None,
    )
    usd_per_h: float | None = number(USD_PER_H, "USD per device-hour; None if `discount` is given.", default=None)

    def _check(self) -> None:
        if (self.discount is None) == (self.usd_per_h is None):
            raise PriceError("a commitment has both or none of discount and usd_per_h; pass one of them")

    @property
    def hours(self) -> float:
        """Hours of the term."""
        return self.term_years * HOURS_PER_YEAR


def committed(price: Price, commitment: Commitment) -> Price:
    """Return the price of a device-hour under a commitment, which is paid in every hour of its term.

    Args:
        price: The price on demand.
        commitment: The commitment.
    """
    for_years = f"committed for {commitment.term_years:g} years"
    if commitment.usd_per_h is not None:
        return price.replace(usd_per_h=commitment.usd_per_h, text=f"given, {for_years}", terms="committed")
    discount = commitment.discount or 0.0
    text = f"{price.text} less {100 * discount:g} %, {for_years}"
    return price.replace(usd_per_h=price.usd_per_h * (1 - discount), text=text, terms="committed")


class FixedCosts(Settings):
    """Costs of a month that do not depend on traffic."""

    kind = "fixed costs"
    error = PriceError
    staff_usd_per_month: float = number(
        Range(1e-9, 1e12, "USD per month", zero=True), "USD for the share of staff that runs the service.", default=0.0
    )
    storage_gb: float = number(
        Range(1e-6, 1e12, "times 10^9 bytes", zero=True),
        "10^9 bytes that are stored, such as checkpoints, images and logs.",
        default=0.0,
    )
    storage_usd_per_gb_month: float = number(
        Range(1e-9, 1e4, "USD per 10^9 bytes and month", zero=True),
        "USD for 10^9 bytes that are stored for a month, at most 1e4.",
        default=0.0,
    )

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
        return self.usd_per_month * checked_number(seconds, "seconds", _SECONDS, PriceError) / MONTH_S

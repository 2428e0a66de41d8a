"""Prices of data that leaves a cloud, in tiers of a month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, TypeAlias

from .._checks import Range, is_number, number, number_in, shown
from .._records import dataclass
from ..inputs.facts import facts
from ..inputs.transfer import EGRESS_USD_PER_GB
from ..results.costs import PriceError

EgressLike: TypeAlias = "Egress | str | float"
"""A price of egress as `parse_egress` accepts it."""

_GB = Range(0, 1e15, "times 10^9 bytes")
_FREE = "free"


@dataclass(frozen=True)
class Egress:
    """Price of the bytes that leave a cloud in a month.

    Attributes:
        usd_per_gb: USD per 10^9 bytes in each tier, at most 1e4.
        up_to_gb: 10^9 bytes of a month at which each tier but the last ends, in ascending order.
        free_gb: 10^9 bytes of a month that cost nothing; they count in the tiers.
        name: Its name in the catalog; empty for a price of the caller.
        dated: Year, or year and month, of the price; empty if the caller gave it.
        source: Where the price was read.
    """

    usd_per_gb: tuple[float, ...]
    up_to_gb: tuple[float, ...] = ()
    free_gb: float = 0.0
    name: str = ""
    dated: str = ""
    source: str = "given"

    def __post_init__(self) -> None:
        for name, within in (("usd_per_gb", EGRESS_USD_PER_GB), ("up_to_gb", _GB)):
            given = getattr(self, name)
            if isinstance(given, str) or not isinstance(given, Sequence):
                raise PriceError(f"{name} of egress is {shown(given)}; expected a sequence of numbers")
            checked = tuple(number(value, f"{name} of egress", within, PriceError) for value in given)
            object.__setattr__(self, name, checked)
        object.__setattr__(self, "free_gb", number(self.free_gb, "free_gb of egress", _GB, PriceError))
        bounds = self.up_to_gb
        if len(self.usd_per_gb) != len(bounds) + 1 or list(bounds) != sorted(set(bounds)):
            raise PriceError(
                f"egress has {len(self.usd_per_gb)} prices and ends of tiers at {shown(bounds)}; pass a rising end for "
                "each price but the last"
            )

    def __str__(self) -> str:
        """`free=100,0.09:10000,0.085:50000,0.05`, as `parse_egress` accepts it."""
        free = [f"{_FREE}={self.free_gb:g}"] if self.free_gb else []
        tiers = [f"{usd:g}:{end:g}" for usd, end in zip(self.usd_per_gb, self.up_to_gb, strict=False)]
        return ",".join([*free, *tiers, f"{self.usd_per_gb[-1]:g}"])


def parse_egress(value: EgressLike) -> Egress:
    """Parse a price of egress.

    Args:
        value: An `Egress`; a name of the catalog: `"aws"`, `"azure"`, `"gcp"`, `"gcp-standard"`, or `"inter-az"` (in
            each direction) and `"inter-region"`; USD per 10^9 bytes; or tiers such as `"free=100,0.09:10000,0.085"`:
            100 x 10^9 bytes free, then 0.09 USD per 10^9 bytes up to 10,000 x 10^9 of them, and 0.085 USD beyond.

    Raises:
        PriceError: The value is none of these.
    """
    if isinstance(value, Egress):
        return value
    known: Mapping[str, Any] = facts()["egress"]
    if is_number(value):
        return Egress((number(value, "egress", EGRESS_USD_PER_GB, PriceError),))
    expected = f"expected {', '.join(known)}, USD per 10^9 bytes, or tiers such as free=100,0.09:10000,0.085"
    if not isinstance(value, str):
        raise PriceError(f"egress is {shown(value)}; {expected}")
    if value in known:
        table = known[value]
        return Egress(
            tuple(table["usd_per_gb"]),
            tuple(table["up_to_gb"]),
            free_gb=table["free_gb"],
            name=value,
            dated=table["date"],
            source=table["source"],
        )
    prices, ends, free = [], [], 0.0
    for part in value.split(","):
        name, equals, text = part.strip().partition("=")
        if equals and name == _FREE:
            free = number_in(text, "free of egress", _GB, PriceError)
            continue
        usd, colon, end = part.strip().partition(":")
        try:
            prices.append(number_in(usd, "egress", EGRESS_USD_PER_GB, PriceError))
        except PriceError as error:
            raise PriceError(f"egress is {shown(value)}; {expected}") from error
        if colon:
            ends.append(number_in(end, "end of a tier of egress", _GB, PriceError))
    return Egress(tuple(prices), tuple(ends), free_gb=free)


def egress_usd(egress: Egress, gb: float) -> float:
    """Return the USD for the bytes that leave in a month: each tier's bytes at its price, the free ones at none.

    Args:
        egress: The price.
        gb: 10^9 bytes that leave in a month.

    Raises:
        PriceError: The bytes are no number from 0.
    """
    left = number(gb, "gb of egress", _GB, PriceError)
    usd, begin = 0.0, 0.0
    for price, end in zip(egress.usd_per_gb, (*egress.up_to_gb, inf), strict=True):
        usd += price * max(0.0, min(left, end) - max(begin, egress.free_gb))
        begin = end
    return usd

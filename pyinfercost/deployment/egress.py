"""Prices of data that leaves a cloud, in tiers of a month."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from math import inf
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import _checks
from .._checks import Range, is_number, shown
from ..inputs.facts import facts
from ..inputs.price import PriceError
from ..inputs.settings import Settings, label, number, numbers
from ..inputs.transfer import EGRESS_USD_PER_GB

if TYPE_CHECKING:
    from typing_extensions import Self

EgressLike: TypeAlias = "Egress | str | float | Mapping[str, Any]"
"""A price of egress as `Egress.parse` accepts it."""

_GB = Range(0, 1e15, "times 10^9 bytes")
_TIERS = ("usd_per_gb", "up_to_gb")


class Egress(Settings):
    """Price of the bytes that leave a cloud in a month.

    It is read from a name of the catalog: `"aws"`, `"azure"`, `"gcp"`, `"gcp-standard"`, or `"inter-az"` (in each
    direction) and `"inter-region"`; from USD per 10^9 bytes; or from tiers such as `"free=100,0.09:10000,0.085"`:
    100 x 10^9 bytes free, then 0.09 USD per 10^9 bytes up to 10,000 x 10^9 of them, and 0.085 USD beyond.
    """

    kind = "egress"
    error = PriceError
    usd_per_gb: tuple[float, ...] = numbers(EGRESS_USD_PER_GB, "USD per 10^9 bytes in each tier, at most 1e4.")
    up_to_gb: tuple[float, ...] = numbers(
        _GB, "10^9 bytes of a month at which each tier but the last ends, in ascending order.", default=()
    )
    free_gb: float = number(
        _GB, "10^9 bytes of a month that cost nothing; they count in the tiers.", default=0.0, short="free"
    )
    name: str = label("Its name in the catalog; empty for a price of the caller.", default="")
    dated: str = label("Year, or year and month, of the price; empty if the caller gave it.", default="")
    source: str = label("Where the price was read.", default="given")

    def _check(self) -> None:
        ends = self.up_to_gb
        if len(self.usd_per_gb) != len(ends) + 1 or list(ends) != sorted(set(ends)):
            raise PriceError(
                f"egress has {len(self.usd_per_gb)} prices and ends of tiers at {shown(ends)}; pass a rising end for "
                "each price but the last"
            )

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Return the price that a value denotes: also a number, of USD per 10^9 bytes."""
        return cls(usd_per_gb=(value,)) if is_number(value) else super().parse(value)

    @classmethod
    def _of_text(cls, text: str) -> Self:
        known: Mapping[str, Any] = facts()["egress"]
        if text in known:
            table = dict(known[text])
            return cls(name=text, dated=table.pop("date"), **table)
        if not any(map(str.isdigit, text)):
            raise PriceError(f"egress is {shown(text)}; {cls._expected()}")
        parts = [part.strip() for part in text.split(",")]
        tiers = [part.partition(":") for part in parts if "=" not in part]
        named = [part for part in parts if "=" in part]
        columns = [usd for usd, _, _ in tiers], [end for _, colon, end in tiers if colon]
        named += [f"{name}={':'.join(texts)}" for name, texts in zip(_TIERS, columns, strict=True) if texts]
        return super()._of_text(",".join(named))

    @classmethod
    def _expected(cls) -> str:
        tiers = "USD per 10^9 bytes, or tiers such as free=100,0.09:10000,0.085"
        return super()._expected().replace("expected ", f"expected {', '.join(facts()['egress'])}, {tiers}, or ")

    def __str__(self) -> str:
        """`aws`, or `free=100,0.09:10000,0.085:50000,0.05`, as `parse` accepts it."""
        if self.name in facts()["egress"] and self == type(self).parse(self.name):
            return self.name
        parts = self._parts()
        columns = [parts.pop(name, "").partition("=")[2].split(":") for name in _TIERS]
        tiers = [":".join(filter(None, tier)) for tier in zip_longest(*columns, fillvalue="")]
        return ",".join([*parts.values(), *tiers])


def egress_usd(egress: Egress, gb: float) -> float:
    """Return the USD for the bytes that leave in a month: each tier's bytes at its price, the free ones at none.

    Args:
        egress: The price.
        gb: 10^9 bytes that leave in a month.

    Raises:
        PriceError: The bytes are no number from 0.
    """
    left = _checks.number(gb, "gb of egress", _GB, PriceError)
    usd, begin = 0.0, 0.0
    for price, end in zip(egress.usd_per_gb, (*egress.up_to_gb, inf), strict=True):
        usd += price * max(0.0, min(left, end) - max(begin, egress.free_gb))
        begin = end
    return usd

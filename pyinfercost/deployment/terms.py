"""The terms on which a machine is used: what an hour costs, how busy it is, where it stands, how data gets there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..results.costs import Place, Price, Transfer


class UtilizationError(ValueError):
    """A utilization out of range."""


@dataclass(frozen=True)
class Terms:
    """The terms on which one machine is used.

    Attributes:
        price: what an hour of it costs; None where nobody asked.
        utilization: share of the paid time in which it works.
        place: where it stands; None where nothing says.
        transfer: how data gets there; None where it does not count: then copies are reported, and no part of the cost.
    """

    price: Price | None = None
    utilization: float = 1.0
    place: Place | None = None
    transfer: Transfer | None = None

    def __post_init__(self) -> None:
        if not 0 < self.utilization <= 1:
            raise UtilizationError(
                f"utilization is {self.utilization}; expected above 0 and at most 1: the share of paid time in use"
            )


@dataclass(frozen=True)
class Asked:
    """What a caller said of the terms, before it is looked up for one machine: the arguments of `estimate`."""

    price: Any = None
    utilization: float = 1.0
    region: str | None = None
    transfer: Any = None

    def of(self, device: str, threads: int | None) -> Terms:
        """The same for a device, as `terms_of` has it."""
        return terms_of(
            device,
            price=self.price,
            utilization=self.utilization,
            region=self.region,
            transfer=self.transfer,
            threads=threads,
        )


def terms_of(
    device: str,
    *,
    price: Any = None,
    utilization: float = 1.0,
    region: str | None = None,
    transfer: Any = None,
    threads: int | None = None,
) -> Terms:
    """The terms of one device from what a caller gives: the arguments of `estimate`.

    Raises:
        ValueError: for a price, a utilization, a place or a way of transfer that cannot be understood.
    """
    paid = price_of_device(price, device, threads)
    return Terms(paid, utilization, where_is(paid, region), transfer_terms(transfer))


def price_of_device(price: Any, device: str, threads: int | None) -> Price | None:
    """What an hour of a device costs, however that was said; None where it was not."""
    if price is None:
        return None
    from . import price_of

    return price_of(price, device, threads=threads)


def where_is(price: Price | None, region: str | None) -> Place | None:
    """Where a machine stands: at the region, or where its price is from; None where neither says."""
    cloud, of_price, pue = ("", "", None) if price is None else (price.cloud, price.region, price.pue)
    if region is None and not of_price:
        return None
    from .place_catalog import place, place_of

    if region is not None:
        return place(region, cloud=cloud)
    return place_of(cloud, of_price) if cloud else place(of_price, pue=pue)


def transfer_terms(transfer: Any) -> Transfer | None:
    """How data gets to a machine, however that was said; None where it was not."""
    from . import transfer_of

    return transfer_of(transfer)

"""The catalogue of prices as a table and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .tabular import Column
from .text import significant

if TYPE_CHECKING:
    from ..deployment.offer_catalog import Offer


def price_columns(offers: Sequence[Offer]) -> list[Column]:
    """Who rents out what, and what an hour of one device of it costs."""

    def per_device(terms: str) -> list[str]:
        return [significant(each.usd_per_h[terms] / each.devices) if terms in each.usd_per_h else "" for each in offers]

    return [
        Column("instance", "", [each.name for each in offers], numeric=False, flexible=True),
        Column("device", "", [each.device for each in offers], numeric=False),
        Column("devices", "", [f"{each.devices:g}" for each in offers]),
        Column("instance", "USD/h", [significant(each.usd_per_h["on-demand"]) for each in offers]),
        Column("device", "USD/h", per_device("on-demand")),
        Column("spot", "USD/h", per_device("spot")),
        Column("of", "", [each.dated for each in offers], numeric=False),
        Column("age", "months", [str(each.age_months()) if each.age_months() else "" for each in offers]),
    ]


def prices_document(offers: Sequence[Offer]) -> list[dict[str, Any]]:
    """The same as plain data, with sources and notes."""
    return [{"name": each.name, **asdict(each), "age_months": each.age_months()} for each in offers]

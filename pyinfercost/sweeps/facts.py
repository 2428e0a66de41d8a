"""What columns of results need to know beside the points themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .host_transfer import Moving

QUANTITIES = (
    "latency_s",
    "latency_low_s",
    "latency_high_s",
    "throughput_per_s",
    "compute_s",
    "dram_s",
    "cache_s",
    "launch_s",
    "energy_j",
    "energy_per_item_j",
    "peak_memory_bytes",
    "fits_in_memory",
    "transfer_s",
    "cold_start_s",
)
"""The columns of a sweep behind those that say which point a row is."""

TEXTS = ("hardware", "precision", "execution", "price")
"""Columns of words."""

IF_KNOWN = ("cost_usd", "usd_per_million_tokens", "carbon_g")
"""Columns that are there where prices are given, prices and tokens, places."""


def quantities(*, priced: bool, placed: bool, tokens: bool) -> tuple[str, ...]:
    """The columns of results: those that are always there, and those of prices, places and languages."""
    there = dict(zip(IF_KNOWN, (priced, priced and tokens, placed), strict=True))
    return (*QUANTITIES, *(name for name in IF_KNOWN if there[name]))


@dataclass(frozen=True)
class MachineFacts:
    """Per machine of a sweep: its id, its memory in bytes, and what it draws in the time in which it does not work.

    Per price and machine: `usd_per_h` of one device, `usd_per_j` that its owner pays for electricity, and `g_per_j`,
    grams of CO2 equivalent for a joule. `moving` is about transfer.
    """

    ids: tuple[str, ...]
    memory_bytes: tuple[float, ...]
    idle_w: tuple[float, ...]
    usd_per_h: tuple[tuple[float, ...], ...]
    usd_per_j: tuple[tuple[float, ...], ...]
    g_per_j: tuple[tuple[float, ...], ...]
    utilization: float
    moving: Moving

    def quantities(self) -> tuple[str, ...]:
        """The columns of results that are there."""
        return quantities(priced=bool(self.usd_per_h), placed=bool(self.g_per_j), tokens=self.moving.has_tokens)

"""What columns of results need beside the points themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..predict.boundary import boundary_of

if TYPE_CHECKING:
    from .._core import Graph
    from .deployments import Lookup

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

TEXTS = ("hardware", "precision", "execution", "price", "region", "transfer")
"""Columns of words."""

IF_KNOWN = ("cost_usd", "usd_per_million_tokens", "carbon_g")
"""Columns that are there where prices are given, prices and tokens, places."""


def quantities(*, priced: bool, placed: bool, tokens: bool) -> tuple[str, ...]:
    """The columns of results: those that are always there, and those of prices, places and languages."""
    there = dict(zip(IF_KNOWN, (priced, priced and tokens, placed), strict=True))
    return (*QUANTITIES, *(name for name in IF_KNOWN if there[name]))


@dataclass(frozen=True)
class SweepFacts:
    """What columns of results need beside the points.

    Attributes:
        graph: The model.
        terms: The numbers of `derived_costs.TERMS` at each point.
        utilization: Share of the paid time in which devices work, where the grid has no such axis.
        priced: Whether a price is known at some point.
        placed: Whether a region is known at some point.
    """

    graph: Graph = field(repr=False)
    terms: Mapping[str, Lookup]
    utilization: float
    priced: bool
    placed: bool

    def quantities(self) -> tuple[str, ...]:
        """The columns of results that are there."""
        tokens = boundary_of(self.graph, "native").tokens is not None
        return quantities(priced=self.priced, placed=self.placed, tokens=tokens)

    def content(self) -> tuple[Any, ...]:
        """Return all but the graph as plain values, for a hash."""
        terms = [(name, lookup.content()) for name, lookup in self.terms.items()]
        return terms, self.utilization, self.priced, self.placed

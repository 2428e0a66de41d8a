"""What columns of results need beside the points themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..predict.plans import boundary_of
from ..results import figures

if TYPE_CHECKING:
    from .._core import Graph
    from .deployments import Lookup

_ALWAYS = frozenset({figures.HARDWARE, figures.POWER, figures.LINK})
QUANTITIES = tuple(figure.key for figure in figures.of_scope(figures.SWEEP) if figure.needs <= _ALWAYS)
"""Columns that every sweep has, after those that identify a row; a figure that is unknown on a machine is NaN."""

IF_KNOWN = tuple(figure.key for figure in figures.of_scope(figures.SWEEP) if not figure.needs <= _ALWAYS)
"""Columns that are there if what they need is given: prices, places, a model that reads tokens."""

TEXTS = ("hardware", "precision", "execution", "price", "region", "transfer")
"""Columns of words."""


def quantities(*given: str) -> tuple[str, ...]:
    """Return the columns of results.

    Args:
        *given: the needs that are met, of `results.figures`: `PRICE`, `PLACE`, `TOKENS`, `CACHE`.
    """
    met = _ALWAYS | set(given)
    return tuple(figure.key for figure in figures.of_scope(figures.SWEEP) if figure.needs <= met)


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
        boundary = boundary_of(self.graph, "native")
        needs = (
            (figures.PRICE, self.priced),
            (figures.PLACE, self.placed),
            (figures.TOKENS, boundary.tokens is not None),
            (figures.CACHE, boundary.kv_cache_bytes is not None),
        )
        return quantities(*(need for need, met in needs if met))

    def content(self) -> tuple[Any, ...]:
        """Return all but the graph as plain values, for a hash."""
        terms = [(name, lookup.content()) for name, lookup in self.terms.items()]
        return terms, self.utilization, self.priced, self.placed

"""What columns of results need to know beside the points themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..results import figures

if TYPE_CHECKING:
    from .host_transfer import Moving

_ALWAYS = frozenset({figures.HARDWARE, figures.POWER, figures.LINK})
QUANTITIES = tuple(figure.key for figure in figures.of_scope(figures.SWEEP) if figure.needs <= _ALWAYS)
"""Columns that every sweep has, after those that identify a row; a figure that is unknown on a machine is NaN."""

IF_KNOWN = tuple(figure.key for figure in figures.of_scope(figures.SWEEP) if not figure.needs <= _ALWAYS)
"""Columns that are there if what they need is given: prices, places, a model that reads tokens."""

TEXTS = ("hardware", "precision", "execution", "price")
"""Columns of words."""


def quantities(*given: str) -> tuple[str, ...]:
    """Return the columns of results.

    Args:
        *given: the needs that are met, of `results.figures`: `PRICE`, `PLACE`, `TOKENS`, `CACHE`.
    """
    met = _ALWAYS | set(given)
    return tuple(figure.key for figure in figures.of_scope(figures.SWEEP) if figure.needs <= met)


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
    utilisation: float
    moving: Moving

    def quantities(self) -> tuple[str, ...]:
        """The columns of results that are there."""
        needs = (
            (figures.PRICE, bool(self.usd_per_h)),
            (figures.PLACE, bool(self.g_per_j)),
            (figures.TOKENS, self.moving.has_tokens),
            (figures.CACHE, self.moving.has_cache),
        )
        return quantities(*(need for need, met in needs if met))

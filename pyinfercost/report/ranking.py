"""By which figure the rows of a profile are sorted, and what the most costly of them are of the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .text import percent, quantity

if TYPE_CHECKING:
    from .._core import Quantity
    from ..results.profile import Profile
    from .rows import Row, Shown

SORTS = ("latency", "flops", "traffic", "params", "energy", "memory", "share")
"""What rows can be sorted by; `share` is the latency, or FLOPs without hardware."""
TIMED = ("latency", "energy")
"""Those that only a machine has."""


@dataclass(frozen=True)
class Ranking:
    """A figure that every row has.

    Attributes:
        name: one of `SORTS`; what `share` stands for, and not `share` itself.
        words: what it is the share of, for people.
        value: the figure of a row; None where it is not known.
        total: that of the whole model.
    """

    name: str
    words: str
    value: Callable[[Row], Quantity | float | None]
    total: Quantity | float

    def key(self, row: Row) -> float:
        """The figure as a number to sort by; what is not known comes last."""
        value = self.value(row)
        return value if row.known and isinstance(value, (int, float)) else -1.0


def ranking_of(profile: Profile, sort: str) -> Ranking:
    """What a word of `SORTS` means in a profile.

    Raises:
        ValueError: it is not one of them, or the profile does not have the figure.
    """
    if sort not in SORTS:
        raise ValueError(f"rows are sorted by {', '.join(SORTS)}; got {sort!r}")
    total, estimate = profile.counts.total, profile.estimate
    if sort == "share":
        sort = "flops" if estimate is None else "latency"
    if sort in TIMED and estimate is None:
        raise ValueError(f"rows cannot be sorted by {sort}, which only a machine has: profile with hardware=")
    if sort == "latency" and estimate is not None:
        return Ranking(sort, "latency", lambda row: row.latency_s, estimate.latency_s)
    if sort == "energy" and estimate is not None:
        if estimate.energy_j is None:
            raise ValueError(
                f"rows cannot be sorted by energy: the file of {estimate.hardware} gives no power; "
                "sort by latency, or name a machine whose power is known"
            )
        return Ranking(sort, "energy", lambda row: row.energy_j, estimate.energy_j)
    if sort == "traffic":
        return Ranking(sort, "traffic", lambda row: row.traffic_bytes, total.bytes_read + total.bytes_written)
    if sort == "params":
        return Ranking(sort, "parameters", lambda row: row.parameters, total.parameters)
    if sort == "memory":
        return Ranking(sort, "activations", lambda row: row.memory_bytes, total.peak_activation_bytes)
    return Ranking(sort, "FLOPs", lambda row: row.flops, total.flops)


def of_the_whole(shown: Shown) -> str:
    """What the rows of a list are of the whole model, and how many there are beside them."""
    ranking, rows = shown.ranking, len(shown.rows)
    if ranking is None or shown.left_out is None:
        return ""
    these = f"These {rows} of {rows + shown.left_out:,} rows"
    rest = f"{shown.left_out:,} rows with less are left out." if shown.left_out else "none is left out."
    if ranking.name == "memory":  # what is held at one time and at another does not add up
        return f"{these} run while most is held, up to {quantity(ranking.total, 'B')} of activations; {rest}"
    part = sum(max(ranking.key(row), 0.0) for row in shown.rows)
    if not isinstance(ranking.total, (int, float)):
        return f"{these} have most {ranking.words}; {rest}"
    share = part / ranking.total if ranking.total else 0.0
    return f"{these} have {percent(share)} % of the {ranking.words}; {rest}"

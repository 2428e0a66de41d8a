"""Number of rows for the experts of one rank of a mixture of experts.

`balanced`: every expert gets the same number.

`power_law_A`: the number of rows of an expert is drawn from a density proportional to x^-A between 1 and 0.8 times the
tokens (between 0.01 and 2 for fewer rows than experts), all numbers are scaled to tokens x top_k rows, and the rank
with the most rows is used. The harness behind these tables draws its routing this way (its source, from memory). Here
it is the mean of seeded draws, so that predictions are reproducible.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

_DRAWS = 64
_LARGEST_SHARE = 0.8
_FEW_ROWS = (0.01, 2.0)


class Routed(NamedTuple):
    """Load of the rank of a row.

    Attributes:
        rows: Number of rows of its experts, of tokens x top_k.
        used: Number of its experts with any rows.
        largest: Number of rows of its busiest expert.
    """

    rows: int
    used: int
    largest: int


def _whole(shares: np.ndarray, total: int) -> np.ndarray:
    """Return integer rows per expert for each draw, with a fixed sum, by the method of largest remainders."""
    rows = np.floor(shares)
    for draw, remainder in zip(rows, shares - rows, strict=True):
        lost = total - int(draw.sum())
        draw[np.argsort(-remainder, kind="stable")[:lost]] += 1
    return rows


@cache
def routed(routing: str, tokens: int, top_k: int, experts: int, ranks: int) -> Routed | None:
    """Return the load of one rank; None for an unknown routing.

    Args:
        routing: `balanced`, or `power_law_` and the exponent.
        tokens: Number of tokens of all ranks.
        top_k: Number of experts per token.
        experts: Number of experts of all ranks.
        ranks: Number of ranks that share the experts.

    Returns:
        The load, or None.
    """
    pairs, local = tokens * top_k, max(experts // ranks, 1)
    if routing in ("", "balanced", "uniform"):
        rows = max(-(-pairs // ranks), 1)
        used = min(rows, local)
        return Routed(rows, used, -(-rows // used))
    kind, _, exponent = routing.rpartition("_")
    if kind != "power_law":
        return None
    low, high = (1.0, max(_LARGEST_SHARE * tokens, 1.0)) if pairs > experts else _FEW_ROWS
    power = 1 - float(exponent)
    places = np.random.default_rng(0).random((_DRAWS, local * ranks))
    drawn = ((high**power - low**power) * places + low**power) ** (1 / power) if power else low * (high / low) ** places
    # A token is routed to an expert at most once.
    per_expert = np.minimum(_whole(drawn / drawn.sum(axis=1, keepdims=True) * pairs, pairs), tokens)
    per_rank = per_expert.reshape(_DRAWS, ranks, local)
    busiest = per_rank[np.arange(_DRAWS), per_rank.sum(axis=2).argmax(axis=1)]

    def mean(values: np.ndarray) -> int:
        return max(round(float(values.mean())), 1)

    return Routed(mean(busiest.sum(axis=1)), min(mean((busiest > 0).sum(axis=1)), local), mean(busiest.max(axis=1)))

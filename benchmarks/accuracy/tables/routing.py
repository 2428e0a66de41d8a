"""How many rows the experts of one rank of a mixture of experts get.

`balanced`: every expert gets as many.

`power_law_A`: the number of rows of an expert is drawn from a density proportional to x^-A between 1 and 0.8 times
the tokens (between 0.01 and 2 where there are fewer rows than experts), all are scaled to tokens x top_k rows, and
the rank that is looked at is the one with the most rows. That is how the harness that these tables come from draws
its routing (its source, from memory); here it is the mean of seeded draws, so that a prediction is the same every
time.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

_DRAWS = 64
_LARGEST_SHARE = 0.8
_FEW_ROWS = (0.01, 2.0)


class Routed(NamedTuple):
    """The load of the rank that a row is about.

    Attributes:
        rows: rows that its experts get, of tokens x top_k.
        used: how many of its experts get any.
        largest: rows of its busiest expert.
    """

    rows: int
    used: int
    largest: int


def _whole(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole rows of experts in each draw, that add up to all: largest remainders are rounded up."""
    rows = np.floor(shares)
    for draw, remainder in zip(rows, shares - rows, strict=True):
        lost = total - int(draw.sum())
        draw[np.argsort(-remainder, kind="stable")[:lost]] += 1
    return rows


@cache
def routed(routing: str, tokens: int, top_k: int, experts: int, ranks: int) -> Routed | None:
    """The load of one rank, None for a routing that is not known.

    Args:
        routing: `balanced`, or `power_law_` and the exponent.
        tokens: tokens of all ranks together.
        top_k: experts of each token.
        experts: experts of all ranks together.
        ranks: ranks that share out the experts.
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
    # A token goes to an expert once.
    per_expert = np.minimum(_whole(drawn / drawn.sum(axis=1, keepdims=True) * pairs, pairs), tokens)
    per_rank = per_expert.reshape(_DRAWS, ranks, local)
    busiest = per_rank[np.arange(_DRAWS), per_rank.sum(axis=2).argmax(axis=1)]

    def mean(values: np.ndarray) -> int:
        return max(round(float(values.mean())), 1)

    return Routed(mean(busiest.sum(axis=1)), min(mean((busiest > 0).sum(axis=1)), local), mean(busiest.max(axis=1)))

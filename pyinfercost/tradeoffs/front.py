"""The Pareto front of a trade-off: candidates that no other candidate dominates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .._core import pareto_front
from ..results.tradeoff import Tradeoff
from . import TradeoffError

COSTS = ("latency_s", "peak_memory_bytes", "parameter_bytes", "energy_j", "cost_usd", "measured_s")
"""Columns that a front can compare with accuracy; lower is better."""

_WHY_NONE = {
    "energy_j": "the power of the machine is unknown",
    "cost_usd": "no price was given",
    "measured_s": "nothing was measured; pass measure=True",
}


def front(result: Tradeoff, *columns: str) -> Tradeoff:
    """Return the rows that no other row dominates in accuracy and all of the columns.

    Rows without an accuracy or without one of the columns are left out. All of several equal rows are kept.

    Args:
        result: A trade-off.
        *columns: Costs to compare with accuracy, from `COSTS`; `latency_s` by default.

    Returns:
        A trade-off of these rows only, in their original order.

    Raises:
        TradeoffError: A column is unknown, or None in every row.
    """
    chosen = columns or ("latency_s",)
    for name in chosen:
        if name not in COSTS:
            raise TradeoffError(f"unknown column {name!r}; expected one of {', '.join(COSTS)}")
        if all(getattr(row, name) is None for row in result.rows):
            raise TradeoffError(f"no row has {name}: {_WHY_NONE.get(name, 'every candidate failed')}")
    values = [
        np.array([np.nan if (x := getattr(row, name)) is None else x for row in result.rows], dtype=np.float64)
        for name in ("accuracy", *chosen)
    ]
    kept = pareto_front(values, [result.maximize, *(False for _ in chosen)])
    return replace(result, rows=tuple(result.rows[place] for place in sorted(kept.tolist())), layers=())

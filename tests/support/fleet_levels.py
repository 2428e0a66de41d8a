"""Decisions of one autoscaler under loads whose level is given for every moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from support import fleet_cases as cases

Decisions = list[tuple[float, int, int]]


def requests_at_levels(levels: Sequence[tuple[float, int]], end_s: float) -> Any:
    """Return requests of which `levels[i][1]` are in service from `levels[i][0]` on, where none waits."""
    arrival: list[float] = []
    service: list[float] = []
    for (from_s, count), (to_s, _) in zip(levels, [*levels[1:], (end_s, 0)], strict=True):
        arrival += [from_s] * count
        service += [to_s - from_s] * count
    return cases.requests(arrival, service)


def decisions_at_levels(scaler: Any, levels: Sequence[tuple[float, int]], end_s: float, **pool: Any) -> Decisions:
    """Return when an autoscaler changes the replicas from what to what.

    Replicas have room for all requests, so that none waits if there is one. Levels change before a decision of the same
    time. With `min_replicas` at least 1 and `start_replicas` as given.
    """
    settings = {"min_replicas": 1, **pool}
    fleet = cases.fleet(cases.pool(cases.slots(1 << 20), scaler, **settings), horizon_s=end_s)
    return cases.decisions(cases.run(fleet, requests_at_levels(levels, end_s)))


def arrivals_per_minute(rates: Sequence[int]) -> Any:
    """Return requests that come evenly, as many in each minute, and take a tenth of a second."""
    times = [60 * i + 60 * (np.arange(rate) + 0.5) / rate for i, rate in enumerate(rates) if rate]
    return cases.requests(np.concatenate(times), 0.1)


def decisions_at_rates(scaler: Any, rates: Sequence[int], **pool: Any) -> Decisions:
    """Return the same for requests per minute."""
    settings = {"min_replicas": 1, **pool}
    fleet = cases.fleet(cases.pool(cases.slots(1 << 20), scaler, **settings), horizon_s=60.0 * len(rates) + 1)
    return cases.decisions(cases.run(fleet, arrivals_per_minute(rates)))

"""Reasons: why a tactic does not help, as the mechanism with figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..results.estimate import BOUNDS
from ..results.units import percent, quantity

if TYPE_CHECKING:
    from ..results.estimate import Estimate
    from .case import Case
    from .tactic import Tried

WORDS: Mapping[str, str] = {
    "compute": "arithmetic",
    "dram": "memory traffic",
    "cache": "cache traffic",
    "link": "traffic between devices",
    "launch": "launches of kernels",
}
"""Term of a latency -> what binds it, in words."""

_NOTABLE = 0.02
"""Least change of a term, as a share of the latency, that a reason names."""


def bound_words(estimate: Estimate) -> str:
    """Return what binds a forward: `62 % memory traffic, 30 % launches of kernels`."""
    shares = sorted(estimate.bound_shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{percent(share)} % {WORDS[name]}" for name, share in shares if share >= _NOTABLE)


def seconds_by_bound(estimate: Estimate) -> dict[str, float]:
    """Return the seconds of an item that each term binds."""
    rate = estimate.throughput_per_s or 0.0
    seconds = 1 / rate if rate > 0 else estimate.latency_s
    return {name: estimate.bound_shares.get(name, 0.0) * seconds for name in BOUNDS}


def reason(tried: Tried, case: Case) -> str:
    """Return why an option does not help: which terms of the time of an item fall, and which do not."""
    before, after = case.estimate, tried.estimate
    if before is None or after is None:
        return ""
    old, new = seconds_by_bound(before), seconds_by_bound(after)
    whole = sum(old.values())
    changes = {name: new[name] - old[name] for name in BOUNDS}
    falls = [name for name in BOUNDS if changes[name] < -_NOTABLE * whole]
    rises = [name for name in BOUNDS if changes[name] > _NOTABLE * whole]
    told = [f"{WORDS[name]} {_span(old[name], new[name])}" for name in (*falls, *rises)]
    if not told:
        return f"the time of an item stays {quantity(whole, 's')}: {bound_words(after)}"
    total = _span(whole, sum(new.values()))
    return f"an item takes {total}: {', '.join(told)}; what remains is {bound_words(after)}"


def _span(old: float, new: float) -> str:
    return f"{quantity(new, 's')} instead of {quantity(old, 's')}"

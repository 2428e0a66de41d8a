"""Error bands of latencies, for one number and for columns alike."""

from __future__ import annotations

from typing import TypeVar

Seconds = TypeVar("Seconds")  # a float, or an array of them

_LEAST_S = 1e-300  # keeps 0 / 0 at 0


def band(latency_s: Seconds, spread_s: Seconds) -> tuple[Seconds, Seconds]:
    """Within which four of five measurements are expected.

    Args:
        latency_s: what was predicted.
        spread_s: the sum over all kernels of their latency times the spread of their class.

    Returns:
        The ends of the band: as many times less as it is more.
    """
    high_s = latency_s + spread_s  # type: ignore[operator]
    return latency_s * (latency_s / (high_s + _LEAST_S)), high_s

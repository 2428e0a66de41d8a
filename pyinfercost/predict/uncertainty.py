"""Error bands of latencies, for one number and for columns alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .._core import Hardware

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


def energy_spread(machine: Hardware, of_latency: float) -> float:
    """How far joules may be off, as a fraction: what the power may be off, and the latency on top of it.

    Both errors are taken to have nothing to do with each other.
    """
    of_power = machine.constant("energy.spread")
    return float((of_power**2 + of_latency**2) ** 0.5)

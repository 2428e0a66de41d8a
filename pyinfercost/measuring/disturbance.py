"""Signs of other processes during a calibration: the load of the system, and rates in an impossible order."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .derive_constants import Readings

_IDLE_LOAD, _IDLE_SHARE = 0.5, 0.25  # of an otherwise idle machine: processes that run, or their share of the cores
_SLOWER = 0.9  # ratio of two rates below which the first is surely the smaller
_CACHES = ("l2", "llc")


def system_load() -> float | None:
    """Return the mean number of processes that ran in the last minute; None where the system does not tell it."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def is_busy(load: float | None) -> bool:
    """Return whether the load of a system is known and too high for an idle machine."""
    return load is not None and load > max(_IDLE_LOAD, _IDLE_SHARE * (os.cpu_count() or 1))


def disturbances(readings: Readings, load_before: float | None) -> list[str]:
    """Return the signs of a disturbed calibration; empty for a quiet machine.

    Args:
        readings: The measurements.
        load_before: The load of the system before the first measurement.
    """
    found = [f"{load_before:.1f} processes ran before the first measurement"] if is_busy(load_before) else []
    seconds = readings.seconds
    for name in sorted(name for name in seconds if name.startswith("peak.") and f"{name}.one" in seconds):
        together, alone = readings.rate(name), readings.rate(f"{name}.one")
        if readings.threads > 1 and together < _SLOWER * alone:
            dtype = name.removeprefix("peak.")
            found.append(f"{readings.threads} threads multiply {dtype} at {together / alone:.2f} of the rate of one")
    for level in _CACHES:
        name = f"{level}.add"
        if name in seconds and readings.rate(name) < _SLOWER * readings.rate("dram.add"):
            share = readings.rate(name) / readings.rate("dram.add")
            found.append(f"the cache {level} is read at {share:.2f} of the rate of the memory behind it")
    return found

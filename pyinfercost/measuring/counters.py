"""Interface of energy counters and the error for a missing one. Imports no torch."""

from __future__ import annotations

from typing import Protocol

RESOLUTION = 0.01
"""Maximum share of one counter step in a reading: forwards are repeated until it is reached."""


class NoCounterError(Exception):
    """No energy counter is readable.

    Attributes:
        looked_for: The missing counter.
        why: The reason.
        remedy: The step that makes it available.
    """

    def __init__(self, looked_for: str, why: str, remedy: str) -> None:
        super().__init__(f"{looked_for} not available: {why}. {remedy}")
        self.looked_for = looked_for
        self.why = why
        self.remedy = remedy


class Counter(Protocol):
    """Counter of the energy of a part of the machine.

    Attributes:
        source: Short name: `rapl:package-0+dram`, `nvml:counter`, `nvml:sampled`.
        covers: Description of the measured hardware.
        step_s: Seconds between updates; a difference of readings is exact to one update.
        idle_s: Seconds of sleep needed to measure idle power within a few percent.
        look_every_s: Maximum seconds between readings before the counter wraps; None if it never does.
    """

    source: str
    covers: str
    step_s: float
    idle_s: float
    look_every_s: float | None

    def read_j(self) -> float:
        """Return joules since an arbitrary start.

        Raises:
            NoCounterError: The counter is no longer readable.
        """

    def rest(self, seconds: float) -> None:
        """Sleep; a counter may measure its update interval meanwhile."""

    def close(self) -> None:
        """Release resources."""

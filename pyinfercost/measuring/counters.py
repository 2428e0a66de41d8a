"""What a counter of joules is, and how it says that there is none. No torch."""

from __future__ import annotations

from typing import Protocol

RESOLUTION = 0.01
"""The share of a reading that one step of its counter may be: forwards are repeated until it is no more."""


class NoCounterError(Exception):
    """Nothing here tells joules.

    Attributes:
        looked_for: what would have told them.
        why: why it does not.
        remedy: what to do to have it.
    """

    def __init__(self, looked_for: str, why: str, remedy: str) -> None:
        super().__init__(f"looked for {looked_for}: {why}. {remedy}")
        self.looked_for = looked_for
        self.why = why
        self.remedy = remedy


class Counter(Protocol):
    """Joules that a part of the machine has taken since some moment.

    Attributes:
        source: a short tag: `rapl:package-0+dram`, `nvml:counter`, `nvml:sampled`.
        covers: whose joules these are, in words.
        step_s: seconds between two steps of what is read, so that a difference is true to one step's worth.
        idle_s: seconds of rest after which its idle draw is known to a few percent.
        look_every_s: seconds within which it has to be read again, or it loses track; None where it never does.
    """

    source: str
    covers: str
    step_s: float
    idle_s: float
    look_every_s: float | None

    def read_j(self) -> float:
        """Joules so far.

        Raises:
            NoCounterError: it does not tell them any more.
        """

    def rest(self, seconds: float) -> None:
        """Lets time pass without work of its own; a counter may find out meanwhile how often it steps."""

    def close(self) -> None:
        """Gives back what it holds."""

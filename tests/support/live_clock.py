"""A monotonic clock that tests set by hand."""

from __future__ import annotations


class Clock:
    """Nanoseconds that pass when a test says so."""

    def __init__(self, now_ns: int = 1_000_000_000) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        """Return the time."""
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(seconds * 1e9)

"""Energy of the machine of a live model, added up in the background."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..measuring.counters import NoCounterError
from ..measuring.energy import energy_counter

if TYPE_CHECKING:
    from ..measuring.counters import Counter

_LOOK_EVERY_S = 5.0


class Power:
    """Joules of a device since its start, by its own counter; other processes on it are included.

    Attributes:
        source: The counter; None if none is readable.
        covers: The devices that it measures.
        why_not: Reason if there is none.
    """

    def __init__(self, device: str) -> None:
        """Open the counter.

        Args:
            device: `"cpu"`, `"cuda"` or `"cuda:1"`, in torch's notation.
        """
        self.source: str | None = None
        self.covers: str | None = None
        self.why_not: str | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._counter: Counter | None = None
        self._began_j = self._last_j = 0.0
        self._thread: threading.Thread | None = None
        try:
            self._counter = counter = energy_counter(device)
            self._began_j = self._last_j = counter.read_j()
        except NoCounterError as error:
            self.why_not = f"energy is not measured: {error}"
            return
        self.source, self.covers = counter.source, counter.covers
        # Counters that wrap, and sampled power, need readings between snapshots.
        every_s = _LOOK_EVERY_S if counter.look_every_s is None else min(_LOOK_EVERY_S, counter.look_every_s)
        self._thread = threading.Thread(target=self._look, args=(every_s,), name="pyinfercost-power", daemon=True)
        self._thread.start()

    def energy_j(self) -> float | None:
        """Return joules since the start; None if they are not, or no longer, measured."""
        with self._lock:
            if self._counter is None:
                return None
            try:
                # A counter that was reset, as by a new driver, does not take energy back.
                self._last_j = max(self._last_j, self._counter.read_j())
            except NoCounterError as error:
                self.why_not = f"energy is no longer measured: {error}"
                self._counter.close()
                self._counter = None
                return None
            return self._last_j - self._began_j

    def close(self) -> None:
        """Close the counter."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        with self._lock:
            if self._counter is not None:
                self._counter.close()
                self._counter = None

    def _look(self, every_s: float) -> None:
        while not self._closing.wait(every_s):
            if self.energy_j() is None:
                return

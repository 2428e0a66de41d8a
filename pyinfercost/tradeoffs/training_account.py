"""Seconds and joules of a training, and Ctrl-C between its steps."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from ..errors import EnergyUnknownWarning
from ..measuring.energy import EnergyMeter


class Account:
    """Seconds and joules of the sections of a training that are added to it.

    Args:
        device: The device, in torch's notation.
        seconds: Seconds of earlier parts.
        joules: Joules of earlier parts; None if they are unknown.
        energy: Whether to read the energy counter.

    Attributes:
        seconds: Seconds so far.
        joules: Joules so far of the whole processors or the board; None without a readable counter.
    """

    def __init__(self, device: str, seconds: float = 0.0, joules: float | None = 0.0, *, energy: bool = True) -> None:
        self.seconds = seconds
        self.joules = joules if energy else None
        self._meter = EnergyMeter(device, idle_s=0) if self.joules is not None else None
        self._began = time.perf_counter()

    def __enter__(self) -> Account:
        if self._meter is not None:
            with _quiet():
                self._meter.open()
        self.skip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._meter is not None:
            self._meter.close()

    def add(self) -> None:
        """Add the section that ends now, and begin the next one."""
        self.seconds += time.perf_counter() - self._began
        if self._meter is not None and self.joules is not None:
            with _quiet():
                self._meter.stop()
            used = self._meter.joules
            self.joules = None if used is None else self.joules + used
        self.skip()

    def skip(self) -> None:
        """Begin a section; the time since the last one is of no training."""
        if self._meter is not None:
            with _quiet():
                self._meter.start()
        self._began = time.perf_counter()


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the warning of an unreadable counter, as joules of None tell it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EnergyUnknownWarning)
        yield


@contextmanager
def interrupt_between_steps() -> Iterator[threading.Event]:
    """Set an event at Ctrl-C in place of an exception amid a step; a second one raises at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach the main thread alone
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)

"""Work of an exporter in the background, whose failures reach nobody but are counted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..._checks import Range, number
from ..._escapes import visible_lines

if TYPE_CHECKING:
    from ..observer import Observer

INTERVAL_S = 15.0
"""Time between two deliveries."""

_INTERVALS = Range(0.01, 86_400.0, "seconds")
_PATIENCE_S = 5.0  # for the last delivery, before the process may end


LOG = logging.getLogger(__name__)


@runtime_checkable
class Exporter(Protocol):
    """A destination of the figures of a live model."""

    def start(self, observer: Observer) -> None:
        """Begin to export the figures of an observer. Failures are logged; none reaches the model."""

    def close(self) -> None:
        """Deliver the rest, and stop. A second call has no effect."""


class Failures:
    """Failures of an exporter: all are counted, the first one is logged as a warning.

    Args:
        who: The exporter, for the message.

    Attributes:
        count: Failures so far.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self.count = 0

    def add(self, error: Exception) -> None:
        """Count a failure."""
        self.count += 1
        if self.count == 1:
            told = visible_lines(f"{type(error).__name__}: {error}")
            LOG.warning("%s failed, and tries again; further failures are counted: %s", self._who, told)


class Periodic:
    """A thread that calls a function at regular intervals, and once more at the end.

    Args:
        deliver: The function. It is called by one thread at a time.
        interval_s: Time between calls.
        failures: Counts calls that raise an exception.

    Raises:
        InputError: The interval is out of range.
    """

    def __init__(self, deliver: Callable[[], object], interval_s: float, failures: Failures) -> None:
        self._deliver = deliver
        self._interval_s = number(interval_s, "interval_s", _INTERVALS)
        self._failures = failures
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        self._thread = threading.Thread(target=self._run, name="pyinfercost exporter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let the thread deliver once more and end; a delivery that hangs is left behind after five seconds."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            self._call()
        self._call()

    def _call(self) -> None:
        try:
            self._deliver()
        except Exception as error:
            self._failures.add(error)

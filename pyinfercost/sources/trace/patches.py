"""Process-wide changes to torch: applied for the first capture that needs them, reverted after the last one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


class SharedChange:
    """A change that is active while any thread needs it.

    Args:
        make: Called when the first user begins.
        undo: Called when the last user has ended.
    """

    def __init__(self, make: Callable[[], None], undo: Callable[[], None]) -> None:
        self._make = make
        self._undo = undo
        self._lock = threading.Lock()
        self._users = 0

    @contextlib.contextmanager
    def needed(self) -> Iterator[None]:
        """Keep the change active within the context."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._make()
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._undo()

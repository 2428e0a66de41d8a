"""Changes to torch that belong to the process: made for the first capture that needs them, undone after the last."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


class SharedChange:
    """A change that lasts as long as anybody needs it, in whatever thread.

    Args:
        make: called when the first one begins.
        undo: called when the last one has ended.
    """

    def __init__(self, make: Callable[[], None], undo: Callable[[], None]) -> None:
        self._make = make
        self._undo = undo
        self._lock = threading.Lock()
        self._users = 0

    @contextlib.contextmanager
    def needed(self) -> Iterator[None]:
        """While a capture needs it."""
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

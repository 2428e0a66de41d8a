"""Pools of processes that wait for ever for a worker that is dead, and how they are made to notice."""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import suppress
from typing import Any

SILENT_S = 5.0
"""How long a pool may know of no death of its own, once a worker is dead and nothing comes."""


class Watch:
    """Watches a pool of processes while nothing comes from it.

    A worker that is killed, by a shortage of memory for example, leaves its pool broken: `concurrent.futures` notices
    and ends all tasks with `BrokenProcessPool`. Not so where it dies in the middle of sending a result: the pool reads
    on for the rest of it, and neither its tasks nor its `shutdown` ever end.
    """

    def __init__(self, executor: Executor) -> None:
        """Args: executor: any; those that are no process pool of the standard library are left alone."""
        self._executor: Any = executor if isinstance(executor, ProcessPoolExecutor) else None
        self._since: float | None = None

    def look(self, finished: Collection[object]) -> None:
        """Breaks the pool where a worker has been dead for a while and nothing has finished since.

        Args:
            finished: what has finished since the last look.
        """
        if self._executor is None:
            return
        now = time.monotonic()
        if finished or not self._has_a_dead_worker():
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since > SILENT_S:
            self._since = None
            self._break()

    def _has_a_dead_worker(self) -> bool:
        processes = getattr(self._executor, "_processes", None)  # None once the pool has shut down
        return any(process.exitcode for process in list((processes or {}).values()))

    def _break(self) -> None:
        # The standard library ends the other workers, too, when one dies. With the last end of the pipe that could
        # still write to it, its reader comes to an end, and the pool then breaks in its usual way.
        for process in list((self._executor._processes or {}).values()):
            process.kill()
        with suppress(AttributeError, OSError):
            self._executor._result_queue._writer.close()

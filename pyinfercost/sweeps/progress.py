"""Progress of a long job: rate and time left, on a terminal."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import timedelta
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 1.0
"""Seconds after which a bar appears."""


@contextmanager
def reporting(
    progress: Literal[True] | Callable[[int, int], None] | None, total: int, done: int = 0
) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of points done.

    Args:
        progress: True shows a bar on stderr at once, None after a second; a function is called with the points done and
            all points.
        total: Number of all points.
        done: Points that were done before; a function is first called with them, if there are any.
    """
    if callable(progress):
        if done:
            progress(done, total)
        yield lambda now: progress(now, total)
    else:
        bar = _Bar(total, done, patience_s=0.0 if progress else PATIENCE_S)
        try:
            yield bar.update
        finally:
            bar.close()


class _Bar:
    """A bar of rich that appears after some time; a shorter job never imports rich.

    A timer opens it, on a thread of its own, so that it appears even if no point is done.
    """

    def __init__(self, total: int, done: int, patience_s: float) -> None:
        self._total = total
        self._first = self._done = done
        self._start_s = time.monotonic()
        self._lock = Lock()
        self._closed = False
        self._bar: Any = None
        self._task: Any = None
        self._timer = Timer(patience_s, self._open)
        self._timer.daemon = True
        if patience_s > 0:
            self._timer.start()
        else:
            self._open()

    def update(self, done: int) -> None:
        with self._lock:
            self._done = done
            self._show()

    def close(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._closed = True
            if self._bar is not None:
                self._bar.stop()

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        with self._lock:
            if self._closed:
                return
            self._bar = Progress(
                TextColumn("sweep"),
                BarColumn(),
                TextColumn("{task.percentage:3.0f} % of {task.total:,.0f} points{task.fields[pace]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("sweep", total=self._total, completed=self._first, pace="")
            self._show()
            self._bar.start()

    def _show(self) -> None:
        if self._bar is not None:
            elapsed_s = time.monotonic() - self._start_s
            self._bar.update(
                self._task, completed=self._done, pace=pace(self._done - self._first, elapsed_s, self._left)
            )

    @property
    def _left(self) -> int:
        return self._total - self._done


def pace(done: int, elapsed_s: float, left: int) -> str:
    """Return the rate and the time left as text; empty if nothing is done."""
    if done <= 0 or elapsed_s <= 0:
        return ""
    rate = done / elapsed_s
    return f", {rate:,.0f} a second, {timedelta(seconds=round(left / rate))} left"

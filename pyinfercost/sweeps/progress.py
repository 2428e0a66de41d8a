"""How far a long job is: rate and time left, on a terminal, after a second."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from datetime import timedelta
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 1.0


@contextmanager
def reporting(
    progress: bool | Callable[[int, int], None] | None, total: int, done: int = 0
) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of points done.

    Args:
        progress: True shows a bar on stderr at once, None shows it on a terminal after a second, False never; a
            function is called with points done and points in all.
        total: points in all.
        done: points that were there before; where there are some, a function is called with them first.
    """
    if callable(progress):
        if done:
            progress(done, total)
        yield lambda now: progress(now, total)
    elif progress is False or (progress is None and not (sys.stderr is not None and sys.stderr.isatty())):
        yield lambda now: None
    else:
        bar = _Bar(total, done, patience_s=0.0 if progress else PATIENCE_S)
        try:
            yield bar.update
        finally:
            bar.close()


class _Bar:
    """A bar of rich that appears once the job has taken its time; a job of less never imports rich.

    It appears whether or not anything is done by then, so that a timer opens it, on a thread of its own.
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
    """The rate and the time left, in words; nothing where nothing is done yet."""
    if done <= 0 or elapsed_s <= 0:
        return ""
    rate = done / elapsed_s
    return f", {rate:,.0f} a second, {timedelta(seconds=round(left / rate))} left"

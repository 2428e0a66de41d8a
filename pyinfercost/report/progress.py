"""How far a long job is: rate and time left, on a terminal, after a second."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
        done: points that were there before.
    """
    if callable(progress):
        yield lambda now: progress(now, total)
    elif progress is False or (progress is None and not sys.stderr.isatty()):
        yield lambda now: None
    else:
        bar = _Bar(total, done, patience_s=0.0 if progress else PATIENCE_S)
        try:
            yield bar.update
        finally:
            bar.close()


class _Bar:
    """A bar of rich that appears once the job has taken its time; a job of less never imports rich."""

    def __init__(self, total: int, done: int, patience_s: float) -> None:
        self._total = total
        self._first = done
        self._patience_s = patience_s
        self._start_s = time.monotonic()
        self._stop: Callable[[], None] | None = None
        self._show: Callable[[int], None] | None = None

    def update(self, done: int) -> None:
        elapsed_s = time.monotonic() - self._start_s
        if self._show is None:
            if elapsed_s < self._patience_s or done >= self._total:
                return
            self._show = self._open()
        self._show(done)

    def close(self) -> None:
        if self._stop is not None:
            self._stop()

    def _open(self) -> Callable[[int], None]:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        bar = Progress(
            TextColumn("sweep"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} % of {task.total:,.0f} points"),
            TextColumn("{task.fields[rate]:,.0f} points/s"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        task = bar.add_task("sweep", total=self._total, completed=self._first, rate=0.0)
        bar.start()

        def show(done: int) -> None:
            elapsed_s = max(time.monotonic() - self._start_s, 1e-9)
            bar.update(task, completed=done, rate=(done - self._first) / elapsed_s)

        self._stop = bar.stop
        return show

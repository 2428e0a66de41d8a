"""What long commands show on stderr while they work: a spinner or a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from .._escapes import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_PROGRESS = "PYINFERCOST_NO_PROGRESS"
"""Variable that switches all of it off."""

_PATIENCE_S = 2.0  # a shorter command prints nothing
_EVERY_S = 10.0


class Progress(Protocol):
    """Takes the number of things that are done, and of all; 0 for an unknown number."""

    def __call__(self, done: int, total: int, /) -> None:
        """Note it."""


@contextmanager
def working(what: str, things: str = "", *, silent: bool = False) -> Iterator[Progress]:
    """Show that a command works, and how far it is; commands show it by no other means.

    On a terminal it is a spinner, or a bar once the number of all things is known. Elsewhere a line announces the work
    if it takes more than two seconds, and one follows every ten.

    Args:
        what: What it does, such as `"Capturing resnet18"`.
        things: What it counts, such as `"setups"`.
        silent: Show nothing.
    """
    if silent or os.environ.get(NO_PROGRESS, "").lower() in ("1", "true", "yes", "on"):
        yield lambda _done, _total: None
        return
    shown = _OnTerminal(what, things) if sys.stderr.isatty() else _Lines(what, things)
    try:
        yield shown.update
    finally:
        shown.close()


class _Lines:
    """One line after two seconds and one every ten, from a thread of its own."""

    def __init__(self, what: str, things: str) -> None:
        self._what, self._things = visible(what), visible(things)
        self._done = self._total = 0
        self._start_s = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pyinfercost progress", daemon=True)
        self._thread.start()

    def update(self, done: int, total: int) -> None:
        self._done, self._total = done, total

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        if self._ended.wait(_PATIENCE_S):
            return
        self._say(f"{self._what} ...")
        while not self._ended.wait(_EVERY_S):
            seconds = time.monotonic() - self._start_s
            self._say(f"{self._what}: {_state(self._done, self._total, self._things)}{seconds:.0f} s")

    def _say(self, line: str) -> None:
        try:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # nobody reads it any more
            self._ended.set()


def _state(done: int, total: int, things: str) -> str:
    if not done:
        return ""
    of = f" of {total:,}" if total > done + 1 else ""  # a search of unknown length states one more
    return f"{done:,}{of} {things}, " if things else f"{done:,}{of}, "


class _OnTerminal:
    """A spinner of rich; a bar once the number of all things is known."""

    def __init__(self, what: str, things: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._things = visible(things)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(visible(what), total=None, state="")
        self._bar.start()

    def update(self, done: int, total: int) -> None:
        state = _state(done, total, self._things).removesuffix(", ")
        self._bar.update(self._task, completed=done, total=total if total > done + 1 else None, state=state)

    def close(self) -> None:
        self._bar.stop()

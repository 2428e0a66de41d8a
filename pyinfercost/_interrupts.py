"""Ctrl-C on the command line: one line and one exit code, whenever it comes.

The package imports this module first. It imports little, since Python prints a traceback if Ctrl-C comes before.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time

STOPPED = 130
"""Exit code after Ctrl-C: 128 plus the number of SIGINT, the convention of shells."""

WORDS = "Stopped"
"""What is printed after Ctrl-C."""

_NAMES = ("pyinfercost", "pyinfercost.exe", "pyinfercost-script.py")
_MOMENT_S = 0.001


def is_command() -> bool:
    """Return whether this process is the command `pyinfercost`, or `python -m pyinfercost` that begins."""
    first, words = [*getattr(sys, "argv", ()), ""][0], sys.orig_argv
    if first == "-m":  # until the module is found
        return words[words.index("-m") :][1:2] == ["pyinfercost"] if "-m" in words else False
    return first.replace("\\", "/").rpartition("/")[2] in _NAMES


def stop_at_once() -> None:
    """Let Ctrl-C end this process at once: during imports and at its end, where nothing is to be closed.

    A process that ignores Ctrl-C, as jobs in the background of a shell do, goes on to ignore it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)
        sys.unraisablehook = _again


class Raised:
    """A block in which Ctrl-C raises `KeyboardInterrupt`, so that files are closed and processes ended."""

    def __enter__(self) -> None:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is _stop:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *_: object) -> None:
        if self._before is _stop:
            signal.signal(signal.SIGINT, _stop)


def _stop(*_: object) -> None:
    os.write(2, f"{WORDS}\n".encode())
    os._exit(STOPPED)


def _again(unraisable: sys.UnraisableHookArgs) -> None:
    """Raise Ctrl-C once more if it came in a destructor, where Python prints and drops it."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        _thread.start_new_thread(_raise_later, ())  # raised here, it would be dropped again
    else:
        sys.__unraisablehook__(unraisable)


def _raise_later() -> None:
    time.sleep(_MOMENT_S)
    _thread.interrupt_main()

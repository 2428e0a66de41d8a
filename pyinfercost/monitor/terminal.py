"""The terminal view of an observer: the last hours, drawn again and again until it is interrupted."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .._checks import Range, number
from ..errors import InputError
from ..report.live_text import LiveView
from .history import INTERVAL_S, WINDOW_H, History

if TYPE_CHECKING:
    from rich.console import Console

    from .observer import Observer

REFRESH_S = 2.0
"""Seconds between drawings by default."""

_REFRESH = Range(0.05, 3600, "seconds")
_FIRST_S = 2.0  # between the first two samples, so that rates are there soon
_HINT = "Ctrl-C ends this view; the observed model goes on."


class TopError(InputError):
    """A refresh time that is out of range."""


def top(
    observed: Observer | History,
    *,
    hours: float | None = None,
    refresh_s: float = REFRESH_S,
    interval_s: float = INTERVAL_S,
    window_h: float = WINDOW_H,
    console: Console | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Show the last hours of an observer on a terminal until Ctrl-C.

    To a file, a pipe or a terminal without cursor addressing they are printed once.

    Args:
        observed: An observer, whose history begins here, or a history that is sampled already.
        hours: Hours that are shown; None for the window.
        refresh_s: Seconds between drawings.
        interval_s: Seconds between samples of an observer.
        window_h: Hours of the window of an observer.
        console: Where it is shown; None for the standard output.
        stop: Ends the view when it is set.

    Raises:
        TopError: `refresh_s` is out of range.
        HistoryError: `hours`, `interval_s` or `window_h` is out of range.
    """
    from rich.console import Console as NewConsole

    refresh_s = number(refresh_s, "refresh_s", _REFRESH, TopError)
    shown = console or NewConsole()
    ended = stop or threading.Event()
    if isinstance(observed, History):
        _show(observed, hours, refresh_s, shown, ended)
        return
    history = History(observed, interval_s=interval_s, window_h=window_h)
    history.sample()
    try:
        if ended.wait(min(_FIRST_S, interval_s)):
            return
        with history:
            if not _is_screen(shown):
                history.sample()
            _show(history, hours, refresh_s, shown, ended)
    except KeyboardInterrupt:  # ends it
        return


def _is_screen(console: Console) -> bool:
    """Return whether a console can be drawn over: it is neither a file nor a terminal without cursor addressing."""
    return console.is_terminal and not console.is_dumb_terminal


def _show(history: History, hours: float | None, refresh_s: float, console: Console, ended: threading.Event) -> None:
    from rich.live import Live

    if not _is_screen(console):
        console.print(LiveView(history.read(hours)))
        return
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while not ended.is_set():
                live.update(LiveView(history.read(hours), hint=_HINT), refresh=True)
                ended.wait(refresh_s)
    except KeyboardInterrupt:  # ends it
        return

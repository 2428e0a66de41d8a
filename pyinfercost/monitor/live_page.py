"""The live page of observers: its address, its samples, and the thread that serves it; local by default."""

from __future__ import annotations

import os
import socket
import threading
import warnings
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._lazy import missing_library
from ..errors import FileAccessError
from .access import ADDRESS, Address, Gate, ListenError, OpenServerWarning, checked_token, parse_address
from .history import INTERVAL_S, WINDOW_H, History

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .observer import Observer
    from .page_app import Metrics
    from .page_server import PageServer

_END_S = 3.0  # until the thread of a closed page has ended


class LivePage:
    """The live page of observers: samples them, and serves the page, its data, `/metrics` and `/health`.

    Example:
        ```python
        with LivePage(monitor) as page:
            print(page.url)
        ```
    """

    def __init__(
        self,
        observers: Observer | Sequence[Observer],
        *,
        address: str = ADDRESS,
        token: str | None = None,
        metrics: Metrics | None = None,
        interval_s: float = INTERVAL_S,
        window_h: float = WINDOW_H,
    ) -> None:
        """Check the settings; `start` or a `with` statement begins to serve.

        Args:
            observers: One observer or several; the page shows one at a time.
            address: `HOST:PORT`; without a host only this machine can connect, and port 0 takes a free one.
            token: Token that requests must have as `Authorization: Bearer`; a browser is asked for it. None for no
                check.
            metrics: Makes `/metrics`; without it there is no such address.
            interval_s: Seconds between samples.
            window_h: Hours of the window.

        Raises:
            ListenError: The address or the token is invalid, or there is no observer.
            HistoryError: The interval or the window is out of range.
            MissingLibraryError: Starlette or uvicorn is not installed.
        """
        found = observers if isinstance(observers, Sequence) else (observers,)
        if not found:
            raise ListenError("observers is empty; expected at least one")
        self.address = parse_address(address)
        self.histories = tuple(History(each, interval_s=interval_s, window_h=window_h) for each in found)
        self._token = None if token is None else checked_token(token, "the token")
        self._serve = _server_type()
        self._metrics = metrics
        self._socket: socket.socket | None = None
        self._server: PageServer | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def start(self) -> Self:
        """Listen, and begin to sample, in threads that end with the process. A second call has no effect.

        Raises:
            FileAccessError: The address is in use or not of this machine.
            ListenError: The page was closed.
        """
        if self._closed:
            raise ListenError("this page was closed; create another one")
        if self._socket is not None:
            return self
        self._socket = _listening(self.address)
        if self._token is None and not self.address.is_local:
            warnings.warn(
                f"the page at {self.address} can be read by every machine that reaches it; set a token, or listen on "
                "127.0.0.1 and forward the port by ssh -L",
                OpenServerWarning,
                stacklevel=2,
            )
        for each in self.histories:
            each.start()
        gate = Gate(self._token, Address(self.address.host, self.port))
        self._server = self._serve(self.histories, gate, self._metrics)
        self._thread = self._server.start(self._socket)
        _PAGES.add(self)
        return self

    @property
    def port(self) -> int:
        """Port that it listens on; before `start` the one that was given."""
        return self.address.port if self._socket is None else int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """Address of the page for a browser on this machine, without the token."""
        host = self.address.host
        return f"http://{Address('localhost' if host in ('', '0.0.0.0', '::') else host, self.port)}/"

    def close(self) -> None:
        """Stop listening and sampling, and end all connections. A second call has no effect."""
        listening, self._socket, self._closed = self._socket, None, True
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=_END_S)
        if listening is not None:
            listening.close()
        for each in self.histories:
            each.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _after_fork(self) -> None:
        """Leave the port to the parent: the threads that serve it are there alone."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._server, self._thread, self.histories, self._closed = None, None, None, (), True


_PAGES: weakref.WeakSet[LivePage] = weakref.WeakSet()


def _forked() -> None:
    for page in list(_PAGES):
        page._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _server_type() -> type[PageServer]:
    """Return the server, whose libraries are optional: exporters name this file where there are none."""
    try:
        from .page_server import PageServer
    except ModuleNotFoundError as error:
        raise missing_library("LivePage", error, "monitor") from error
    return PageServer


def _listening(address: Address) -> socket.socket:
    """Return a socket that listens."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family)
    except (OSError, UnicodeError) as failed:
        reason = getattr(failed, "strerror", None) or failed
        raise FileAccessError(f"cannot listen at {address}: {reason}; name another address or port") from failed

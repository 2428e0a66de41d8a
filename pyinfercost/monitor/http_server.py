"""A small HTTP server for the live page: read-only, local by default, and bounded in memory."""

from __future__ import annotations

import gzip
import os
import socket
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from .._checks import Range, number_in, whole_in
from ..errors import FileAccessError, InputError, UnknownNameError
from ..report.documents import as_json
from ..report.html.live_page import HtmlPage, live_page, login_page
from .history import INTERVAL_S, WINDOW_H, History
from .listening import ADDRESS, Address, Gate, ListenError, OpenServerWarning, checked_token, parse_address

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .observer import Observer

Metrics = Callable[[Sequence["Observer"], str], tuple[bytes, str]]
"""Returns a page of metrics and its content type, for observers and the `Accept` header of a request."""

_HOURS = Range(0.01, 24 * 366, "hours")
_NUMBER = Range(0, 2**53)
_MOST_CONNECTIONS = 64
_REQUEST_S = 5.0  # until a request is complete
_ANSWER_S = 20.0  # until its answer is sent
_POLL_S = 0.1
_LEAST_ZIPPED = 2000  # bytes


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
        """
        found = observers if isinstance(observers, Sequence) else (observers,)
        if not found:
            raise ListenError("observers is empty; expected at least one")
        self.address = parse_address(address)
        self.histories = tuple(History(each, interval_s=interval_s, window_h=window_h) for each in found)
        self._token = None if token is None else checked_token(token, "the token")
        self._metrics = metrics
        self._server: _Server | None = None
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
        if self._server is not None:
            return self
        self._server = _Server(self.address, self.histories, self._token, self._metrics)
        if self._token is None and not self.address.is_local:
            warnings.warn(
                f"the page at {self.address} can be read by every machine that reaches it; set a token, or listen on "
                "127.0.0.1 and forward the port by ssh -L",
                OpenServerWarning,
                stacklevel=2,
            )
        for each in self.histories:
            each.start()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="pyinfercost-live-page", daemon=True
        )
        self._thread.start()
        _PAGES.add(self)
        return self

    @property
    def port(self) -> int:
        """Port that it listens on; before `start` the one that was given."""
        return self.address.port if self._server is None else int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Address of the page for a browser on this machine, without the token."""
        host = self.address.host
        return f"http://{Address('localhost' if host in ('', '0.0.0.0', '::') else host, self.port)}/"

    def close(self) -> None:
        """Stop listening and sampling, and end all connections. A second call has no effect."""
        server, self._server, self._closed = self._server, None, True
        if server is not None:
            server.shutdown()
            server.server_close()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
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
        if self._server is not None:
            self._server.socket.close()
        self._server, self._thread, self.histories, self._closed = None, None, (), True


_PAGES: weakref.WeakSet[LivePage] = weakref.WeakSet()


def _forked() -> None:
    for page in list(_PAGES):
        page._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class _Connection:
    """An open connection, and when it must have made progress."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.deadline_s = time.monotonic() + _REQUEST_S
        self.answering = False

    def begin_answer(self) -> None:
        self.answering = True
        self.deadline_s = time.monotonic() + _ANSWER_S

    def end(self) -> None:
        with suppress(OSError):  # it has ended by itself
            self.connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingTCPServer):
    """Serves each request in a thread. Of too many connections, one that has sent no request is ended first."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = os.name == "posix"
    request_queue_size = 128

    def __init__(
        self, address: Address, histories: Sequence[History], token: str | None, metrics: Metrics | None
    ) -> None:
        self.address = address
        self.histories = histories
        self.observers = [each.observer for each in histories]
        self.metrics = metrics
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._open: dict[socket.socket, _Connection] = {}
        self._lock = threading.Lock()
        try:
            super().__init__((address.host, address.port), _Handler)
        except (OSError, UnicodeError) as failed:
            reason = getattr(failed, "strerror", None) or failed
            raise FileAccessError(f"cannot listen at {address}: {reason}; name another address or port") from failed
        self.gate = Gate(token, Address(address.host, int(self.server_address[1])))

    def of(self, request: Any) -> _Connection:
        """Return the state of a connection."""
        with self._lock:
            return self._open.get(request) or _Connection(request)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether a new connection is served; makes room for it."""
        with self._lock:
            if len(self._open) >= _MOST_CONNECTIONS:
                idle = next((each for each in self._open.values() if not each.answering), None)
                if idle is None:
                    return False
                del self._open[idle.connection]
                idle.end()
            self._open[request] = _Connection(request)
        return True

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End connections that take too long; called several times a second."""
        now_s = time.monotonic()
        with self._lock:
            late = [each for each in self._open.values() if each.deadline_s < now_s]
            for each in late:
                del self._open[each.connection]
        for each in late:
            each.end()

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            remaining = list(self._open.values())
            self._open.clear()
        for each in remaining:
            each.end()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore failures of one connection: the others are not affected, and nothing is printed."""


class _Answer(NamedTuple):
    status: HTTPStatus
    body: bytes
    kind: str
    headers: Mapping[str, str] = {}


def _html(page: HtmlPage, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] = {}) -> _Answer:
    policy = {"Content-Security-Policy": f"{page.policy}; frame-ancestors 'none'"}
    return _Answer(status, page.text.encode(), "text/html; charset=utf-8", {**policy, **headers})


def _plain(status: HTTPStatus, words: str, **headers: str) -> _Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return _Answer(status, f"{words}\n".encode(), "text/plain; charset=utf-8", named)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request of a connection, which then ends."""

    server: _Server
    timeout = _REQUEST_S

    def version_string(self) -> str:
        return "pyinfercost"

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a client could put a token into an address."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer invalid requests without repeating any of their text."""
        status = HTTPStatus(code)
        self._send(_plain(status, status.phrase), body=self.command != "HEAD")

    def do_GET(self) -> None:
        self._send(self._answer())

    def do_HEAD(self) -> None:
        self._send(self._answer(), body=False)

    def _refuse(self) -> None:
        self._send(_plain(HTTPStatus.METHOD_NOT_ALLOWED, "This server is read-only.", Allow="GET, HEAD"))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse

    def _parts(self) -> tuple[str, dict[str, str]]:
        """Return the path and the query of the address."""
        found = urlsplit(self.path)
        return found.path, {name: values[-1] for name, values in parse_qs(found.query, max_num_fields=10).items()}

    def _answer(self) -> _Answer:
        self.server.of(self.request).begin_answer()
        try:
            path, query = self._parts()
        except ValueError:
            return _plain(HTTPStatus.BAD_REQUEST, "The address is not valid.")
        try:
            return self._found(path, query)
        except InputError as wrong:
            return _plain(HTTPStatus.BAD_REQUEST, str(wrong))
        except Exception as failed:  # of an observer or of the caller's metrics: the server goes on
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, f"This page failed: {type(failed).__name__}")

    def _found(self, path: str, query: Mapping[str, str]) -> _Answer:
        gate = self.server.gate
        if not gate.accepts_host(self._header("Host")):
            words = "The Host header does not name this machine; open the page as localhost or 127.0.0.1."
            return _plain(HTTPStatus.MISDIRECTED_REQUEST, words)
        if path == "/health":
            return self._health()
        if not gate.accepts(self._header("Authorization"), self._header("Cookie")):
            return self._without_token(path)
        if path == "/login":  # asked with the token in the header
            return _Answer(HTTPStatus.NO_CONTENT, b"", "text/plain", {"Set-Cookie": gate.set_cookie})
        if path == "/":
            return _html(live_page())
        if path == "/api/history.json":
            return self._history(query)
        if path == "/metrics" and self.server.metrics is not None:
            body, kind = self.server.metrics(self.server.observers, self._header("Accept"))
            return _Answer(HTTPStatus.OK, body, kind)
        return _plain(HTTPStatus.NOT_FOUND, "There is no such page; / is the live page.")

    def _without_token(self, path: str) -> _Answer:
        if path == "/":
            return _html(login_page(), HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
        return _plain(
            HTTPStatus.UNAUTHORIZED, "A token is needed: Authorization: Bearer ...", WWW_Authenticate="Bearer"
        )

    def _history(self, query: Mapping[str, str]) -> _Answer:
        histories = self.server.histories
        place = whole_in(query.get("observer", "0"), "observer", Range(0, 10_000))
        if place >= len(histories):
            raise UnknownNameError(f"observer is {place}; expected less than {len(histories)}")
        hours = number_in(query["hours"], "hours", _HOURS) if "hours" in query else None
        since = whole_in(query.get("since", "0"), "since", _NUMBER)
        found = histories[place].read(hours, since=since).to_dict()
        found["live_history"]["observers"] = [each.head().title for each in histories]
        return _Answer(HTTPStatus.OK, as_json(found, indent=None).encode(), "application/json; charset=utf-8")

    def _health(self) -> _Answer:
        """Answer whether samples come in; without the token, since it tells nothing of the model."""
        states = {each.head().state for each in self.server.histories}
        words = next((each for each in ("stale", "waiting") if each in states), "ok")
        return _plain(HTTPStatus.SERVICE_UNAVAILABLE if words == "stale" else HTTPStatus.OK, words)

    def _header(self, name: str) -> str:
        """Return a header of the request; empty without it, and where there is no request."""
        headers = getattr(self, "headers", None)
        return "" if headers is None else headers.get(name) or ""

    def _send(self, answer: _Answer, *, body: bool = True) -> None:
        content = answer.body
        headers = dict(answer.headers)
        if len(content) >= _LEAST_ZIPPED and "gzip" in self._header("Accept-Encoding"):
            content = gzip.compress(content, compresslevel=5)
            headers["Content-Encoding"] = "gzip"
        try:
            self.send_response(answer.status)
            for name, value in {**_HEADERS, "Content-Type": answer.kind, **headers}.items():
                self.send_header(name, value)
            if answer.status != HTTPStatus.NO_CONTENT:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body and content:
                self.wfile.write(content)
        except OSError:  # the client is gone
            self.close_connection = True


_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Vary": "Accept-Encoding",
    "Connection": "close",
}

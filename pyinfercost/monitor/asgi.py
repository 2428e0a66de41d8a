"""Middleware that counts the requests of an ASGI application: FastAPI, Starlette, Ray Serve."""

from __future__ import annotations

import json
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from .requests import CANCELLED, ERROR, OK, MonitoredRequest, enter, reset

if TYPE_CHECKING:
    from .monitor import Monitor

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_MOST_JSON = 1 << 20  # bytes of an answer that is searched for its usage
_LAST_BYTES = 1 << 14  # of a stream, whose usage stands at its end
_FIRST_ERROR = 400
_NS = 1e9
_MOST_QUEUE_S = 3600.0  # a header with more is of another clock
_MICRO, _MILLI = 1e14, 1e11  # since 1973 Unix times in these units are larger


class MonitorMiddleware:
    """Count each HTTP request of an application.

    The service of a request lasts from its arrival to the last byte of its answer. A proxy's header `X-Request-Start`
    adds the time in its queue, if both clocks agree. The status decides the outcome: 400 and above are errors, a client
    that leaves is a cancellation. Of answers in the form of OpenAI, the numbers of tokens in `usage` are read, and of
    streams of events the first one is the first token; no content is kept. A handler sets other sizes on
    `current_request()`.

        app.add_middleware(MonitorMiddleware, monitor=monitor, paths=["/v1/"])

    Args:
        app: The application.
        monitor: Where requests are counted.
        paths: Beginnings of paths that count; by default all. Leave out health checks and metrics.
    """

    def __init__(self, app: Application, *, monitor: Monitor, paths: Collection[str] = ("",)) -> None:
        self._app = app
        self._monitor = monitor
        self._paths = (paths,) if isinstance(paths, str) else tuple(paths)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not str(scope.get("path", "")).startswith(self._paths):
            await self._app(scope, receive, send)
            return
        request = MonitoredRequest(self._monitor, 1, 0, queued_ns=self._queued_ns(scope))
        answer = _Answer(request, self._monitor)

        async def watched_send(message: Message) -> None:
            await send(message)
            answer.sent(message)

        async def watched_receive() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                answer.left()
            return message

        token = enter(request)
        request.begin()
        try:
            await self._app(scope, watched_receive, watched_send)
        except BaseException as error:
            request.end(error)
            raise
        finally:
            answer.end()  # of an application that sent no whole answer
            reset(token)

    def _queued_ns(self, scope: MutableMapping[str, Any]) -> int:
        """Return the time between the header of a proxy and now; 0 without one."""
        try:
            for name, value in scope.get("headers", ()):
                if name == b"x-request-start":
                    unix = float(value.decode("latin-1").removeprefix("t="))
                    unix /= 1e6 if unix > _MICRO else 1e3 if unix > _MILLI else 1.0
                    queued_s = self._monitor.wall_s(self._monitor.clock()) - unix
                    return int(queued_s * _NS) if 0 < queued_s < _MOST_QUEUE_S else 0
        except (ValueError, OverflowError):
            return 0
        return 0


class _Answer:
    """The answer to one request, as its messages pass."""

    def __init__(self, request: MonitoredRequest, monitor: Monitor) -> None:
        self._request = request
        self._monitor = monitor
        self._outcome = ERROR  # of an application that sends nothing
        self._json = self._events = self._done = False
        self._body = b""
        self._pieces = 0

    def sent(self, message: Message) -> None:
        try:
            if message["type"] == "http.response.start":
                self._outcome = ERROR if message["status"] >= _FIRST_ERROR else OK
                kind = next((v for k, v in message.get("headers", ()) if k.lower() == b"content-type"), b"")
                self._json, self._events = kind.startswith(b"application/json"), kind.startswith(b"text/event-stream")
            elif message["type"] == "http.response.body":
                self._part(bytes(message.get("body", b"")))
                if not message.get("more_body", False):
                    self._done = True
                    self.end()
        except Exception as failure:
            self._monitor.failed("an answer", failure)

    def left(self) -> None:
        if not self._done:
            self._outcome = CANCELLED

    def end(self) -> None:
        try:
            self._read_usage()
        except Exception as failure:
            self._monitor.failed("the usage of an answer", failure)
        if self._outcome == CANCELLED:
            self._request.end(CancelledError)
            return
        if self._outcome == ERROR:
            self._request.fail()
        self._request.end()

    def _part(self, body: bytes) -> None:
        if self._events and body:
            found = body.count(b"data:") - body.count(b"data: [DONE]")
            if found > 0:
                self._request.first_token()
                self._pieces += found
            self._body = (self._body + body)[-_LAST_BYTES:]
        elif self._json and len(self._body) <= _MOST_JSON:
            self._body += body

    def _read_usage(self) -> None:
        """Read numbers of tokens; a stream without them has one token in each event."""
        body, self._body = self._body, b""
        usage: Any = None
        if self._json and b'"usage"' in body and len(body) <= _MOST_JSON:
            usage = _usage_in(body)
        elif self._events:
            if not self._request.output_tokens:
                self._request.output_tokens = self._pieces
            lines = [line for line in body.split(b"\n") if line.startswith(b"data:") and b'"usage"' in line]
            usage = _usage_in(lines[-1].removeprefix(b"data:")) if lines else None
        if isinstance(usage, dict):
            prompt, output = (usage.get(f"{name}_tokens") for name in ("prompt", "completion"))
            details = usage.get("prompt_tokens_details")
            cached = details.get("cached_tokens") if isinstance(details, dict) else None
            if isinstance(prompt, int):
                self._request.prompt_tokens = prompt
            if isinstance(output, int):
                self._request.output_tokens = output
            if isinstance(cached, int):
                self._request.cached_tokens = cached


def _usage_in(text: bytes) -> Any:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document.get("usage") if isinstance(document, dict) else None

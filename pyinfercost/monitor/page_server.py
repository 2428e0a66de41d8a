"""The HTTP server of the live page, on uvicorn: bounded in connections and in time, and silent."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .access import Gate
from .history import History
from .page_app import Metrics, page_app

_THREAD = "pyinfercost-live-page"
_MOST_CONNECTIONS = 64
_REQUEST_S = 5.0  # until a request is complete
_ANSWER_S = 20.0  # until its answer is sent


class _Connection(H11Protocol):
    """A connection with one request. It ends if the client is slow, or if room is needed before it has asked."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        others = cast("set[_Connection]", self.connections)  # all of this server
        opened = [each for each in others if not each.transport.is_closing()]
        if len(opened) > _MOST_CONNECTIONS:
            next((each for each in opened if each is not self and not each.has_asked), self).transport.abort()
        self._deadline = self.loop.call_later(_REQUEST_S, self._ask_or_end)

    @property
    def has_asked(self) -> bool:
        """Whether the request is complete."""
        return self.cycle is not None

    def _ask_or_end(self) -> None:
        if self.has_asked:
            self._deadline = self.loop.call_later(_ANSWER_S, self.transport.abort)
        else:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)


class PageServer(uvicorn.Server):
    """Serves in a thread of a program, which may have a server of its own: without signals, and silent in its log."""

    def __init__(self, histories: Sequence[History], gate: Gate, metrics: Metrics | None) -> None:
        super().__init__(
            uvicorn.Config(
                page_app(histories, gate, metrics),
                loop="asyncio",
                http=_Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )

    def start(self, listening: socket.socket) -> threading.Thread:
        """Serve a socket in a thread that ends with the process."""
        thread = threading.Thread(target=self.run, args=([listening],), name=_THREAD, daemon=True)
        thread.start()
        return thread

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        with suppress(OSError):  # the page was closed before it began
            asyncio.run(self.serve(sockets))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for each in list(self.server_state.connections):
            each.transport.abort()
        await super().shutdown(sockets)


def _is_of_others(record: logging.LogRecord) -> bool:
    """Return whether a record of uvicorn's log is of a server of the program: a client could put a token into ours."""
    return record.threadName != _THREAD


for _name in ("uvicorn.error", "uvicorn.access", "asyncio"):
    logging.getLogger(_name).addFilter(_is_of_others)

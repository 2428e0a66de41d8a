"""Asking a server of the live page as a client does."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from pyinfercost.monitor.live_page import LivePage

FREE = "127.0.0.1:0"


class Answer:
    """An answer that was read to its end."""

    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self) -> Any:
        return json.loads(self.body)["live_history"]


def ask(page: LivePage, path: str = "/", method: str = "GET", **headers: str) -> Answer:
    """Ask a page; names of headers have underscores for hyphens."""
    with closing(HTTPConnection("127.0.0.1", page.port, timeout=30)) as connection:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        return Answer(connection.getresponse())


def connect(page: LivePage) -> socket.socket:
    return socket.create_connection(("127.0.0.1", page.port), timeout=30)

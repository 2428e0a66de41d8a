"""Answers of GitHub and GitLab to `post_comment`: other shapes of JSON, redirects, damaged, packed and slow ones."""

from __future__ import annotations

import gzip
import json
import os
import socket
from collections.abc import Iterator
from random import Random
from threading import Thread
from unittest.mock import patch

from pyinfercost.cli import forges

from ..door import Door, Figure, require
from ..mutate import broken_json, integer, mutate, mutated_bytes, text
from ..mutate import value as any_value
from ..values import Value

_TOKEN = "SECRET-of-a-door"
_KEY = "a door"
_MARK = f"<!-- {_KEY}: written by pyinfercost -->"
_STATUSES = (200, 200, 200, 201, 201, 201, 204, 301, 302, 307, 308, 401, 403, 404, 429, 500, 999)
_PLACES = ("/elsewhere", "http://localhost:{port}/elsewhere", "http://[::1", "file:///etc/passwd", "//", "\x1b[31m", "")
_NUMBERS = ("7", "7", "7", "true", "-5", '"7"', "null", "1e400")
_CREATED = 201


class Forges(Door):
    """`post_comment`, beside a server in this process that sends bytes."""

    share = 10_000
    _server: _Server | None = None

    def draw(self, random: Random) -> Value:
        """Return the answers to the list of comments and to the comment, as bytes, and what the environment says."""
        listed = [
            {"id": integer(random) % 2**63, "body": random.choice((_MARK, "x"))} for _ in range(random.randrange(4))
        ]
        comments: Value = listed if random.random() < 0.4 else mutate(random, listed)
        if random.random() < 0.15:
            comments = any_value(random)
        answers = [_answer(random, comments, 200), _answer(random, {"id": 7}, random.choice((200, 201)))]
        return {
            "gitlab": random.random() < 0.4,
            "answers": answers,
            "waits": random.random() < 0.02,
            "number": random.choice(_NUMBERS),
            "repository": random.choice(("a/b", "a/b", "../../x?y#z", text(random))),
        }

    def run(self, value: Value) -> Iterator[Figure]:
        """Write a comment: the token is sent to the server alone, and said nowhere."""
        if self._server is None:
            self._server = _Server()
        server = self._server
        server.answers, server.waits, server.asked = list(value["answers"]), value["waits"], []
        event = self.folder / "event.json"
        event.write_text(f'{{"pull_request": {{"number": {value["number"]}}}}}', encoding="utf-8")
        root = f"http://127.0.0.1:{server.port}"
        named = value["repository"].encode(errors="replace").decode().replace("\0", "")
        environment = {"GITHUB_ACTIONS": "1", "GITHUB_TOKEN": _TOKEN, "GITHUB_API_URL": root}
        environment |= {"GITHUB_REPOSITORY": named, "GITHUB_EVENT_PATH": str(event)}
        if value["gitlab"]:
            environment = {"GITLAB_CI": "1", "GITLAB_TOKEN": _TOKEN, "CI_API_V4_URL": root}
            environment |= {"CI_PROJECT_ID": named, "CI_MERGE_REQUEST_IID": "7"}
        with patch.dict(os.environ, environment, clear=True), patch.object(forges, "_TIMEOUT_S", 0.2):
            try:
                said = forges.post_comment("text", key=_KEY)
            except Exception as error:
                require(_TOKEN not in str(error), "no message has the token")
                raise
        require(_TOKEN not in said, "what is said has no token")
        require(not any(b"elsewhere" in line for line in server.asked), "no redirect is followed with a token")
        if said.startswith("Wrote"):
            status = value["answers"][1].split(None, 2)[1]  # as clients of HTTP read a status
            require(status == str(_CREATED).encode(), "a comment is written if the server says so", status)
        yield from ()


def _answer(random: Random, document: Value, status: int) -> bytes:
    """Draw an answer: mostly one of HTTP with this document."""
    body = json.dumps(document).encode()
    if random.random() < 0.2:
        body = random.choice((b"", b"<html>", b"\xff\xfe", broken_json(random, document).encode(errors="replace")))
    headers = [f"Content-Length: {len(body) + random.choice((0, 0, 0, 0, 9, -1, 2**62))}"]
    if random.random() < 0.1:
        packed = random.choice(
            (gzip.compress(body), gzip.compress(bytes(10**8 if random.random() < 0.02 else 10**5)), body)
        )
        headers, body = ["Content-Encoding: gzip", f"Content-Length: {len(packed)}"], packed
    if random.random() < 0.3:
        status = random.choice(_STATUSES)
    if status in (301, 302, 307, 308):
        headers.append(f"Location: {random.choice(_PLACES)}")
    if random.random() < 0.05:
        headers += [f"X-{number}: {'a' * random.choice((1, 70_000))}" for number in range(random.choice((1, 120)))]
    if random.random() < 0.05:
        headers[0] = random.choice(("Transfer-Encoding: chunked", "Content-Length: x", "Content-Length: -5"))
    reason = random.choice(("OK", "OK", "", f"no {_TOKEN}", "\x1b[31m"))
    content = "\r\n".join([f"HTTP/1.1 {status} {reason}", *headers, "", ""]).encode(errors="replace") + body
    return mutated_bytes(random, content) if random.random() < 0.1 else content


class _Server:
    """Sends the next of some answers to each connection; then closes it, or keeps it open."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.asked: list[bytes] = []
        self.waits = False
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        open_ones: list[socket.socket] = []
        while True:
            connection = self._socket.accept()[0]
            try:
                self.asked.append(connection.recv(2**16).partition(b"\r\n")[0])
                content = (self.answers.pop(0) if self.answers else b"").replace(b"{port}", str(self.port).encode())
                connection.sendall(content)
            except OSError:  # the client has enough
                content = b""
            if self.waits and len(open_ones) < 8:
                open_ones.append(connection)
                continue
            connection.close()
            while open_ones and not self.waits:
                open_ones.pop().close()

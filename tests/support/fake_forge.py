"""A server with the comments of one pull request, as GitHub and GitLab have them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

GITHUB = re.compile(r"/repos/me/it/issues/(?:7/comments|comments/(\d+))")
GITLAB = re.compile(r"/projects/42/merge_requests/7/notes(?:/(\d+))?")


@dataclass
class Forge:
    """The comments, and what clients do.

    Attributes:
        address: Root of the API.
        comments: Number -> text.
        requests: Method and path of each request.
        tokens: Tokens of the requests.
        refuses: Status of all answers to changes; 0 to accept them.
        misbehaves: Method -> what handles such requests instead, after they were noted.
    """

    address: str = ""
    comments: dict[int, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    refuses: int = 0
    misbehaves: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)


@contextmanager
def fake_forge() -> Iterator[Forge]:
    """Serve the comments of pull request 7 of `me/it` and of merge request 7 of project 42."""
    forge = Forge()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._note()
            if "GET" in forge.misbehaves:
                forge.misbehaves["GET"](self)
                return
            query = parse_qs(urlsplit(self.path).query)
            page, size = int(query["page"][0]), int(query["per_page"][0])
            listed = [{"id": number, "body": text} for number, text in forge.comments.items()]
            self._answer(200, listed[(page - 1) * size : page * size])

        def do_POST(self) -> None:
            self._change(None)

        def do_PATCH(self) -> None:
            self._change(GITHUB)

        def do_PUT(self) -> None:
            self._change(GITLAB)

        def _change(self, of: re.Pattern[str] | None) -> None:
            self._note()
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]
            if self.command in forge.misbehaves:
                forge.misbehaves[self.command](self)
                return
            if forge.refuses:
                self._answer(forge.refuses, {"message": "no"})
                return
            number, status = len(forge.comments) + 1, 201
            if of is not None:
                found = of.fullmatch(urlsplit(self.path).path)
                assert found is not None
                number, status = int(found[1]), 200
                assert number in forge.comments
            forge.comments[number] = body
            self._answer(status, {"id": number})

        def _note(self) -> None:
            path = urlsplit(self.path).path
            assert GITHUB.fullmatch(path) or GITLAB.fullmatch(path), path
            forge.requests.append(f"{self.command} {path}")
            bearer = (self.headers["Authorization"] or "").removeprefix("Bearer ")
            forge.tokens.add(bearer or self.headers["PRIVATE-TOKEN"])

        def _answer(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    forge.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""The ASGI application of the live page: the page, its data, `/metrics` and `/health`; read-only, behind a gate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from .._checks import Range, number_in, whole_in
from ..errors import InputError, UnknownNameError
from ..report.documents import as_json
from ..report.html.live_page import HtmlPage, live_page, login_page
from .access import Gate
from .history import History

if TYPE_CHECKING:
    from .observer import Observer

Metrics = Callable[[Sequence["Observer"], str], tuple[bytes, str]]
"""Returns a page of metrics and its content type, for observers and the `Accept` header of a request."""

_HOURS = Range(0.01, 24 * 366, "hours")
_NUMBER = Range(0, 2**53)
_LEAST_ZIPPED = 2000  # bytes
_HEADERS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_REFUSALS = {
    HTTPStatus.NOT_FOUND: "There is no such page; / is the live page.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This server is read-only.",
}


def page_app(histories: Sequence[History], gate: Gate, metrics: Metrics | None) -> Starlette:
    """Return the application.

    Endpoints run in the loop of the server, which has a thread of its own: they read memory and wait for nothing.

    Args:
        histories: Samples of each observer; the page shows one at a time.
        gate: Decides who may read.
        metrics: Makes `/metrics`; without it there is no such address.
    """

    async def guarded(request: Request, answer: RequestResponseEndpoint) -> Response:
        try:
            found = _refusal(gate, request) or await answer(request)
        except InputError as wrong:
            found = _plain(HTTPStatus.BAD_REQUEST, str(wrong))
        except Exception as failed:  # of an observer or of the caller's metrics: the server goes on
            found = _plain(HTTPStatus.INTERNAL_SERVER_ERROR, f"This page failed: {type(failed).__name__}")
        for name, value in _HEADERS.items():
            found.headers.setdefault(name, value)
        return found

    async def page(request: Request) -> Response:
        return _html(live_page())

    async def login(request: Request) -> Response:  # asked with the token in the header
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Set-Cookie": gate.set_cookie})

    async def history(request: Request) -> Response:
        query = request.query_params
        place = whole_in(query.get("observer", "0"), "observer", Range(0, 10_000))
        if place >= len(histories):
            raise UnknownNameError(f"observer is {place}; expected less than {len(histories)}")
        hours = number_in(query["hours"], "hours", _HOURS) if "hours" in query else None
        found = histories[place].read(hours, since=whole_in(query.get("since", "0"), "since", _NUMBER)).to_dict()
        found["live_history"]["observers"] = [each.head().title for each in histories]
        return Response(as_json(found, indent=None), media_type="application/json; charset=utf-8")

    async def health(request: Request) -> Response:
        states = {each.head().state for each in histories}
        state = next((each for each in ("stale", "waiting") if each in states), "ok")
        return _plain(HTTPStatus.SERVICE_UNAVAILABLE if state == "stale" else HTTPStatus.OK, state)

    routes = [
        Route("/", page),
        Route("/login", login),
        Route("/api/history.json", history),
        Route("/health", health),
        *([] if metrics is None else [Route("/metrics", _metrics_of([each.observer for each in histories], metrics))]),
    ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(BaseHTTPMiddleware, dispatch=guarded),
            Middleware(GZipMiddleware, minimum_size=_LEAST_ZIPPED, compresslevel=5),
        ],
        exception_handlers={HTTPException: _refused},
    )


def _metrics_of(observers: Sequence[Observer], metrics: Metrics) -> Callable[[Request], Awaitable[Response]]:
    async def measured(request: Request) -> Response:
        body, kind = metrics(observers, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": kind})

    return measured


def _refusal(gate: Gate, request: Request) -> Response | None:
    """Return the answer to a client that may not read; None to others. `/health` tells nothing of the model."""
    if not gate.accepts_host(request.headers.get("host", "")):
        words = "The Host header does not name this machine; open the page as localhost or 127.0.0.1."
        return _plain(HTTPStatus.MISDIRECTED_REQUEST, words)
    given = request.headers.get("authorization", ""), request.headers.get("cookie", "")
    if request.url.path == "/health" or gate.accepts(*given):
        return None
    bearer = {"WWW-Authenticate": "Bearer"}
    if request.url.path == "/":
        return _html(login_page(), HTTPStatus.UNAUTHORIZED, bearer)
    return _plain(HTTPStatus.UNAUTHORIZED, "A token is needed: Authorization: Bearer ...", bearer)


async def _refused(request: Request, error: Exception) -> Response:
    status = HTTPStatus(getattr(error, "status_code", HTTPStatus.INTERNAL_SERVER_ERROR))
    return _plain(status, _REFUSALS.get(status, status.phrase), getattr(error, "headers", None))


def _html(page: HtmlPage, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] = {}) -> Response:
    policy = {"Content-Security-Policy": f"{page.policy}; frame-ancestors 'none'"}
    return HTMLResponse(page.text, status, {**policy, **headers})


def _plain(status: HTTPStatus, words: str, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{words}\n", status, headers)

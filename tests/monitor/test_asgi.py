"""The middleware of ASGI applications, called as a server calls it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, MutableMapping
from typing import Any

import pytest
from support.live_clock import Clock

from pyinfercost import Monitor
from pyinfercost.monitor import MonitorMiddleware, current_request

JSON = [(b"content-type", b"application/json")]
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8")]


def answering(
    *bodies: bytes, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = JSON, clock: Clock | None = None
) -> Any:
    """An application that answers in pieces, 0.1 s apart."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        for place, body in enumerate(bodies):
            if clock is not None:
                clock.sleep(0.1)
            await send({"type": "http.response.body", "body": body, "more_body": place + 1 < len(bodies)})

    return app


def call(app: Any, path: str = "/v1/x", headers: Iterable[tuple[bytes, bytes]] = (), kind: str = "http") -> list[Any]:
    """Send one request; return the messages of the answer."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    asyncio.run(app({"type": kind, "path": path, "headers": list(headers)}, receive, send))
    return sent


def outcomes(monitor: Monitor) -> list[float | None]:
    found = monitor.snapshot()
    return [found.value("requests", outcome=outcome) for outcome in ("ok", "error", "cancelled")]


def test_usage_of_an_answer_is_read_and_the_answer_is_left_alone() -> None:
    monitor = Monitor(energy=None)
    usage = {"prompt_tokens": 12, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 4}}
    body = json.dumps({"choices": ["secret"], "usage": usage}).encode()
    sent = call(MonitorMiddleware(answering(body[:20], body[20:]), monitor=monitor))
    assert b"".join(message.get("body", b"") for message in sent) == body
    found = monitor.snapshot()
    assert [found.value(f"{name}_tokens") for name in ("prompt", "cached_prompt", "output")] == [12, 4, 30]
    assert "secret" not in repr(found)


def test_a_stream_has_a_first_token_and_as_many_as_events() -> None:
    clock = Clock()
    monitor = Monitor(energy=None, clock=clock)
    pieces = [b'data: {"a": 1}\n\n', b'data: {"a": 2}\n\ndata: {"a": 3}\n\n', b"data: [DONE]\n\n"]
    call(MonitorMiddleware(answering(*pieces, headers=EVENTS, clock=clock), monitor=monitor))
    found = monitor.snapshot()
    assert found.value("output_tokens") == 3
    ttft, request = found.distribution("ttft_s"), found.distribution("request_s")
    assert ttft is not None
    assert request is not None
    assert (ttft.total, request.total) == (pytest.approx(0.1), pytest.approx(0.3))


def test_usage_at_the_end_of_a_stream_counts() -> None:
    monitor = Monitor(energy=None)
    last = b'data: {"usage": {"prompt_tokens": 9, "completion_tokens": 70}}\n\n'
    pieces = [b"data: {}\n\n"] * 5 + [last[:30], last[30:], b"data: [DONE]\n\n"]
    call(MonitorMiddleware(answering(*pieces, headers=EVENTS), monitor=monitor))
    found = monitor.snapshot()
    assert (found.value("prompt_tokens"), found.value("output_tokens")) == (9, 70)


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b'{"usage": 3}', b'{"usage": {"prompt_tokens": "x"}}', b'["usage"]', b'{"usage": null}',
     b'{"usage": {"prompt_tokens": -5, "completion_tokens": 99999999999999999999}}', b"\xff" * 10 + b'"usage"'],
)  # fmt: skip
@pytest.mark.parametrize("headers", [JSON, EVENTS])
def test_garbage_reaches_no_request(body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    monitor = Monitor(energy=None)
    sent = call(
        MonitorMiddleware(answering(b"data:" + body if headers is EVENTS else body, headers=headers), monitor=monitor)
    )
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert outcomes(monitor) == [1, 0, 0]
    assert monitor.snapshot().value("in_flight") == 0


def test_outcomes() -> None:
    monitor = Monitor(energy=None)
    call(MonitorMiddleware(answering(b"{}"), monitor=monitor))
    call(MonitorMiddleware(answering(b"{}", status=404), monitor=monitor))
    call(MonitorMiddleware(answering(b"{}", status=503), monitor=monitor))

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        pass

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("broken")

    async def left(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert (await receive())["type"] == "http.disconnect"

    call(MonitorMiddleware(silent, monitor=monitor))
    with pytest.raises(LookupError, match="broken"):
        call(MonitorMiddleware(broken, monitor=monitor))
    call(MonitorMiddleware(left, monitor=monitor))
    assert outcomes(monitor) == [1, 4, 1]
    assert monitor.snapshot().value("in_flight") == 0


def test_a_handler_sets_sizes() -> None:
    monitor = Monitor(energy=None)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = current_request()
        assert request is not None
        request.items = 16
        await answering(b"{}")(scope, receive, send)

    call(MonitorMiddleware(app, monitor=monitor))
    assert monitor.snapshot().value("items") == 16


def test_only_chosen_paths_and_http_count() -> None:
    monitor = Monitor(energy=None)
    app = MonitorMiddleware(answering(b"{}"), monitor=monitor, paths=["/v1/", "/predict"])
    for path in ("/metrics", "/health", "/v1/chat", "/predict"):
        call(app, path)
    call(app, "/v1/chat", kind="websocket")
    assert outcomes(monitor) == [2, 0, 0]


@pytest.mark.parametrize(
    ("header", "queued"),
    [
        ("t={unix:.3f}", True),
        ("{milli:.0f}", True),
        ("t={micro:.0f}", True),
        ("t=1", False),
        ("nonsense", False),
        ("t=inf", False),
        ("nan", False),
    ],
)
def test_the_queue_of_a_proxy(header: str, queued: bool) -> None:
    monitor = Monitor(energy=None)
    unix = time.time() - 2.0
    text = header.format(unix=unix, milli=unix * 1e3, micro=unix * 1e6).encode()
    call(MonitorMiddleware(answering(b"{}"), monitor=monitor), headers=[(b"x-request-start", text)])
    queue_s = monitor.snapshot().value("queue_s")
    assert queue_s == (pytest.approx(2.0, abs=0.5) if queued else 0)
    assert outcomes(monitor) == [1, 0, 0]

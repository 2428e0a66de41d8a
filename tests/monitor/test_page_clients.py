"""The server of the live page: clients that are slow, many or gone, and its end."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.live_cases import Scripted, day_history
from support.page_asks import FREE, ask, connect

from pyinfercost.monitor import page_server
from pyinfercost.monitor.live_page import LivePage

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) + b"\r\n\r\n",  # a client that speaks TLS
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_requests_that_are_none_end_and_the_server_goes_on(page: LivePage, sent: bytes) -> None:
    with connect(page) as raw:
        raw.sendall(sent)
        raw.shutdown(socket.SHUT_WR)
        try:
            while raw.recv(65_536):
                pass
        except ConnectionResetError:  # it did not read what we sent
            pass
    assert ask(page).status == 200


def test_slow_clients_are_ended_and_hold_up_nobody(observer: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "_REQUEST_S", 0.5)
    with LivePage(observer, address=FREE) as page:
        slow = [connect(page) for _ in range(10)]
        try:
            for each in slow:
                each.sendall(b"GET / HTTP/1.1\r\n")
            assert ask(page).status == 200
            for each in slow:
                each.settimeout(30)
                with suppress(ConnectionResetError):
                    assert each.recv(1000) == b""  # the server has closed it
        finally:
            for each in slow:
                each.close()
        assert page._server is not None
        assert not page._server.server_state.connections


def test_drops_of_bytes_do_not_extend_the_time(observer: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "_REQUEST_S", 0.5)
    sent = 0
    with LivePage(observer, address=FREE) as page, connect(page) as raw, suppress(ConnectionError):
        for _ in range(600):  # a byte each 50 ms: each of them is in time, the request is not
            raw.sendall(b"G")
            sent += 1
            time.sleep(0.05)
    assert sent < 600


@pytest.mark.slow
def test_more_clients_than_connections(page: LivePage) -> None:
    idle = [connect(page) for _ in range(3 * page_server._MOST_CONNECTIONS)]
    try:
        assert ask(page).status == 200
        assert page._server is not None
        opened = [each for each in page._server.server_state.connections if not each.transport.is_closing()]
        assert len(opened) <= page_server._MOST_CONNECTIONS
    finally:
        for each in idle:
            each.close()
    assert ask(page).status == 200


@pytest.mark.slow
def test_many_clients_at_once() -> None:
    history = day_history(1.0)
    page = LivePage(history.observer, address=FREE)
    page.histories = (history,)
    found: list[int] = []
    failed: list[BaseException] = []

    def client() -> None:
        try:
            for _ in range(5):
                answer = ask(page, "/api/history.json")
                found.append(len(answer.json()["rows"]))
        except BaseException as error:
            failed.append(error)

    with page:
        threads = [threading.Thread(target=client) for _ in range(20)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert not failed, failed[:3]
    assert len(found) == 100
    assert min(found) > 1


def test_a_client_that_vanishes_in_an_answer(page: LivePage) -> None:
    for _ in range(20):
        raw = connect(page)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset instead of an orderly end
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        raw.close()
    assert ask(page).status == 200


def large(observer: Any, accept: str) -> tuple[bytes, str]:
    """More than the buffers of a connection hold."""
    return b"x" * 50_000_000, "text/plain"


def test_a_client_that_does_not_read_is_ended(observer: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "_ANSWER_S", 0.5)
    with LivePage(observer, address=FREE, metrics=large) as page, connect(page) as raw:
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert page._server is not None
        deadline_s = time.monotonic() + 30
        while not page._server.server_state.connections and time.monotonic() < deadline_s:
            time.sleep(0.01)
        while page._server.server_state.connections and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert not page._server.server_state.connections
        assert ask(page).status == 200


def test_close_while_an_answer_is_sent(observer: Scripted) -> None:
    page = LivePage(observer, address=FREE, metrics=large).start()
    with connect(page) as raw:
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert raw.recv(100)
        page.close()
        received = 0
        try:
            while piece := raw.recv(1_000_000):
                received += len(piece)
        except ConnectionResetError:
            pass
        assert received < 50_000_000


def test_close_with_idle_clients(observer: Scripted) -> None:
    page = LivePage(observer, address=FREE).start()
    idle = [connect(page) for _ in range(5)]
    ask(page)
    page.close()
    for each in idle:
        with suppress(ConnectionResetError):
            assert each.recv(100) == b""
        each.close()


def test_an_observer_that_fails_has_a_page(observer: Scripted) -> None:
    observer.fails = RuntimeError("out of order")
    with LivePage(observer, address=FREE) as page:
        page.histories[0].sample()
        told = ask(page, "/api/history.json").json()
        assert told["state"] == "waiting"
        assert told["failure"] == "RuntimeError: out of order"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes of this system do not fork")
def test_a_fork_leaves_the_port_to_the_parent(observer: Scripted) -> None:
    page = LivePage(observer, address=FREE).start()
    port = page.port
    told, tell = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads in a process that forks
        child = os.fork()
    if child == 0:  # pragma: no cover - it has no coverage
        page.close()
        os.write(tell, b"x")
        time.sleep(60)
        os._exit(0)
    try:
        assert select.select([told], [], [], 60)[0], "the end of the page in the child hangs"
        assert ask(page).status == 200  # the end of the page in the child is not that of the parent
        page.close()
        with LivePage(observer, address=f"127.0.0.1:{port}") as again:
            assert ask(again).status == 200
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(told)
        os.close(tell)


def test_the_process_ends_with_an_open_page(tmp_path: Path) -> None:
    import subprocess

    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from pyinfercost.monitor.live_page import LivePage\n"
        "from pyinfercost.results.live import Snapshot\n"
        "class Observer:\n"
        "    def snapshot(self):\n"
        "        return Snapshot(time.time(), {})\n"
        "page = LivePage(Observer(), address='127.0.0.1:0').start()\n"
        "print(page.url)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("http://127.0.0.1:")
    assert done.stderr == ""

"""The server of the live page: who may read, and what it answers."""

from __future__ import annotations

import gzip
import logging
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.live_cases import Scripted, Times
from support.page_asks import FREE, ask, connect

from pyinfercost.errors import Error, FileAccessError, InputError, MissingLibraryError
from pyinfercost.monitor.access import (
    TOKEN_VARIABLE,
    Address,
    Gate,
    ListenError,
    OpenServerWarning,
    parse_address,
    read_token,
)
from pyinfercost.monitor.live_page import LivePage

pytestmark = pytest.mark.server

TOKEN = "a-long-enough-token"


@pytest.fixture
def guarded(observer: Scripted) -> Iterator[LivePage]:
    with LivePage(observer, address=FREE, token=TOKEN) as found:
        yield found


# ---- the page and its data -------------------------------------------------------------------------------------------


def test_the_page_loads_nothing_and_is_small(page: LivePage) -> None:
    found = ask(page)
    text = found.body.decode()
    assert found.status == 200
    assert found.headers["Content-Type"] == "text/html; charset=utf-8"
    assert len(found.body) < 120_000  # half of it is the library of charts
    for outside in ("http://", "https://", "src=", "@import", "url(http", "//cdn"):
        assert outside not in text, outside


def test_headers_of_security(page: LivePage) -> None:
    found = ask(page)
    policy = found.headers["Content-Security-Policy"]
    for rule in ("default-src 'none'", "script-src 'sha256-", "connect-src 'self'", "frame-ancestors 'none'"):
        assert rule in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy
    for path in ("/", "/api/history.json", "/nothing", "/health"):
        headers = ask(page, path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Access-Control-Allow-Origin"] is None
        assert headers["Server"] is None


def test_history_of_an_observer(page: LivePage, observer: Scripted) -> None:
    page.histories[0].sample()
    told = ask(page, "/api/history.json?hours=6").json()
    assert (told["model"], told["hours"], told["observers"]) == ("toy", 6.0, ["toy"])
    assert told["state"] == "live"


def test_several_observers_have_one_address() -> None:
    observers = [Scripted(Times(unix_s=time.time()), info={"model": f"m{n}", "run": "1"}) for n in range(3)]
    with LivePage(observers, address=FREE) as page:
        for each in page.histories:
            each.sample()
        told = ask(page, "/api/history.json?observer=2").json()
        assert (told["model"], told["observers"]) == ("m2", ["m0", "m1", "m2"])
        assert ask(page, "/api/history.json?observer=3").status == 400


@pytest.mark.parametrize(
    "query", ["hours=0", "hours=x", "hours=nan", "hours=-1", "since=-1", "since=1.5", "observer=-1", "observer=9"]
)
def test_a_query_that_is_none_is_the_clients_fault(page: LivePage, query: str) -> None:
    found = ask(page, f"/api/history.json?{query}")
    assert found.status == 400
    assert b"expected" in found.body
    assert found.headers["Content-Type"].startswith("text/plain")


def test_answers_are_compressed_where_asked(observer: Scripted) -> None:
    with LivePage(observer, address=FREE) as page:
        plain, zipped = ask(page), ask(page, Accept_Encoding="gzip")
        assert zipped.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(zipped.body) == plain.body
        assert len(zipped.body) < len(plain.body) / 2


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_it_is_read_only(page: LivePage, method: str) -> None:
    found = ask(page, "/", method)
    assert found.status == 405
    assert set(found.headers["Allow"].split(", ")) == {"GET", "HEAD"}


def test_head_has_no_body(page: LivePage) -> None:
    found = ask(page, "/", "HEAD")
    assert (found.status, found.body) == (200, b"")
    assert int(found.headers["Content-Length"]) > 10_000


@pytest.mark.parametrize("path", ["/nothing", "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/metrics", "/api"])
def test_other_addresses_do_not_exist(page: LivePage, path: str) -> None:
    found = ask(page, path)
    assert found.status == 404
    assert b"root:" not in found.body


def test_metrics_if_they_are_given(observer: Scripted) -> None:
    def metrics(observers: Any, accept: str) -> tuple[bytes, str]:
        assert observers == [observer]
        return f"accept {accept}\n".encode(), "text/plain; version=0.0.4"

    with LivePage(observer, address=FREE, metrics=metrics) as page:
        found = ask(page, "/metrics", Accept="text/x")
        assert (found.body, found.headers["Content-Type"]) == (b"accept text/x\n", "text/plain; version=0.0.4")


def test_metrics_that_fail_tell_no_more_than_the_kind_of_error(observer: Scripted) -> None:
    def metrics(observers: Any, accept: str) -> tuple[bytes, str]:
        raise RuntimeError("a secret path")

    with LivePage(observer, address=FREE, metrics=metrics) as page:
        found = ask(page, "/metrics")
        assert found.status == 500
        assert b"secret" not in found.body
        assert ask(page).status == 200


def test_health_follows_the_samples_and_needs_no_token() -> None:
    observer = Scripted(Times())
    observer.fails = RuntimeError("not yet")
    page = LivePage(observer, address=FREE, token=TOKEN)
    history = page.histories[0]
    history._clock = observer.times.clock()
    with page:
        assert (ask(page, "/health").status, ask(page, "/health").body) == (200, b"waiting\n")
        observer.fails = None
        history.sample()
        assert (ask(page, "/health").status, ask(page, "/health").body) == (200, b"ok\n")
        observer.fails = RuntimeError("out of order")
        observer.times.go(1000)
        assert (ask(page, "/health").status, ask(page, "/health").body) == (503, b"stale\n")


def test_text_of_an_observer_is_no_markup(observer: Scripted) -> None:
    observer.info["model"] = "</script><script>alert(1)</script>"
    with LivePage(observer, address=FREE) as page:
        page.histories[0].sample()
        assert ask(page).body.count(b"<script") == 2
        assert ask(page, "/api/history.json").headers["Content-Type"].startswith("application/json")
        assert page.histories[0].read().to_html().count("<script") == 2


# ---- who may read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9400",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "10.0.0.1",
        "",
        "[::ffff:1.2.3.4]",
    ],
)
def test_other_hosts_are_refused_where_only_this_machine_connects(page: LivePage, host: str) -> None:
    for path in ("/", "/api/history.json", "/health", "/login"):
        assert ask(page, path, Host=host).status == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1", "127.0.0.2:9400", "[::1]:9400", "LOCALHOST"])
def test_names_of_this_machine_are_accepted(page: LivePage, host: str) -> None:
    assert ask(page, Host=host).status == 200


def test_without_the_token_there_is_a_form_and_no_data(guarded: LivePage) -> None:
    found = ask(guarded)
    assert found.status == 401
    assert found.headers["WWW-Authenticate"] == "Bearer"
    assert b'type="password"' in found.body
    assert b"name=" not in found.body.split(b'id="token"')[1].split(b">")[0]  # a form without scripts sends no token
    assert ask(guarded, "/api/history.json").status == 401
    assert ask(guarded, "/metrics").status == 401
    assert ask(guarded, "/login").status == 401


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN.upper()}",
        "Bearer \xe4\xf6",
    ],
)
def test_a_wrong_token_is_refused(guarded: LivePage, value: str) -> None:
    assert ask(guarded, "/api/history.json", Authorization=value).status == 401


def test_the_token_in_the_header_reads(guarded: LivePage) -> None:
    assert ask(guarded, "/api/history.json", Authorization=f"Bearer {TOKEN}").status == 200
    assert ask(guarded, "/api/history.json", Authorization=f"bearer {TOKEN}").status == 200


def test_the_token_in_an_address_is_no_token(guarded: LivePage) -> None:
    for path in (f"/?token={TOKEN}", f"/api/history.json?token={TOKEN}", f"/login?token={TOKEN}"):
        found = ask(guarded, path)
        assert found.status == 401
        assert found.headers["Set-Cookie"] is None


def test_a_login_gives_a_cookie_that_reads_and_does_not_tell_the_token(guarded: LivePage) -> None:
    found = ask(guarded, "/login", Authorization=f"Bearer {TOKEN}")
    assert found.status == 204
    cookie = found.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert cookie.startswith(f"pyinfercost-{guarded.port}=")
    value = cookie.split(";")[0]
    assert ask(guarded, "/api/history.json", Cookie=f"other=1; {value}").status == 200
    assert ask(guarded, "/api/history.json", Cookie=f"{value}0").status == 401
    other = value.replace(str(guarded.port), "1")
    assert ask(guarded, "/api/history.json", Cookie=other).status == 401


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyinfercost.monitor import access

    compared: list[tuple[bytes, bytes]] = []
    real = access.hmac.compare_digest
    monkeypatch.setattr(
        access.hmac, "compare_digest", lambda one, other: (compared.append((one, other)), real(one, other))[1]
    )
    gate = Gate(TOKEN, Address("127.0.0.1", 1))
    assert not gate.accepts("Bearer wrong", "")
    assert not gate.accepts("", f"{gate.cookie}=wrong")
    assert [one for one, _ in compared] == [b"wrong", b"wrong"]


def test_nothing_is_logged_or_printed(
    guarded: LivePage, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    ask(guarded, f"/?token={TOKEN}", Authorization=f"Bearer {TOKEN}")
    ask(guarded, "/login", Authorization=f"Bearer {TOKEN}")
    with connect(guarded) as raw:
        raw.sendall(b"GET\r\n\r\n")
        raw.recv(1000)
    told = caplog.text + "".join(capfd.readouterr())
    assert TOKEN not in told
    assert not told


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 15, "with a space in the middle", "\xfcmlaut-" + "x" * 20, "x" * 20 + "\n"]
)
def test_tokens_that_are_none(token: str) -> None:
    with pytest.raises(ListenError) as raised:
        LivePage(Scripted(Times()), token=token)
    assert not token or token not in str(raised.value)


def test_tokens_of_files_and_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    assert read_token(file) == TOKEN
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert read_token() is None
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN + "2")
    assert read_token() == TOKEN + "2"
    assert read_token(file) == TOKEN
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with pytest.raises(ListenError, match="has 5 characters"):
        read_token()


# ---- where it listens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address", "local"),
    [
        ("9400", Address("127.0.0.1", 9400), True),
        (":9400", Address("127.0.0.1", 9400), True),
        ("localhost:1", Address("localhost", 1), True),
        ("[::1]:9400", Address("::1", 9400), True),
        ("127.0.0.9:80", Address("127.0.0.9", 80), True),
        ("0.0.0.0:9400", Address("0.0.0.0", 9400), False),
        ("[::]:9400", Address("::", 9400), False),
        ("host.example:9400", Address("host.example", 9400), False),
        ("localhost.example:9400", Address("localhost.example", 9400), False),
    ],
)
def test_addresses(text: str, address: Address, local: bool) -> None:
    assert parse_address(text) == address
    assert address.is_local == local


@pytest.mark.parametrize("text", ["", "x", "host:", "host:x", "host:70000", "host:-1", "::1:9400", "[::1", 9400, None])
def test_addresses_that_are_none(text: Any) -> None:
    with pytest.raises(InputError):
        parse_address(text)


def test_no_observer_is_an_error() -> None:
    with pytest.raises(ListenError, match="observers is empty"):
        LivePage([])


def test_a_missing_library_is_an_error_that_names_the_extra(
    observer: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "pyinfercost.monitor.page_server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingLibraryError, match=r"LivePage needs uvicorn.*pip install 'pyinfercost\[monitor\]'"):
        LivePage(observer)


def test_a_port_in_use_is_an_error_that_names_it(page: LivePage, observer: Scripted) -> None:
    with pytest.raises(FileAccessError, match=f"cannot listen at 127.0.0.1:{page.port}") as raised:
        LivePage(observer, address=f"127.0.0.1:{page.port}").start()
    assert isinstance(raised.value, Error)
    assert ask(page).status == 200


@pytest.mark.parametrize("address", ["192.0.2.1:0", "no-such-host.invalid:0"])
def test_an_address_of_another_machine_is_an_error(observer: Scripted, address: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OpenServerWarning)
        with pytest.raises(FileAccessError, match="cannot listen"):
            LivePage(observer, address=address).start()


def test_open_to_others_without_a_token_is_a_warning(observer: Scripted) -> None:
    with pytest.warns(OpenServerWarning, match="can be read by every machine"):
        page = LivePage(observer, address="0.0.0.0:0").start()
    with page:
        assert page.url == f"http://localhost:{page.port}/"
        assert ask(page, Host="sidecar:9400").status == 200
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LivePage(observer, address="0.0.0.0:0", token=TOKEN).start().close()


def test_start_and_close_may_be_called_again(observer: Scripted) -> None:
    page = LivePage(observer, address=FREE)
    assert page.port == 0
    assert page.start() is page.start()
    port = page.port
    assert ask(page).status == 200
    page.close()
    page.close()
    with pytest.raises(OSError, match=r"refused|reset"):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    with pytest.raises(ListenError, match="was closed"):
        page.start()
    LivePage(observer, address=FREE).close()  # it was never started


def test_the_port_is_free_again_at_once(observer: Scripted) -> None:
    page = LivePage(observer, address=FREE).start()
    port = page.port
    ask(page)
    page.close()
    with LivePage(observer, address=f"127.0.0.1:{port}") as again:
        assert ask(again).status == 200

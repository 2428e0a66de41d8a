"""Pages of metrics that are read over HTTP: what is wrong with one is counted, and raises nothing."""

from __future__ import annotations

import contextlib
import http.server
import socket
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from support.engine_server import OPEN, serving_pages
from support.examples import examples

from pyinfercost._http import Gone
from pyinfercost.monitor.scraping import ScrapeError, fetch, metrics_url, parse

WANTED = ("a_total", "b", "h_bucket", "h_sum", "h_count")
server = pytest.mark.server


def values(content: str, **options: str) -> dict[str, list[float]]:
    return {name: list(found.values()) for name, found in parse(content, WANTED, **options).samples.items()}


def test_samples_of_wanted_names_are_read() -> None:
    page = parse(
        '# HELP a_total A.\n# TYPE a_total counter\na_total{x="1",y="q\\"}"} 3 1700000000000\nother 5\n', WANTED
    )
    assert page.samples == {"a_total": {frozenset({("x", "1"), ("y", 'q"}')}): 3.0}}
    assert page.is_whole


@pytest.mark.parametrize(
    ("content", "unreadable", "found"),
    [
        ("a_total 1\n!!! garbage\nb 2\n", 1, {"a_total": [1.0], "b": [2.0]}),
        ('a_total{x="1" 1\nb 2\n', 1, {"b": [2.0]}),
        ("a_total NaN\nb 2\n", 1, {"b": [2.0]}),
        ("a_total -4\nb +Inf\n", 2, {}),
        ("a_total 1\na_total 7\n", 1, {"a_total": [1.0]}),
        ("a_total one\nb 2\n", 1, {"b": [2.0]}),
        ("a_total 1\nb 2", 1, {"a_total": [1.0]}),
        ("a_total 12\nb 34\nh_su", 1, {"a_total": [12.0], "b": [34.0]}),
        ("<!doctype html><html><body>\n<h1>Welcome</h1>\n</body></html>\n", 3, {}),
        ("", 0, {}),
        ("\x00\x01\x02\n", 1, {}),
        ("a_total 1e999\nb 0x10\n", 2, {}),
    ],
)
def test_lines_that_cannot_be_read_are_counted(content: str, unreadable: int, found: dict[str, list[float]]) -> None:
    page = parse(content, WANTED)
    assert {name: list(each.values()) for name, each in page.samples.items() if each} == found
    assert (page.unreadable, page.is_whole) == (unreadable, not unreadable)


def test_openmetrics_has_exemplars_and_a_mark_at_its_end() -> None:
    content = 'a_total 3.0 # {trace_id="abc"} 1.0 1700000000.1\nh_bucket{le="1.0"} 2 # {} 0.5\n# EOF\n'
    assert values(content, content_type=OPEN) == {"a_total": [3.0], "h_bucket": [2.0]}
    assert parse(content, WANTED, content_type=OPEN).is_whole
    assert not parse(content.removesuffix("# EOF\n"), WANTED, content_type=OPEN).is_whole


@settings(max_examples=examples(200))
@given(st.text(max_size=300))
def test_no_text_raises(content: str) -> None:
    page = parse(content, WANTED)
    assert all(value >= 0 for samples in page.samples.values() for value in samples.values())


@settings(max_examples=examples(200))
@given(st.data())
def test_a_damaged_page_of_vllm_raises_nothing(data: st.DataObject) -> None:
    page = 'a_total{engine="0",model_name="tiny"} 47242.0\nh_bucket{engine="0",le="+Inf"} 201.0\nb 0.5\n'
    at = data.draw(st.integers(0, len(page)))
    parse(page[:at] + data.draw(st.text(max_size=5)) + page[at + data.draw(st.integers(0, 9)) :], WANTED)


LABELS = st.dictionaries(st.from_regex("_?[a-z][a-z0-9_]{0,5}", fullmatch=True), st.text(max_size=9), max_size=4)


@settings(max_examples=examples(200))
@given(LABELS, st.floats(0, 1e300), st.sampled_from(["", " 1700000000000", " 1.5"]), st.sampled_from(["", ",", " , "]))
def test_samples_are_those_of_the_library_of_prometheus(
    labels: dict[str, str], value: float, stamp: str, comma: str
) -> None:
    escaped = {
        name: each.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"") for name, each in labels.items()
    }
    joined = ",".join(f'{name}="{each}"' for name, each in escaped.items()) + (comma if labels else "")
    line = f"b{{{joined}}} {value!r}{stamp}\n"
    (sample,) = next(iter(text_string_to_metric_families(line))).samples
    assert parse(line, WANTED).samples == {"b": {frozenset(sample.labels.items()): sample.value}}


@pytest.mark.parametrize(
    "line",
    [
        'b{a="' + '\\"' * 1_000_000 + '"} 5',
        'b{a="' + "\\n" * 1_000_000 + '"} 5',
        "b{" + ",".join(f'a{number}="b"' for number in range(100_000)) + "} 5",
        "b" + "{" * 1_000_000 + " 5",
        "b{" + "," * 1_000_000 + "} 5",
        "b " + "1" * 1_000_000 + "x",
        "b 1" + " " * 1_000_000 + "x",
        "b 1" + " # {" * 500_000,
    ],
    ids=lambda line: line[:8],
)
@pytest.mark.sample(3)
def test_a_line_is_read_in_linear_time(line: str) -> None:
    begun_s = time.process_time()
    parse(f"{line}\n", WANTED, content_type=OPEN)
    assert time.process_time() - begun_s < 2.0  # of a backtracking pattern, minutes


def test_recorded_pages_are_whole(shared: Path) -> None:
    from pyinfercost.monitor.engines import ENGINES

    for name in ("before", "after"):
        text = (shared / "live" / f"vllm_metrics_{name}.txt").read_text(encoding="utf-8")
        page = parse(text, ENGINES["vllm"].wanted())
        assert page.is_whole
        assert len(page.samples) > 30


@pytest.mark.parametrize(
    ("given_url", "url"),
    [
        ("http://host:8000", "http://host:8000/metrics"),
        ("host:8000", "http://host:8000/metrics"),
        ("https://host/", "https://host/metrics"),
        ("http://[::1]:9/m?x=1#y", "http://[::1]:9/m?x=1"),
    ],
)
def test_addresses(given_url: str, url: str) -> None:
    assert metrics_url(given_url) == url


@pytest.mark.parametrize(
    "bad",
    ["", "ftp://host/x", "http://", "http://h:99999", "http://h:0", "http://a:b@h/", "http://h/\r\nX: y", 3, None],
)
def test_addresses_of_nothing(bad: object) -> None:
    with pytest.raises(ScrapeError, match="url"):
        metrics_url(bad)


# ---- over HTTP -------------------------------------------------------------------------------------------------------


def reason(url: str, **options: float) -> Gone:
    found = fetch(metrics_url(url), **options)
    assert isinstance(found, Gone)
    return found


@server
@pytest.mark.parametrize("packed", [False, True])
def test_a_page_is_fetched(packed: bool) -> None:
    with serving_pages(page=b"a_total 1\n" * 1000, packed=packed) as pages:
        text, kind = fetch(metrics_url(pages.url))
    assert text == "a_total 1\n" * 1000
    assert kind.startswith("text/plain")


@server
@pytest.mark.parametrize("packed", [False, True])
def test_a_huge_page_is_not_read_to_its_end(packed: bool) -> None:
    with serving_pages(page=b"a" * 10_000_000, packed=packed) as pages:
        found = reason(pages.url, most_bytes=1_000_000)
    assert "more than 1,000,000 bytes" in found.reason
    assert not found.is_down


@server
def test_a_long_line_is_a_reason() -> None:
    with serving_pages(page=b"b 1\n# " + b"a" * 2**16 + b"\n") as pages:
        assert reason(pages.url).reason == "a line of the page has more than 65,536 characters"


@server
def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert reason(f"http://127.0.0.1:{free.getsockname()[1]}").is_down


@server
@pytest.mark.parametrize(("status", "is_down"), [(404, False), (500, False), (503, True), (401, False)])
def test_a_status_is_a_reason(status: int, is_down: bool) -> None:
    with serving_pages(page=b"a_total 1\n", status=status) as pages:
        found = reason(pages.url)
    assert (str(status) in found.reason, found.is_down) == (True, is_down)


@server
def test_a_server_that_hangs_or_drips_is_left_at_the_deadline() -> None:
    def hang(_: http.server.BaseHTTPRequestHandler) -> None:
        time.sleep(3)

    def drip(request: http.server.BaseHTTPRequestHandler) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"a" * 1000:
            request.wfile.write(bytes([byte]))
            time.sleep(0.02)

    def drip_without_length(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(150):
            request.wfile.write(b"a")
            time.sleep(0.02)

    for misbehaves in (hang, drip, drip_without_length):
        begun_s = time.monotonic()
        with serving_pages(page=misbehaves) as pages:
            found = reason(pages.url, timeout_s=0.4)
            assert time.monotonic() - begun_s < 2.0
        assert "no whole answer in 0.4 s" in found.reason
        assert not found.is_down


@server
def test_an_answer_that_breaks_off_is_none() -> None:
    def cut(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\na_total 47")

    def chunk(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na_tot\r\n")

    def no_http(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"\x15\x03\x01 hello\r\n\r\n")

    def bad_pack(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd")

    for misbehaves in (cut, chunk, no_http, bad_pack):
        with serving_pages(page=misbehaves) as pages:
            assert "broke off" in reason(pages.url).reason


@server
def test_redirects_stay_on_the_server() -> None:
    def to(address: str) -> object:
        def answer(request: http.server.BaseHTTPRequestHandler) -> None:
            if request.path == "/there":
                request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\na_total 1\n")
            else:
                request.wfile.write(f"HTTP/1.1 302 Found\r\nLocation: {address}\r\nContent-Length: 0\r\n\r\n".encode())

        return answer

    with serving_pages(page=to("/there")) as pages:
        assert fetch(metrics_url(pages.url))[0] == "a_total 1\n"
    with serving_pages(page=b"secret 1\n") as other:
        for address in (f"{other.url}/there", "file:///etc/passwd", "http://169.254.169.254/latest"):
            with serving_pages(page=to(address)) as pages:
                assert "redirects to another server" in reason(pages.url).reason
        assert not other.asked
    with serving_pages(page=to("/round")) as pages:
        assert "more than 3 times" in reason(pages.url).reason


@server
def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving_pages(page=b"a_total 1\n") as pages, serving_pages(page=b"b 2\n") as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert fetch(metrics_url(pages.url))[0] == "a_total 1\n"
        assert not proxy.asked


@server
def test_bytes_that_are_no_text_lose_their_line_alone() -> None:
    with serving_pages(page=b"a_total 1\n\xff\xfe\nb 2\n") as pages, contextlib.ExitStack():
        text, _ = fetch(metrics_url(pages.url))
    assert values(text) == {"a_total": [1.0], "b": [2.0]}

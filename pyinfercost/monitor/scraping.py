"""Readings of a `/metrics` page over HTTP, in Prometheus' text format or OpenMetrics.

A page is material of others: what cannot be read is counted, and nothing on a page raises an error.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
import zlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from .._checks import excerpt, shown, text
from .._escapes import visible
from .._lazy import optional_library
from ..errors import InputError

MOST_BYTES = 32 * 2**20
"""Most bytes of a page, unpacked. A page of vLLM has 0.1 MB."""

_ACCEPT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"
_PIECE = 2**16
_REDIRECTS = 3
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_EXEMPLAR = re.compile(r" # \{.*$")
_STATUSES = frozenset(map(int, http.HTTPStatus))
_NEVER = (
    http.HTTPStatus.UNAUTHORIZED,
    http.HTTPStatus.FORBIDDEN,
    http.HTTPStatus.NOT_FOUND,
    http.HTTPStatus.METHOD_NOT_ALLOWED,
)
"""Statuses of an address that has no metrics for us."""

_MOST_VALUE = 1e300  # a whole number may have more digits than a float holds
_TITLE = 120  # characters of a line or a reason in a message

LabelSet = frozenset[tuple[str, str]]


class ScrapeError(InputError):
    """An address that is no address of metrics."""


class Gone(NamedTuple):
    """A server that does not answer.

    Attributes:
        reason: The reason.
        is_down: Whether nothing listens there, or the server says that it is not ready; else it answered, but with no
            page, or too late.
        is_wrong: Whether something else than metrics of the engine is there, so that trying again is of no use.
    """

    reason: str
    is_down: bool
    is_wrong: bool = False


@dataclass(frozen=True)
class Page:
    """A page of metrics.

    Attributes:
        samples: Name -> labels -> value, finite and at least 0, of the wanted names. Histograms have the names of the
            format: `x_bucket`, `x_sum`, `x_count`.
        unreadable: Lines that are no samples, have no such value, or repeat a sample.
        is_whole: Whether the page had no such line and was not cut off.
    """

    samples: Mapping[str, Mapping[LabelSet, float]] = field(default_factory=lambda: MappingProxyType({}))
    unreadable: int = 0
    is_whole: bool = True


def metrics_url(url: object) -> str:
    """Return the address of a page of metrics: `http://host:8000` stands for `http://host:8000/metrics`.

    Raises:
        ScrapeError: It is no address of HTTP, or has a password.
    """
    given = text(url, "url", ScrapeError)
    try:
        parts = urlsplit(given if "://" in given else f"http://{given}")
        port = parts.port
    except ValueError as error:
        raise ScrapeError(f"url is {shown(url)} ({error}); expected http://host:port/metrics") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or re.search(r"[\s\x00-\x1f]", given):
        raise ScrapeError(f"url is {shown(url)}; expected http://host:port/metrics")
    if parts.username is not None or parts.password is not None:
        raise ScrapeError("url has a user or a password, which logs would show; leave it out")
    path = parts.path if parts.path not in ("", "/") else "/metrics"
    return parts._replace(path=path, fragment="").geturl()


def fetch(url: str, *, timeout_s: float = 10.0, most_bytes: int = MOST_BYTES) -> tuple[str, str] | Gone:
    """Return the text and the content type of a page.

    Redirects are followed on the same host and port only. Proxies of the environment are not used.

    Args:
        url: The address, from `metrics_url`.
        timeout_s: Seconds for the whole answer, also of a server that sends it byte by byte.
        most_bytes: Most bytes, unpacked.

    Returns:
        Text, in which bytes that are not UTF-8 are replaced, and content type; or the reason that there is none.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        for _ in range(_REDIRECTS + 1):
            found = _ask(urlsplit(url), deadline_s, most_bytes)
            if not isinstance(found, str):
                return found
            other = urlsplit(urljoin(url, found))
            if (other.scheme, other.netloc) != urlsplit(url)[:2]:
                return Gone(f"it redirects to another server, {_told(found)}", is_down=False, is_wrong=True)
            url = other.geturl()
        return Gone(f"it redirects more than {_REDIRECTS} times", is_down=False)
    except socket.gaierror as error:
        return Gone(f"its host has no address ({_told(error.strerror or str(error))})", is_down=True)
    except ConnectionRefusedError as error:
        return Gone(f"nothing listens there ({error.strerror or error})", is_down=True)
    except TimeoutError:
        return Gone(f"no whole answer in {timeout_s:g} s", is_down=False)
    except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
        late = time.monotonic() >= deadline_s  # the connection was closed at the deadline
        told = f"no whole answer in {timeout_s:g} s" if late else f"the answer broke off ({_told(repr(error))})"
        # A reset or unreachable host is that of a process that ends.
        return Gone(told, is_down=not late and isinstance(error, OSError))


def _ask(parts: SplitResult, deadline_s: float, most_bytes: int) -> tuple[str, str] | Gone | str:
    """Return the text and the content type, the reason that there is none, or the address of a redirection."""
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=left_s)
    # The timeout of a socket is that of one read; a server that sends a byte now and then needs a deadline for all.
    watch = threading.Timer(left_s, _shut, [connection])
    watch.daemon = True
    try:
        connection.connect()
        watch.start()
        connection.request(
            "GET",
            parts._replace(scheme="", netloc="").geturl() or "/",
            headers={"Accept": _ACCEPT, "Accept-Encoding": "gzip", "User-Agent": "pyinfercost"},
        )
        answer = connection.getresponse()
        if answer.status in (301, 302, 303, 307, 308):
            return answer.getheader("Location") or ""
        if answer.status != http.HTTPStatus.OK:
            status = http.HTTPStatus(answer.status) if answer.status in _STATUSES else None
            return Gone(
                f"it answers with the status {answer.status}{'' if status is None else f' ({status.phrase})'}",
                is_down=status in (http.HTTPStatus.SERVICE_UNAVAILABLE, http.HTTPStatus.BAD_GATEWAY),
                is_wrong=status in _NEVER,
            )
        body = _body(answer, most_bytes)
        if time.monotonic() >= deadline_s:  # it was shut, which looks like the end of an answer without a length
            raise TimeoutError
        if body is None:
            return Gone(f"the page has more than {most_bytes:,} bytes", is_down=False)
        return body.decode("utf-8", errors="replace"), answer.getheader("Content-Type") or ""
    finally:
        watch.cancel()
        connection.close()


def _shut(connection: http.client.HTTPConnection) -> None:
    sock = connection.sock
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _body(answer: http.client.HTTPResponse, most_bytes: int) -> bytes | None:
    """Return the unpacked body; None if it is too long.

    Raises:
        HTTPException: It was cut off.
        zlib.error: It is not packed as it says.
    """
    packed = (answer.getheader("Content-Encoding") or "").strip().lower() in ("gzip", "x-gzip")
    unpack: Any = zlib.decompressobj(zlib.MAX_WBITS | 16) if packed else None
    found = bytearray()
    while piece := answer.read(_PIECE):
        found += piece if unpack is None else unpack.decompress(piece, most_bytes + 1 - len(found))
        if len(found) > most_bytes:
            return None
    if answer.length:  # less than Content-Length: `read` with a size does not complain
        raise http.client.IncompleteRead(bytes(found[:0]), answer.length)
    if unpack is not None and not unpack.eof:
        raise http.client.IncompleteRead(b"")
    return bytes(found)


def _told(words: str) -> str:
    return visible(excerpt(words, _TITLE))


# ---- samples ---------------------------------------------------------------------------------------------------------


def parse(content: str, wanted: Collection[str], *, content_type: str = "") -> Page:
    """Return the samples of a page that have wanted names.

    Other lines are not parsed, so that a huge page of other metrics costs little. A line that cannot be read does not
    lose the others.

    Args:
        content: The text.
        wanted: Names of samples, such as `vllm:prompt_tokens_total` and `vllm:e2e_request_latency_seconds_bucket`.
        content_type: The content type of the answer.

    Raises:
        MissingLibraryError: Prometheus_client is not installed.
    """
    families_of = optional_library("prometheus_client.parser", "scraping", "prometheus").text_string_to_metric_families
    is_open = "openmetrics" in content_type.lower()
    lines = content.split("\n")
    # Both formats end with a line feed, and OpenMetrics with a mark: what comes after is a line that was cut off.
    cut = lines.pop() != "" or (is_open and (not lines or lines[-1].strip() != "# EOF"))
    unreadable = 0
    kept = []
    for line in lines:
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        match = _NAME.match(bare)
        if match is None or bare[match.end() : match.end() + 1] not in ("{", " ", "\t"):
            unreadable += 1
        elif match[0] in wanted:
            kept.append(_EXEMPLAR.sub("", bare) if is_open else bare)
    samples: dict[str, dict[LabelSet, float]] = {}
    for sample in _samples(families_of, kept):
        if sample is None or sample.name not in wanted:  # to the parser, a blank before labels is a part of the name
            unreadable += 1
            continue
        series = samples.setdefault(sample.name, {})
        labels = frozenset(sample.labels.items())
        if labels in series or not 0 <= sample.value <= _MOST_VALUE or not _has_bound(sample):
            unreadable += 1
        else:
            series[labels] = float(sample.value)
    return Page(samples, unreadable + cut, is_whole=not cut and not unreadable)


def _has_bound(sample: Any) -> bool:
    """Return whether a sample is none of a bucket, or one with a bound."""
    try:
        return not sample.name.endswith("_bucket") or float(sample.labels.get("le", "")) == float(sample.labels["le"])
    except ValueError:
        return False


def has_names(content: str, prefix: str) -> bool:
    """Return whether a line of a page begins with a prefix."""
    return content.startswith(prefix) or f"\n{prefix}" in content


def _samples(families_of: Any, lines: list[str]) -> list[Any]:
    """Return the samples of lines; None for one that is none."""
    try:
        return [sample for family in families_of("\n".join(lines) + "\n") for sample in family.samples]
    except Exception:  # the parser raises whatever it stumbles over
        if len(lines) == 1:
            return [None]
    found = []
    for line in lines:
        found.extend(_samples(families_of, [line]))
    return found

"""Answers of HTTP servers: one reader for all doors, with a deadline, a limit of size, and no redirect to others.

A server is not trusted: whatever it sends is an answer, or a reason that there is none.
"""

from __future__ import annotations

import base64
import http.client
import re
import socket
import threading
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from ._checks import excerpt, shown
from ._escapes import visible
from .errors import Error

_PIECE = 2**16
_TITLE = 120  # characters of a reason in a message
_STATUSES = frozenset(map(int, http.HTTPStatus))
_REDIRECTIONS = (301, 302, 303, 307, 308)
_WITH_USER = re.compile(r"(?:[^/?#]*//)?[^/?#]*@")
_BLANK = re.compile(r"[\s\x00-\x1f]")
_PROXY_PORT = 80


class Gone(NamedTuple):
    """A server that does not answer.

    Attributes:
        reason: The reason.
        is_down: Whether nothing listens there, or the server is not ready; else it answered, but with no
            page, or too late.
        is_wrong: Whether something else than the expected server is there, so that trying again is of no use.
    """

    reason: str
    is_down: bool
    is_wrong: bool = False


class Answer(NamedTuple):
    """An answer.

    Attributes:
        status: Its status.
        content_type: Its content type; empty if it states none.
        text: Its text, in which bytes that are not UTF-8 are replaced; empty if the status is not 200, and for other
            methods than GET.
    """

    status: int
    content_type: str
    text: str


def http_address(given: str, name: str, expected: str, error: type[Error], *, scheme: str = "") -> SplitResult:
    """Return the parts of an address of HTTP.

    Args:
        given: The address.
        name: Its name, for messages.
        expected: An example, for messages.
        error: The error to raise.
        scheme: Scheme of an address without one; by default there must be one.

    Raises:
        Error: It is no address of HTTP, or has a password.
    """
    if _WITH_USER.match(given):
        raise error(f"{name} has a user or a password, which logs would show; leave it out")
    try:
        parts = urlsplit(given if "://" in given or not scheme else f"{scheme}://{given}")
        port = parts.port
    except ValueError as wrong:
        raise error(f"{name} is {shown(given)} ({wrong}); expected {expected}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or _BLANK.search(given):
        raise error(f"{name} is {shown(given)}; expected {expected}")
    return parts


def header_token(value: str, name: str, error: type[Error]) -> str:
    """Return a token that a header of HTTP can have; no message shows it.

    Raises:
        Error: It has spaces, or others than printable ASCII.
    """
    if not value.isascii() or not value.isprintable() or " " in value:
        raise error(f"{name} has spaces or characters beyond ASCII; expected letters, digits and signs")
    return value


def status_words(status: int) -> str:
    """`the status 404 (Not Found)`; the phrase is the standard's, not the server's."""
    return f"the status {status}" + (f" ({http.HTTPStatus(status).phrase})" if status in _STATUSES else "")


def ask(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str],
    body: bytes | None = None,
    timeout_s: float,
    most_bytes: int,
    redirects: int = 0,
    by_proxies: bool = False,
) -> Answer | Gone:
    """Send a request, and return the answer.

    Args:
        url: The address, as checked by `http_address`.
        method: The method.
        headers: Headers, besides the headers of the encoding and of this package.
        body: What is sent.
        timeout_s: Seconds for the whole answer, also of a server that sends it byte by byte.
        most_bytes: Most bytes of the text, unpacked.
        redirects: Most redirects that are followed, on the same host and port only. A request with credentials follows
            none.
        by_proxies: Whether an address of HTTPS is reached through the proxies of the environment.

    Returns:
        The answer, or the reason that there is none.
    """
    deadline_s = time.monotonic() + timeout_s
    sent = {"Accept-Encoding": "gzip", "User-Agent": "pyinfercost", **headers}
    try:
        for _ in range(redirects + 1):
            found = _exchange(urlsplit(url), method, sent, body, deadline_s, most_bytes, by_proxies)
            if not isinstance(found, str):
                return found
            other = urlsplit(urljoin(url, found))
            if (other.scheme, other.netloc) != urlsplit(url)[:2]:
                # The path may have what was sent.
                origin = _told(f"{other.scheme}://{other.netloc}")
                return Gone(f"it redirects to another server, {origin}", is_down=False, is_wrong=True)
            url = other.geturl()
        more = f"redirects more than {redirects} times" if redirects else "redirects to another of its addresses"
        return Gone(f"it {more}", is_down=False)
    except socket.gaierror as error:
        return Gone(f"its host has no address ({_told(error.strerror or str(error))})", is_down=True)
    except ConnectionRefusedError as error:
        return Gone(f"nothing listens there ({error.strerror or error})", is_down=True)
    except TimeoutError:
        return Gone(f"no whole answer in {timeout_s:g} s", is_down=False)
    except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
        late = time.monotonic() >= deadline_s  # the connection was closed at the deadline
        told = f"no whole answer in {timeout_s:g} s" if late else f"the answer broke off ({_told(repr(error))})"
        # A reset or an unreachable host comes from a process that ends.
        return Gone(told, is_down=not late and isinstance(error, OSError))


def _exchange(
    parts: SplitResult,
    method: str,
    headers: Mapping[str, str],
    body: bytes | None,
    deadline_s: float,
    most_bytes: int,
    by_proxies: bool,
) -> Answer | Gone | str:
    """Return an answer, the reason that there is none, or the address of a redirection."""
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    connection = _connection(parts, left_s, by_proxies)
    watch = None
    try:
        connection.connect()
        # The timeout of a socket is for one read; a server that sends a byte now and then needs a deadline for all.
        # The connection forgets the socket of an answer without a length.
        watch = threading.Timer(max(0.0, deadline_s - time.monotonic()), _shut, [connection.sock])
        watch.daemon = True
        watch.start()
        connection.request(method, parts._replace(scheme="", netloc="").geturl() or "/", body, dict(headers))
        answer = connection.getresponse()
        if answer.status in _REDIRECTIONS:
            return answer.getheader("Location") or ""
        kind = answer.getheader("Content-Type") or ""
        if answer.status != http.HTTPStatus.OK or method != "GET":
            return Answer(answer.status, kind, "")
        found = _body(answer, most_bytes)
        if time.monotonic() >= deadline_s:  # it was shut, which looks like the end of an answer without a length
            raise TimeoutError
        if found is None:
            return Gone(f"the answer has more than {most_bytes:,} bytes", is_down=False)
        return Answer(answer.status, kind, found.decode("utf-8", errors="replace"))
    finally:
        if watch is not None:
            watch.cancel()
        connection.close()


def _connection(parts: SplitResult, timeout_s: float, by_proxies: bool) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    proxy = _proxy_of(host) if by_proxies else None
    if proxy is None:
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s)
    connection = http.client.HTTPSConnection(proxy.hostname or "", proxy.port or _PROXY_PORT, timeout=timeout_s)
    login = {}
    if proxy.username is not None:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        login["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    connection.set_tunnel(host, parts.port, login)
    return connection


def _proxy_of(host: str) -> SplitResult | None:
    """Return the proxy of the environment for HTTPS; None if there is none for this host."""
    from urllib.request import getproxies, proxy_bypass  # takes longer to import than the rest

    named = getproxies().get("https", "")
    if not named or proxy_bypass(host):
        return None
    return urlsplit(named if "://" in named else f"http://{named}")


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _body(answer: http.client.HTTPResponse, most_bytes: int) -> bytes | None:
    """Return the unpacked body; None if it is too long.

    Raises:
        HTTPException: It was cut off.
        zlib.error: Its bytes are not packed as its header states.
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

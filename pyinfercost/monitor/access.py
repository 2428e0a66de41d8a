"""Where a server of this package listens, and who may read from it."""

from __future__ import annotations

import hashlib
import hmac
import os
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from .._checks import Range, read_text, shown, text, whole_in
from .._http import header_token
from ..errors import InputError

if TYPE_CHECKING:
    from os import PathLike

ADDRESS = "127.0.0.1:9400"
"""Address by default."""

TOKEN_VARIABLE = "PYINFERCOST_MONITOR_TOKEN"
"""Environment variable of the token."""

_PORT = Range(0, 65535)
_LEAST_TOKEN = 16  # characters
_DAY_S = 86_400


class ListenError(InputError):
    """An address or a token that a server cannot have."""


class OpenServerWarning(UserWarning):
    """A server that other machines can reach has no token."""


class Address(NamedTuple):
    """Where a server listens.

    Attributes:
        host: An IP address or a name.
        port: A port; 0 for a free one.
    """

    host: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return _is_local(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(value: object) -> Address:
    """Return the address of a text: `9400`, `:9400`, `0.0.0.0:9400`, `[::1]:9400`; without a host it is local.

    Raises:
        ListenError: It is no address.
    """
    given = text(value, "address", ListenError).strip()
    host, colon, port = given.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host or "[" in host or (not colon and not port.isdigit()):
        raise ListenError(f"address is {shown(given)}; expected HOST:PORT, such as {ADDRESS} or [::1]:9400")
    return Address(host or "127.0.0.1", whole_in(port, "the port of address", _PORT, ListenError))


def read_token(path: str | PathLike[str] | None = None) -> str | None:
    """Return the token of a file, else of the environment variable `PYINFERCOST_MONITOR_TOKEN`; None without both.

    Raises:
        ListenError: It has less than 16 characters, or others than printable ASCII.
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read.
    """
    if path is not None:
        return checked_token(read_text(path, ListenError).strip(), f"the token in {path}")
    value = os.environ.get(TOKEN_VARIABLE, "").strip()
    return checked_token(value, f"the token in {TOKEN_VARIABLE}") if value else None


def checked_token(value: str, name: str) -> str:
    """Return a token that is long enough; no message shows it.

    Raises:
        ListenError: It has less than 16 characters, or others than printable ASCII.
    """
    if len(value) < _LEAST_TOKEN:
        raise ListenError(
            f"{name} has {len(value)} characters; expected at least {_LEAST_TOKEN}: `openssl rand -hex 24` makes one"
        )
    return header_token(value, name, ListenError)


class Gate:
    """Decides who may read: by the `Host` header where the server is local, and by the token."""

    def __init__(self, token: str | None, address: Address) -> None:
        self._token = None if token is None else token.encode()
        self._local = address.is_local
        # Cookies are shared by all ports of a host, and the value does not tell the token.
        self.cookie = f"pyinfercost-{address.port}"
        self._session = hmac.new((token or "").encode(), b"pyinfercost page", hashlib.sha256).hexdigest()

    def accepts_host(self, host: str) -> bool:
        """Return whether a `Host` header names this machine, where only this machine can connect.

        A page of somebody else, whose name was made to point here, sends that name (DNS rebinding).
        """
        try:
            return not self._local or _is_local(urlsplit(f"//{host}").hostname or "")
        except ValueError:
            return False

    def accepts_token(self, value: str) -> bool:
        """Return whether a token is the right one, in a time that does not depend on it."""
        return self._token is None or hmac.compare_digest(value.encode("utf-8", "replace"), self._token)

    def accepts(self, authorization: str, cookies: str) -> bool:
        """Return whether a request may read."""
        if self._token is None:
            return True
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return self.accepts_token(value.strip())
        for each in cookies.split(";"):
            name, _, held = each.strip().partition("=")
            if name == self.cookie and hmac.compare_digest(held.encode("utf-8", "replace"), self._session.encode()):
                return True
        return False

    @property
    def set_cookie(self) -> str:
        """Header that lets a browser read for a day."""
        return f"{self.cookie}={self._session}; HttpOnly; SameSite=Strict; Path=/; Max-Age={_DAY_S}"


def _is_local(host: str) -> bool:
    """Return whether a host is this machine alone: `localhost`, or an address of the loopback interface."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

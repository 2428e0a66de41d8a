"""The live page as an exporter."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ...errors import FileAccessError
from ..access import parse_address, read_token
from ..live_page import LivePage
from .periodic import INTERVAL_S, Exporter, Failures

if TYPE_CHECKING:
    from ..observer import Observer

_RETRY_S = 5.0


class PageExporter(Exporter):
    """The live page of one observer, from its start to its end.

    Args:
        address: `HOST:PORT`, as for `LivePage`. The variable `PYINFERCOST_MONITOR_TOKEN` has the token.
        interval_s: Seconds between samples. The first figures are of the first two samples.

    Raises:
        ListenError: The address or the token is invalid.
    """

    def __init__(self, address: str, *, interval_s: float = INTERVAL_S) -> None:
        parse_address(address)
        self._address = address
        self._interval_s = interval_s
        self._token = read_token()
        self._failures = Failures(f"the live page at {address}")
        self._stopped = threading.Event()
        self._page: LivePage | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Address of the page; empty while it does not listen."""
        return "" if self._page is None else self._page.url

    @property
    def errors(self) -> int:
        """Attempts to listen that failed."""
        return self._failures.count

    def start(self, observer: Observer) -> None:
        """Serve the page. A port in use is a warning; it is tried again."""
        if self._page is None and not self._listen(observer):
            self._thread = threading.Thread(target=self._retry, args=(observer,), name="pyinfercost port", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the page."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        if self._page is not None:
            self._page.close()

    def _listen(self, observer: Observer) -> bool:
        """Start the page; return whether it listens."""
        try:
            self._page = LivePage(
                observer, address=self._address, token=self._token, interval_s=self._interval_s
            ).start()
        except FileAccessError as error:
            self._failures.add(error)
            return False
        return True

    def _retry(self, observer: Observer) -> None:
        while not self._stopped.wait(_RETRY_S):
            if self._listen(observer):
                return

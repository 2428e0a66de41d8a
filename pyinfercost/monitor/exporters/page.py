"""The live page as an exporter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..http_server import LivePage
from ..listening import parse_listen, read_token
from .periodic import Exporter

if TYPE_CHECKING:
    from ..observer import Observer


class PageExporter(Exporter):
    """The live page of one observer, from its start to its end.

    Args:
        listen: `HOST:PORT`, as for `LivePage`. The token is that of the variable `PYINFERCOST_MONITOR_TOKEN`.

    Raises:
        ListenError: The address is invalid.
    """

    def __init__(self, listen: str) -> None:
        parse_listen(listen)
        self._listen = listen
        self._page: LivePage | None = None

    @property
    def url(self) -> str:
        """Address of the page; empty before the start."""
        return "" if self._page is None else self._page.url

    def start(self, observer: Observer) -> None:
        """Serve the page."""
        if self._page is None:
            self._page = LivePage(observer, listen=self._listen, token=read_token())

    def close(self) -> None:
        """End the page."""
        if self._page is not None:
            self._page.close()

"""Pages in Chromium and Firefox without windows, for tests of reports: network access and errors are detected.

Chromium is driven by playwright, whose Firefox is a build of its own. Debian's is driven by `firefox.py`, with those
methods of playwright's pages that tests of both browsers use: `evaluate`, `keyboard.press`, `set_viewport_size`,
`screenshot` and `goto`.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from support.firefox import Firefoxes, FirefoxPage, told_by

BROWSERS = ("chromium", "firefox")
FIREFOX_NAMES = ("firefox-esr", "firefox")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZES = {"wide": (1360, 900), "tablet": (820, 1100), "phone": (390, 844)}
_FIRST, _SLOW = (("wide", False), ("phone", True)), pytest.mark.slow
SCREENS = [
    pytest.param(size, dark, id=f"{size}-{'dark' if dark else 'light'}", marks=[] if (size, dark) in _FIRST else _SLOW)
    for size in SIZES
    for dark in (False, True)
]
"""Sizes in light and dark; all but two are of the slow suite."""


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield a browser; the test is skipped without a browser or a driver."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"needs a Chromium: none of {', '.join(NAMES)} is here")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def firefox() -> Iterator[Firefoxes]:
    """Yield Firefox; the test is skipped without it, or without a library for websockets."""
    pytest.importorskip("websockets", reason="needs websockets: pip install websockets")
    path = next(filter(None, map(shutil.which, FIREFOX_NAMES)), None)
    if path is None:
        pytest.skip(f"needs a Firefox: none of {', '.join(FIREFOX_NAMES)} is here")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found = Firefoxes(path, Path(folder))
        try:
            yield found
        finally:
            found.close()


@contextmanager
def browser_named(name: str) -> Iterator[Any]:
    """Yield one of `BROWSERS`, as `chromium` and `firefox` do."""
    with chromium() if name == "chromium" else firefox() as found:
        yield found


class Lent:
    """A browser that outlives the tests that use it.

    Playwright's driver is an event loop that waits, unfinished, in the thread that started it, so that `asyncio.run`
    refuses to work there. Here the thread has that loop only while a test has the browser.

    Args:
        browser: What `browser_named` yields, in the thread that entered it.
    """

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)

    @contextmanager
    def lend(self) -> Iterator[Any]:
        """Yield the browser."""
        asyncio._set_running_loop(self._loop)
        try:
            yield self._browser
        finally:
            asyncio._set_running_loop(None)


def kept(name: str) -> Iterator[Lent]:
    """Yield one of `BROWSERS`, which ends when the iterator goes on."""
    with ExitStack() as started:
        lent = Lent(started.enter_context(browser_named(name)))
        yield lent
        with lent.lend():
            started.close()


@contextmanager
def opened(
    browser: Any, file: Path, *, size: str = "wide", dark: bool = False, ready: str = "html[data-ready]"
) -> Iterator[Any]:
    """Yield a rendered page at its `file://` address; afterwards it must have loaded nothing and raised no error.

    `ready` selects what the page has once it is drawn.
    """
    told: list[str] = []
    # Workers are made of blobs, and the icon and a browser's own fonts are data: neither is loaded from anywhere.
    allowed = (f"request: {file.as_uri()[:200]}", "request: blob:", "request: data:")
    with (_firefox_page if isinstance(browser, Firefoxes) else _chromium_page)(browser, size, dark, told) as page:
        page.goto(file.as_uri())
        page.evaluate(_WAIT, ready)
        _require_quiet(told, allowed)
        yield page
        page.evaluate("new Promise((done) => setTimeout(done))")  # what is told until now has arrived
        _require_quiet(told, allowed)


def _require_quiet(told: list[str], allowed: tuple[str, ...]) -> None:
    loud = [each for each in told if not each.startswith(allowed)]
    assert not loud, loud


_WAIT = """async (selector) => {
    const end = performance.now() + 30000;
    while (!document.querySelector(selector)) {
        if (performance.now() > end) throw new Error(`the page has no ${selector} after 30 s`);
        await new Promise((done) => setTimeout(done, 10));
    }
}"""


_TABS: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""Chromium -> its tab. One for each file would take as long as what the file draws."""


@contextmanager
def _chromium_page(browser: Any, size: str, dark: bool, told: list[str]) -> Iterator[Any]:
    width, height = SIZES[size]
    page = _TABS[browser] if browser in _TABS else _TABS.setdefault(browser, browser.new_context().new_page())
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(media="null", color_scheme="dark" if dark else "light")
    listeners = {
        "console": lambda message: told.append(f"console {message.type}: {message.text}"),
        "pageerror": lambda error: told.append(f"error: {error}"),
        "dialog": lambda dialog: (told.append(f"dialog: {dialog.message}"), dialog.dismiss()),
        # A worker of the page is a file that it makes itself, whose address begins with blob: it is no request.
        "request": lambda sent: None if sent.url.startswith("blob:") else told.append(f"request: {sent.url[:200]}"),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    try:
        yield page
    finally:
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
        page.goto("about:blank")


@contextmanager
def _firefox_page(browser: Firefoxes, size: str, dark: bool, told: list[str]) -> Iterator[FirefoxPage]:
    process = browser.of(dark=dark)
    page = process.page()

    def listen(event: str, params: dict[str, Any]) -> None:
        if (text := told_by(event, params, page.context)) is not None:
            told.append(text)

    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    with process.listening(listen):
        try:
            yield page
        finally:
            page.close()


_DROP = """async ([selector, name, type, base64]) => {
    const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, { type }));
    const target = document.querySelector(selector);
    for (const kind of ["dragenter", "dragover", "drop"]) {
        target.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
    }
}"""


def drop_file(page: Any, selector: str, name: str, content: bytes, *, kind: str = "") -> None:
    """Drop a file onto an element, in either browser."""
    page.evaluate(_DROP, [selector, name, kind, base64.b64encode(content).decode()])


def texts(page: Any, selector: str) -> list[str]:
    """Return the texts of the elements."""
    found: list[str] = page.eval_on_selector_all(selector, "found => found.map(one => one.innerText)")
    return found


def data(page: Any, selector: str, name: str) -> list[str]:
    """Return a data attribute of the elements."""
    found: list[str] = page.eval_on_selector_all(
        selector, f"found => found.map(one => one.getAttribute('data-{name}'))"
    )
    return found

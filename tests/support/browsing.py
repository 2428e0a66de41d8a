"""Pages in a headless Chromium, for tests of reports: network access and errors are detected."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

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
def opened(
    browser: Any, file: Path, *, size: str = "wide", dark: bool = False, ready: str = "html[data-ready]"
) -> Iterator[Any]:
    """Yield a rendered page at its `file://` address; afterwards it must have loaded nothing and raised no error.

    `ready` selects what the page has once it is drawn.
    """
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: told.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (told.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    # A worker of the page is a file that it makes itself, whose address begins with blob: it is no request.
    page.on("request", lambda sent: None if sent.url.startswith("blob:") else told.append(f"request: {sent.url[:200]}"))
    try:
        page.goto(file.as_uri())
        page.wait_for_selector(ready)
        assert told == [f"request: {file.as_uri()[:200]}"]
        yield page
        assert len(told) == 1, told[1:]
    finally:
        context.close()


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

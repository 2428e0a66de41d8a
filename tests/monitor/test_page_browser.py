"""The live page in a browser: updates, sizes, dark and light, a token, and a server that fails."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.browsing import SCREENS, SIZES, opened, texts
from support.live_cases import Day, Scripted, Times, day_history
from support.page_checks import CONTRAST

from pyinfercost.monitor.history import History
from pyinfercost.monitor.live_page import LivePage
from pyinfercost.results.live import series

pytestmark = [pytest.mark.browser, pytest.mark.server]

TOKEN = "a-long-enough-token"


@pytest.fixture(scope="module")
def day() -> History:
    """A morning with a gap, and a slowdown that goes on."""
    return day_history(11.5, interval_s=150.0)


@pytest.fixture(scope="module")
def evening() -> History:
    """A day with a server that was down and a cold start."""
    return day_history(24, interval_s=300.0)


@contextmanager
def served(*histories: History, token: str | None = None) -> Iterator[LivePage]:
    page = LivePage([each.observer for each in histories], address="127.0.0.1:0", token=token)
    page.histories = histories
    with page:
        yield page


@contextmanager
def visited(browser: Any, page: LivePage, *, size: str = "wide", dark: bool = False) -> Iterator[Any]:
    """Yield the page in a browser; afterwards nothing was asked of another server and nothing failed."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
    tab = context.new_page()
    told: list[str] = []
    tab.on("console", lambda message: told.append(f"console {message.type}: {message.text}"))
    tab.on("pageerror", lambda error: told.append(f"error: {error}"))
    own = page.url
    tab.on("request", lambda request: None if request.url.startswith(own) else told.append(request.url[:100]))
    tab.told = told
    try:
        tab.goto(own)
        yield tab
        assert not [each for each in told if not each.startswith("data:")], told
    finally:
        context.close()


def drawn(tab: Any) -> None:
    tab.wait_for_selector("html[data-ready]")


def says(tab: Any, selector: str, words: str) -> None:
    """Wait until an element has exactly this text."""
    tab.locator(f"{selector}:text-is({json.dumps(words)})").wait_for(state="attached", timeout=20_000)


def output(tab: Any, title: str) -> str:
    """The number of a card."""
    return str(tab.locator(".card", has_text=title).locator("output").inner_text())


@pytest.mark.parametrize(("size", "dark"), SCREENS)
@pytest.mark.sample(1)
def test_every_size_in_light_and_dark(browser: Any, evening: History, size: str, dark: bool) -> None:
    with served(evening) as page, visited(browser, page, size=size, dark=dark) as tab:
        drawn(tab)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert tab.evaluate(CONTRAST) == []
        cut = """() => [...document.querySelectorAll(".card output, .card span, .legend li, h2 span, dt, dd")]
            .filter(one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline")
            .map(one => one.innerText)"""
        assert tab.evaluate(cut) == []
        assert (
            tab.evaluate("""() => [...document.querySelectorAll("#times, #parts")]
            .filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.id)""")
            == []
        )


@pytest.mark.slow
def test_figures_are_those_of_the_history(browser: Any, day: History) -> None:
    with served(day) as page, visited(browser, page) as tab:
        drawn(tab)
        lately = day.read().lately
        assert lately is not None
        assert output(tab, "USD per h") == f"{lately.usd_per_h():.2f}"
        assert len(lately.parts) == 2
        for part in lately.parts:
            assert output(tab, f"{part}: measured / predicted") == f"{lately.to_predicted(part=part):.2f}"
        assert output(tab, "of paid time busy") == f"{100 * (lately.busy_share or 0):.1f} %"
        assert tab.locator("#model").inner_text() == "llama-3.1-8b"
        assert tab.title() == "llama-3.1-8b: live cost"
        alerts = texts(tab, "#alerts li")
        assert any(re.search(r"measured/predicted decode: 1.5.*OUTSIDE", each) for each in alerts), alerts
        titles = texts(tab, "#charts .panel:not([hidden]) h2 span:first-child")
        for title in ("Cost (USD per h)", "Measured / predicted (ratio)", "Tokens (per s)", "Utilization", "Power"):
            assert title in titles
        assert "Items (per s)" not in titles
        assert tab.locator("#parts td.outside").count() >= 1


PIXELS = """async () => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const panels = [...document.querySelectorAll("#charts .panel")];
  const panel = panels.find(one => one.innerText.startsWith("Measured"));
  const [canvas, over] = [panel.querySelector("canvas"), panel.querySelector(".u-over")];
  const [outer, inner] = [canvas.getBoundingClientRect(), over.getBoundingClientRect()];
  const scale = canvas.width / outer.width;
  const [left, top] = [inner.left - outer.left, inner.top - outer.top].map(part => Math.round(part * scale));
  const [width, height] = [inner.width, inner.height].map(part => Math.round(part * scale));
  const { data } = canvas.getContext("2d").getImageData(left, top, width, height);
  const pixels = Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) =>
    [...data.slice(4 * (y * width + x), 4 * (y * width + x) + 4)]));
"""
"""Begin of a script: the pixels within the axes of the chart of ratios, by rows."""


def test_curves_are_where_their_values_are(browser: Any, day: History) -> None:
    ratios = [each.to_predicted() for each in day.read().intervals]
    known = [each for each in ratios if each is not None]
    with served(day) as page, visited(browser, page) as tab:
        drawn(tab)
        top, bottom = tab.evaluate(
            PIXELS
            + """
          const isLine = ([r, g, b, a]) => Math.hypot(r - 31, g - 95, b - 191) < 8 && a > 250;
          const rows = pixels.flatMap((row, y) => row.some(isLine) ? [(y + 0.5) / height] : []);
          return [Math.min(...rows), Math.max(...rows)];
        }"""
        )
    most = 1.08 * max(known)
    assert most * (1 - top) == pytest.approx(max(known), abs=most / 80)
    assert most * (1 - bottom) == pytest.approx(min(known), abs=most / 80)


@pytest.mark.slow
def test_it_updates_itself(browser: Any) -> None:
    observer = Scripted(Times(unix_s=time.time()))
    observer.add("output_tokens", 1.0)
    history = History(observer, interval_s=1.0, clock=observer.times.clock())
    history.sample()
    with served(history) as page, visited(browser, page) as tab:
        drawn(tab)
        assert "Rates need two samples, 1 s apart" in tab.locator("#state-text").inner_text()
        tab.evaluate("window.marked = 1")
        for tokens in (50.0, 90.0):
            observer.times.go(1.0)
            observer.add("output_tokens", tokens)
            history.sample()
            wanted = history.read().last
            tab.wait_for_selector(f"html[data-drawn='{wanted}']", timeout=20_000)
        assert output(tab, "generated tokens per s") == "70"
        assert tab.evaluate("window.marked") == 1  # it was not loaded again


@pytest.mark.slow
def test_a_pause_stops_asking(browser: Any) -> None:
    observer = Scripted(Times(unix_s=time.time()))
    history = History(observer, interval_s=1.0, clock=observer.times.clock())
    history.sample()
    with served(history) as page, visited(browser, page) as tab:
        drawn(tab)
        tab.click("#pause")
        assert tab.locator("#state-text").inner_text().startswith("Paused.")
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.wait_for_timeout(2500)
        assert asked == []
        with tab.expect_request("**/api/history.json*"):
            tab.click("#pause")


@pytest.mark.slow
def test_a_server_that_ends_and_comes_back(browser: Any, day: History) -> None:
    with served(day) as page, visited(browser, page) as tab:
        drawn(tab)
        port = page.port
        page.close()
        tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        tab.wait_for_selector("html[data-state='lost']", timeout=20_000)
        assert "does not answer" in tab.locator("#state-text").inner_text()
        again = LivePage(day.observer, address=f"127.0.0.1:{port}")
        other = day_history(0.5)
        again.histories = (other,)
        with again:
            tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
            tab.wait_for_selector("html[data-state='live']", timeout=40_000)
            tab.wait_for_selector(f"html[data-drawn='{other.read().last}']")
        assert [each for each in tab.told if "ERR_CONNECTION_REFUSED" not in each] == []
        tab.told.clear()


def test_stale_data_is_marked(browser: Any) -> None:
    history = day_history(0.5)
    assert isinstance(history.observer, Day)
    history.observer.times.go(600)
    history.observer.snapshot = lambda: 1 / 0  # type: ignore[assignment, method-assign, return-value]
    with served(history) as page, visited(browser, page) as tab:
        history.sample()
        drawn(tab)
        tab.wait_for_selector("html[data-state='stale']")
        words = tab.locator("#state-text").inner_text()
        assert "Stale" in words
        assert "10 min old" in words
        assert (
            tab.evaluate("getComputedStyle(document.querySelector('.card output')).textDecorationLine")
            == "line-through"
        )


def test_nothing_known_has_reasons(browser: Any) -> None:
    notes = ("energy is not measured: no counter", "no prediction: the deployment names no machine")
    observer = Scripted(Times(unix_s=time.time()), notes=notes)
    history = History(observer, clock=observer.times.clock())
    history.sample()
    for _ in range(30):
        observer.times.go(15)
        observer.add("requests", 60.0, outcome="ok")
        history.sample()
    with served(history) as page, visited(browser, page) as tab:
        drawn(tab)
        assert texts(tab, "#notes li") == list(notes)
        assert texts(tab, "#charts .panel:not([hidden]) h2 span:first-child") == ["Requests (per s)"]
        health = tab.locator("#health").inner_text()
        for name in ("cost", "measured / predicted", "power", "KV cache in use"):
            assert name in health
        assert output(tab, "requests per s") == "4"


def test_before_the_first_sample(browser: Any) -> None:
    observer = Scripted(Times(unix_s=time.time()))
    observer.fails = RuntimeError("the server <b>starts</b>")
    history = History(observer, clock=observer.times.clock())
    history.sample()
    with served(history) as page, visited(browser, page) as tab:
        drawn(tab)
        tab.wait_for_selector("html[data-state='waiting']")
        assert tab.locator("#state-text").inner_text() == "No sample yet: RuntimeError: the server <b>starts</b>"
        assert tab.locator(".card").count() == 0


def test_markup_of_others_is_text(browser: Any) -> None:
    bad = "<img src=x onerror=alert(1)>"
    observer = Scripted(Times(unix_s=time.time()), info={"model": bad, "hardware": bad, "run": "1"}, notes=(bad,))
    history = History(observer, clock=observer.times.clock())
    history.sample()
    for _ in range(3):
        observer.times.go(15)
        for figure in ("measured_s", "predicted_s", "predicted_low_s", "predicted_high_s"):
            observer.add(figure, 1.0 if figure == "measured_s" else 0.1, part=bad)
        history.sample()
    with served(history, history) as page, visited(browser, page) as tab:
        drawn(tab)
        assert tab.locator("img").count() == 0
        assert tab.locator("#model").inner_text() == bad
        assert bad in tab.locator("#parts").inner_text()
        assert texts(tab, "#notes li") == [bad]


def test_several_models(browser: Any) -> None:
    histories = [day_history(0.3, day=Day(model=name)) for name in ("first", "second")]
    with served(*histories) as page, visited(browser, page) as tab:
        drawn(tab)
        assert texts(tab, "#observer option") == ["first", "second"]
        tab.select_option("#observer", "1")
        says(tab, "#model", "second")


def test_other_hours(browser: Any, day: History) -> None:
    with served(day) as page, visited(browser, page) as tab:
        drawn(tab)
        assert tab.locator("#totals-title").inner_text() == "In all, 11.5 h"
        tab.select_option("#hours", "1")
        says(tab, "#totals-title", "In all, 60 min")


def test_the_cursor_and_the_keys_read_an_interval(browser: Any, day: History) -> None:
    with served(day) as page, visited(browser, page) as tab:
        drawn(tab)
        plot = tab.locator("#charts .plot").nth(1)
        plot.scroll_into_view_if_needed()
        plot.hover(position={"x": 110, "y": 40})
        tip = tab.locator("#tip").inner_text()
        assert "measured: 1.0" in tip
        assert "band: 0.85 to 1.15" in tip
        plot.focus()
        tab.keyboard.press("End")
        assert "measured, 1.5" in tab.locator("#spoken").inner_text().replace(": ", ", ")
        tab.keyboard.press("Escape")
        assert not tab.locator("#tip").is_visible()


def test_a_browser_is_asked_for_the_token_and_stays_logged_in(browser: Any, day: History) -> None:
    with served(day, token=TOKEN) as page, visited(browser, page) as tab:
        tab.fill("#token", "not the right token")
        tab.click("button")
        says(tab, "#told", "This is not the token.")
        tab.fill("#token", TOKEN)
        tab.click("button")
        drawn(tab)
        assert tab.url == page.url
        tab.reload()
        drawn(tab)
        assert tab.locator("#model").inner_text() == "llama-3.1-8b"
        assert tab.evaluate("document.cookie") == ""
        refused = [each for each in tab.told if "401" not in each]
        assert refused == []
        tab.told.clear()


@pytest.mark.slow
def test_a_token_that_ended_says_so(browser: Any, day: History) -> None:
    with served(day, token=TOKEN) as page, visited(browser, page) as tab:
        tab.fill("#token", TOKEN)
        tab.click("button")
        drawn(tab)
        tab.context.clear_cookies()
        tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        tab.wait_for_selector("html[data-state='lost']", timeout=20_000)
        assert "the token is not valid any more" in tab.locator("#state-text").inner_text()
        tab.told.clear()


@pytest.mark.slow
def test_a_saved_page_loads_nothing(browser: Any, evening: History, tmp_path: Path) -> None:
    file = tmp_path / "saved.html"
    file.write_text(evening.read().to_html(), encoding="utf-8")
    assert file.stat().st_size < 250_000
    with opened(browser, file) as tab:
        assert "Saved on" in tab.locator("#state-text").inner_text()
        assert not tab.locator("#controls").is_visible()
        tab.pdf(path=str(tmp_path / "saved.pdf"))
        assert (tmp_path / "saved.pdf").stat().st_size > 20_000


def test_predictions_that_end_leave_no_band(browser: Any, day: History) -> None:
    with served(day) as page, visited(browser, page) as tab:
        drawn(tab)
        asleep = [each for each in day.read().intervals if not each.known]
        assert asleep
        runs = tab.evaluate(
            PIXELS
            + """
          const row = pixels[Math.round(height * (1 - 0.9 / (1.08 * RATIO)))];
          const filled = row.map(([, , , alpha], x) => alpha > 0 && x > 0 && row[x - 1][3] > 0);
          return filled.filter((each, x) => each && !filled[x - 1]).length;
        }""".replace("RATIO", str(max(each.to_predicted() or 0.0 for each in day.read().intervals)))
        )
        assert runs == 1 + len(asleep)


def test_series_without_labels_of_the_catalog_are_not_drawn(browser: Any) -> None:
    observer = Scripted(Times(unix_s=time.time()))
    history = History(observer, clock=observer.times.clock())
    history.sample()
    observer.times.go(15)
    observer.values[series("power_w")] = float("nan")
    observer.add("requests", 15.0, outcome="ok")
    history.sample()
    with served(history) as page, visited(browser, page) as tab:
        drawn(tab)
        assert "Power" not in texts(tab, "#charts .panel:not([hidden]) h2 span:first-child")

"""Pages of advice in a browser: every size, dark and light, and print."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.advice_results import of_fleet, of_forward, of_nothing
from support.browsing import SCREENS, SIZES, opened, texts
from support.page_checks import CONTRAST

pytestmark = pytest.mark.browser

KINDS = {"forward": of_forward, "fleet": of_fleet, "nothing": of_nothing}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for kind, make in KINDS.items():
        advice = make()
        long = "/folder/of-the-" + "very-long-" * 12 + "model.json"
        if advice.rows:
            rows = (replace(advice.rows[0], option=f"an option with {long}"), *advice.rows[1:])
            advice = replace(advice, model=long, rows=rows)
        (folder / f"{kind}.html").write_text(str(advice.to_html()), encoding="utf-8")
    return {kind: folder / f"{kind}.html" for kind in KINDS}


@pytest.mark.parametrize(("size", "dark"), SCREENS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.sample(1)
def test_it_fits_the_screen_and_can_be_read(
    browser: Any, files: dict[str, Path], kind: str, size: str, dark: bool
) -> None:
    with opened(browser, files[kind], size=size, dark=dark, ready="footer") as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(18, 22, 28)" if dark else "rgb(246, 247, 249)"
        )
        assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize("size", SIZES)
def test_a_bar_is_beside_its_name(browser: Any, files: dict[str, Path], size: str) -> None:
    with opened(browser, files["fleet"], size=size, ready="footer") as page:
        rows = page.evaluate(
            "[...document.querySelectorAll('.bar')].map(row => [...row.children].map(one => {"
            " const box = one.getBoundingClientRect(); return [box.top, box.bottom]; }))"
        )
        ends = [max(bottom for _, bottom in row) for row in rows]
        starts = [min(top for top, _ in row) for row in rows]
        assert all(start >= end - 1 for end, start in zip(ends, starts[1:], strict=False))


def test_tables_of_a_wide_page_need_no_scrolling(browser: Any, files: dict[str, Path]) -> None:
    with opened(browser, files["forward"], ready="footer") as page:
        wider = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
        assert page.evaluate(wider) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.sample(1)
def test_a_printed_page_is_light_and_as_wide_as_the_paper(browser: Any, files: dict[str, Path], kind: str) -> None:
    with opened(browser, files[kind], dark=True, ready="footer") as page:
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 703, "height": 1000})  # A4 at 96 dpi, with margins of 12 mm
        assert page.evaluate("document.documentElement.scrollWidth") <= 703
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert len(page.pdf(format="A4")) > 10_000


def test_commands_open_without_scripts(browser: Any, files: dict[str, Path]) -> None:
    with opened(browser, files["forward"], ready="footer") as page:
        first = page.locator("details").first
        first.locator("summary").click()
        assert first.get_attribute("open") is not None
        assert any("ic.Deployment" in text or "pyinfercost" in text for text in texts(page, "details[open] pre"))

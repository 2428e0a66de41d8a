"""Pages of monitors' reports in a browser: every size, dark and light, and print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.browsing import SCREENS, SIZES, opened, texts
from support.monitored import MONDAY_S
from support.monitored_week import write_week
from support.page_checks import CONTRAST

from pyinfercost.monitor import report_log

pytestmark = pytest.mark.browser

KINDS = ("planned", "short")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("of-a-folder-with-a-" + "very-long-" * 12 + "name")
    write_week(folder / "log.jsonl", days=4.0, interval_s=900.0)
    plan = {"usd_per_h": 2.5, "requests_per_s": 0.09, "replicas": 1.25}
    two_days_s = MONDAY_S + 2 * 86_400.0
    planned = report_log(folder / "log.jsonl", plan=plan, to_s=two_days_s, suggest=True, slo="queue_p95<3")
    short = report_log(folder / "log.jsonl", from_s=MONDAY_S, to_s=MONDAY_S + 7200.0)
    for kind, result in zip(KINDS, (planned, short), strict=True):
        (folder / f"{kind}.html").write_text(result.to_html(), encoding="utf-8")
    return {kind: folder / f"{kind}.html" for kind in KINDS}


@pytest.mark.parametrize(("size", "dark"), SCREENS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_it_fits_the_screen_and_can_be_read(
    browser: Any, files: dict[str, Path], kind: str, size: str, dark: bool
) -> None:
    with opened(browser, files[kind], size=size, dark=dark, ready="html[data-ready]") as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        assert page.evaluate(CONTRAST) == []
        assert len(page.locator(".plot canvas").all()) == 4


def test_tables_of_a_wide_page_need_no_scrolling(browser: Any, files: dict[str, Path]) -> None:
    with opened(browser, files["planned"], ready="html[data-ready]") as page:
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        wider = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
        assert page.evaluate(wider) == 0
        assert len(texts(page, "tbody tr")) > 48


def test_a_printed_page_is_light_and_as_wide_as_the_paper(browser: Any, files: dict[str, Path]) -> None:
    with opened(browser, files["planned"], dark=True, ready="html[data-ready]") as page:
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 703, "height": 1000})  # A4 at 96 dpi, with margins of 12 mm
        assert page.evaluate("document.documentElement.scrollWidth") <= 703
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"

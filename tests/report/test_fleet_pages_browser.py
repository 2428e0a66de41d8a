"""Pages of fleets in a browser: every size, dark and light, and print."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.browsing import SCREENS, SIZES, opened, texts
from support.fleet_results import comparison, plan
from support.page_checks import CONTRAST

pytestmark = pytest.mark.browser

KINDS = ("comparison", "fleet", "plan")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    name = "/folder/of-the-" + "very-long-" * 12 + "trace.csv"
    planned = plan()
    assert planned.verified is not None
    planned = replace(planned, traffic=name, verified=replace(planned.verified, traffic=name, slo_met=False))
    several = replace(comparison(), traffic=name)
    results = dict(zip(KINDS, (several, replace(comparison().fleets[0], traffic=name), planned), strict=True))
    for kind, result in results.items():
        (folder / f"{kind}.html").write_text(result.to_html(), encoding="utf-8")
    return {kind: folder / f"{kind}.html" for kind in KINDS}


@pytest.mark.parametrize(("size", "dark"), SCREENS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.sample(1)
def test_it_fits_the_screen_and_can_be_read(
    browser: Any, files: dict[str, Path], kind: str, size: str, dark: bool
) -> None:
    with opened(browser, files[kind], size=size, dark=dark, ready="html[data-ready]") as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(18, 22, 28)" if dark else "rgb(246, 247, 249)"
        )
        assert page.evaluate(CONTRAST) == []
        for plot in page.locator(".plot canvas").all():
            box = plot.bounding_box()
            assert 100 < box["width"] <= SIZES[size][0]
            assert box["height"] > 50


@pytest.mark.parametrize("kind", KINDS)
def test_tables_of_a_wide_page_need_no_scrolling(browser: Any, files: dict[str, Path], kind: str) -> None:
    with opened(browser, files[kind], ready="html[data-ready]") as page:
        wider = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
        assert page.evaluate(wider) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.sample(1)
def test_a_printed_page_is_light_and_as_wide_as_the_paper(browser: Any, files: dict[str, Path], kind: str) -> None:
    with opened(browser, files[kind], dark=True, ready="html[data-ready]") as page:
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 703, "height": 1000})  # A4 at 96 dpi, with margins of 12 mm
        assert page.evaluate("document.documentElement.scrollWidth") <= 703
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert len(page.pdf(format="A4")) > 10_000


def test_the_table_of_a_phone_has_what_counts(browser: Any, files: dict[str, Path]) -> None:
    with opened(browser, files["comparison"], size="phone", ready="html[data-ready]") as page:
        titles = [text.split("\n")[0] for text in texts(page, "table.fleets th") if text.strip()]
        assert {"policy", "cost", "SLO", "late", "peak", "idle"} <= set(titles)
        assert "wait p99" not in titles


def test_dots_are_inside_of_their_axes(browser: Any, tmp_path: Path) -> None:
    """Cheap and dear fleets with shares from none to most: the axis of shares is logarithmic with a zero."""
    fleets = [
        replace(each, late_share=share)
        for each, share in zip(comparison().fleets, (0.0, 1e-6, 0.9, 0.001), strict=False)
    ]
    path = tmp_path / "page.html"
    path.write_text(replace(comparison(), fleets=tuple(fleets)).to_html(), encoding="utf-8")
    with opened(browser, path) as page:
        outside = """() => {
            const plot = document.querySelector(".plot.tall");
            const box = plot.querySelector(".u-over").getBoundingClientRect();
            return [...plot.querySelectorAll(".dot")].map(dot => dot.getBoundingClientRect()).map(
                ({ left, right, top, bottom }) => [(left + right) / 2 - box.left, (top + bottom) / 2 - box.top]).filter(
                ([x, y]) => x < 0 || y < 0 || x > box.width || y > box.height);
        }"""
        assert page.evaluate(outside) == []
        assert page.locator(".plot.tall .dot").count() == len(fleets) + len(comparison().bounds)


def test_charts_are_read_with_the_pointer_and_with_keys(browser: Any, files: dict[str, Path]) -> None:
    with opened(browser, files["fleet"]) as page:
        plot = page.locator(".plot").first
        plot.hover(position={"x": 200, "y": 60})
        assert "requests that arrive: " in page.inner_text("#tip")
        plot.focus()
        page.keyboard.press("Home")
        first = page.inner_text("#spoken")
        assert first.startswith("0 to ")
        page.keyboard.press("ArrowRight")
        assert page.inner_text("#spoken") != first
        page.keyboard.press("Escape")
        assert page.locator("#tip").is_hidden()

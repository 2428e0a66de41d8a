"""The HTML report: rendering and interaction in a browser."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import log10
from pathlib import Path
from typing import Any

import pytest
from support.browsing import SIZES, data, opened, texts
from support.page_checks import CLIPPED
from support.report_pages import EVIL, evil_profile, repeated_profile
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost.report.roofline import Dot, roofline_of

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def profile() -> ic.results.Profile:
    return ic.profile(transformer(), hardware="t4", precision="fp16", price=1.5, batch=8, sequence=128)


@pytest.fixture(scope="module")
def file(profile: ic.results.Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(profile.to_html(), encoding="utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.sample(2)
def test_it_fits_the_screen(browser: Any, file: Path, size: str, dark: bool) -> None:
    with opened(browser, file, size=size, dark=dark) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(18, 22, 28)" if dark else "rgb(246, 247, 249)"
        )
        assert page.locator("#roofline canvas").bounding_box()["width"] <= SIZES[size][0]


@pytest.mark.slow
def test_a_dot_selects_its_row_and_a_row_its_dot(browser: Any, file: Path, profile: ic.results.Profile) -> None:
    with opened(browser, file) as page:
        page.click("#collapse")
        place = int(data(page, "#roofline .dot", "layer")[-1])
        page.locator(f"#roofline .dot[data-layer='{place}']").click()
        layer = profile.to_dict()["layers"][place]
        (row,) = data(page, "#tree .body .row[aria-selected=true]", "id")
        assert row in {f"m:{layer['module']}", f"l:{place}"}
        assert page.inner_text("#details h3") == (layer["module"] or "(model)")
        assert data(page, "#roofline .dot.selected", "layer") == [str(place)]
        first = page.locator("#tree .body .row").first
        first.click()
        assert first.get_attribute("aria-selected") == "true"
        assert page.locator("#tree .body .row[aria-selected=true]").count() == 1


def test_dots_lie_where_the_roofline_has_them(browser: Any, file: Path, profile: ic.results.Profile) -> None:
    document = profile.to_dict()
    dots: dict[int, Dot] = {}
    times: dict[int, int] = {}
    first: dict[Any, int] = {}  # equal kernels are one dot, of the share of all
    for dot in roofline_of(document).dots:
        layer = document["layers"][dot.layer]
        key = tuple(layer[name] for name in ("op", "latency_s", "bound", "effect", "unit", "kernel_flops"))
        at = first.setdefault(key, dot.layer)
        dots[at] = dot if at == dot.layer else replace(dots[at], share=dots[at].share + dot.share)
        times[at] = times.get(at, 0) + 1
    assert max(times.values()) > 2
    with opened(browser, file) as page:
        *found, counts = zip(
            *page.eval_on_selector_all(
                "#roofline .dot",
                """all => all.map(dot => {
                    const box = dot.getBoundingClientRect();
                    const middle = [box.left + box.width / 2, box.top + box.height / 2];
                    return [Number(dot.dataset.layer), ...middle, box.width / 2, Number(dot.dataset.times)];
                })""",
            ),
            strict=True,
        )
        found = list(zip(*found, strict=True))
    assert {int(layer): count for (layer, *_), count in zip(found, counts, strict=True)} == times
    low, high = min(found, key=lambda one: one[1]), max(found, key=lambda one: one[1])
    slope = (high[1] - low[1]) / (log10(dots[high[0]].intensity) - log10(dots[low[0]].intensity))
    bottom, top = max(found, key=lambda one: one[2]), min(found, key=lambda one: one[2])
    rise = (top[2] - bottom[2]) / (log10(dots[top[0]].flop_per_s) - log10(dots[bottom[0]].flop_per_s))
    largest = max(found, key=lambda one: one[3])
    for layer, x, y, radius in found:
        dot = dots[layer]
        assert x == pytest.approx(low[1] + slope * (log10(dot.intensity) - log10(dots[low[0]].intensity)), abs=0.2)
        assert y == pytest.approx(
            bottom[2] + rise * (log10(dot.flop_per_s) - log10(dots[bottom[0]].flop_per_s)), abs=0.2
        )
        area = dot.share / dots[largest[0]].share * largest[3] ** 2
        assert radius == pytest.approx(max(area**0.5, 2.5), abs=0.1)


def test_columns_sort_and_the_search_filters(browser: Any, file: Path) -> None:
    with opened(browser, file) as page:
        top = "#tree .body .row[aria-level='1']"
        order = data(page, top, "id")
        for key in ("latency", "flops", "bytes", "parameters"):
            header = f"#tree .head [data-key={key}]"
            page.click(f"{header} button")
            assert page.get_attribute(header, "aria-sort") == "descending"
            values = [float(value) for value in data(page, f"{top} [data-key={key}]", "v")]
            assert values == sorted(values, reverse=True)
            page.click(f"{header} button")
            values = [float(value) for value in data(page, f"{top} [data-key={key}]", "v")]
            assert values == sorted(values)
            page.click(f"{header} button")
            assert data(page, top, "id") == order
        page.click("#tree .head [data-key=name] button")
        assert texts(page, f"{top} .name") == sorted(texts(page, f"{top} .name"))
        everything = page.locator("#tree .body .row").count()
        page.fill("#search", "SOFTMAX" if page.locator("text=softmax").count() else "attention")
        found = page.locator("#tree .body .row").count()
        assert 0 < found < everything
        assert f"{found} of" in page.inner_text("#found")
        page.fill("#search", "nothing of that name")
        assert page.locator("#tree .body .row").count() == 0
        page.fill("#search", "")
        assert page.locator("#tree .body .row").count() == everything


def test_it_can_be_used_with_the_keyboard(browser: Any, file: Path) -> None:
    with opened(browser, file) as page:
        page.click("#collapse")
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "search"
        page.locator("#tree .body .row[tabindex='0']").focus()
        page.keyboard.press("Home")
        rows = page.locator("#tree .body .row").count()
        closed = page.locator("#tree .body .row[aria-expanded=false]").first
        closed.focus()
        name = closed.get_attribute("data-id")
        page.keyboard.press("ArrowRight")
        assert page.locator("#tree .body .row").count() > rows
        assert page.evaluate("document.activeElement.dataset.id") == name
        page.keyboard.press("ArrowLeft")
        assert page.locator("#tree .body .row").count() == rows
        page.keyboard.press("Enter")
        assert data(page, "#tree .body .row[aria-selected=true]", "id") == [name]
        page.focus("#roofline")
        page.keyboard.press("ArrowRight")
        first = data(page, "#roofline .dot.selected", "layer")
        page.keyboard.press("ArrowRight")
        assert len(first) == 1
        assert data(page, "#roofline .dot.selected", "layer") != first
        page.focus("#memory")
        page.keyboard.press("ArrowRight")
        assert page.locator("#memory .cursor").is_visible()


def test_names_are_text_and_never_markup(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "evil.html"
    path.write_text(evil_profile().to_html(), encoding="utf-8")
    with opened(browser, path) as page:
        page.click("#expand")
        assert page.evaluate("window.taken") is None
        assert page.locator("#tree img, #details img, #tree b, #tree i, main script").count() == 0
        assert page.inner_text("#model") == "</title><script>alert(3)</script>"
        shown = page.inner_text("#tree")
        for name in EVIL:
            assert name in shown
        assert "evil.<i>op</i>" in page.inner_text("#ledger")
        page.locator("#tree .body .row").nth(2).click()
        page.fill("#search", "<b>")
        assert page.locator("#tree .body .row").count() > 0


@pytest.mark.slow
def test_a_profile_without_a_machine_and_an_empty_one(browser: Any, tmp_path: Path) -> None:
    builder = ic.GraphBuilder("empty")
    x = builder.tensor("float32", (8, 8), role="input")
    for number, made in enumerate(
        (ic.profile(blocks(custom_op=True)), ic.profile(builder.build([x], [x]), hardware="t4"))
    ):
        path = tmp_path / f"{number}.html"
        path.write_text(made.to_html(), encoding="utf-8")
        with opened(browser, path) as page:
            assert page.locator("#settings").is_hidden() or number == 1
            assert page.locator("#roofline").is_visible() == (number == 1)


def test_a_printed_page_has_every_row(browser: Any, file: Path) -> None:
    with opened(browser, file) as page:
        page.emulate_media(media="print")
        assert page.locator("#settings").is_hidden()
        assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowY") == "visible"
        page.emulate_media(media="screen")


def test_equal_layers_are_one_row_that_opens(browser: Any, tmp_path: Path) -> None:
    """Layers 0 to 4 are equal, and layer 5 is wider: it has a row of its own."""
    profile = repeated_profile()
    path = tmp_path / "repeated.html"
    path.write_text(profile.to_html(), encoding="utf-8")
    latency = {layer["module"]: layer["latency_s"] for layer in profile.to_dict()["layers"]}
    with opened(browser, path) as page:
        ids = data(page, "#tree .body .row", "id")
        assert ids == ["m:layers", "m:layers.0-4", "m:layers.0-4.up", "m:layers.0-4.act", "m:layers.5", "m:layers.5.up",
                       "m:layers.5.act"]  # fmt: skip
        assert texts(page, "#tree .body .row[data-id='m:layers.0-4'] .op") == ["5 x"]
        assert texts(page, "#tree .body .row[data-id='m:layers.0-4.up'] .op") == ["mm, 5 x"]
        (shown,) = data(page, "#tree .body .row[data-id='m:layers.0-4.up'] [data-key=latency]", "v")
        assert float(shown) == pytest.approx(sum(latency[f"layers.{number}.up"] for number in range(5)))
        page.fill("#search", "layers.3.up")  # a member of the row
        assert data(page, "#tree .body .row", "id") == ["m:layers", "m:layers.0-4", "m:layers.0-4.up"]
        page.fill("#search", "")
        page.locator("#tree .body .row[data-id='m:layers.0-4.up']").click()
        assert "5 equal ones" in page.inner_text("#details")
        assert data(page, "#roofline .dot.selected", "times") == ["5"]
        page.uncheck("#fold")
        assert data(page, "#tree .body .row[aria-selected=true]", "id") == ["m:layers.0.up"]
        assert len(data(page, "#tree .body .row", "id")) == 1 + 6 * 3
        page.check("#fold")
        assert data(page, "#tree .body .row", "id") == ids


@pytest.mark.slow
def test_terms_are_explained_to_pointers_and_to_the_keyboard(browser: Any, file: Path) -> None:
    with opened(browser, file) as page:
        assert page.locator("#tip").is_hidden()
        for place in (
            ".bound .meant >> nth=0",
            "#headline .figure .meant >> nth=0",
            "#tree [data-key=intensity] button",
        ):
            page.locator(place).hover()
            assert page.inner_text("#tip") == page.locator(place).get_attribute("aria-description")
            page.keyboard.press("Escape")
            assert page.locator("#tip").is_hidden()
        page.focus("#fold")  # the keyboard from here on
        page.keyboard.press("Tab")
        page.focus(".bound .meant >> nth=1")
        assert page.inner_text("#tip") == page.locator(".bound .meant >> nth=1").get_attribute("data-tip")


@pytest.mark.slow
def test_no_text_is_clipped(browser: Any, file: Path) -> None:
    with opened(browser, file) as page:
        for width in (1200, 500, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(CLIPPED) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [2560, 1440, 1100, 1000, 768, 640, 390])
@pytest.mark.sample(1)
def test_modules_leave_columns_out_instead_of_scrolling(browser: Any, file: Path, width: int) -> None:
    with opened(browser, file) as page:
        page.set_viewport_size({"width": width, "height": 900})
        place = page.locator(".scroll:has(> #tree)")
        assert place.evaluate("one => one.scrollWidth - one.clientWidth") <= 0
        row = page.locator("#tree .head [role=columnheader]")
        shown = [one.get_attribute("data-key") for one in row.all() if one.is_visible()]
        assert [shown[0], *shown[-1:]] == ["name", "bound"]
        assert {"share", "latency"} <= set(shown)
        # Beside settings the table is narrower.
        assert ("parameters" in shown) == (place.evaluate("one => one.clientWidth") > 990)
        assert "parameters" in shown if width >= 1440 else width > 1000 or "parameters" not in shown
        cells = page.locator("#tree .foot .row > div")
        assert sum(one.is_visible() for one in cells.all()) == len(shown)


@pytest.mark.slow
def test_what_the_keyboard_reaches_has_a_role(browser: Any, file: Path) -> None:
    with opened(browser, file, ready="html[data-rested]") as page:
        reached = """() => [...document.querySelectorAll("[tabindex='0']")]
            .filter(one => !one.getAttribute("role")).map(one => one.outerHTML.slice(0, 80))"""
        assert page.evaluate(reached) == []
        assert page.evaluate("[...document.querySelectorAll('.meant')].every(one => one.tagName === 'BUTTON')")
        levels = page.eval_on_selector_all(
            "h1, h2, h3", "all => all.filter(one => one.offsetWidth).map(one => Number(one.tagName[1]))"
        )
        assert all(below <= above + 1 for above, below in pairwise(levels))


def test_a_click_on_a_term_shows_its_meaning(browser: Any, file: Path) -> None:
    with opened(browser, file) as page:
        term = page.locator("#roofline-title .meant")
        term.click()
        page.mouse.move(0, 0)
        term.press("Enter")
        assert page.inner_text("#tip") == term.get_attribute("aria-description")
        page.mouse.click(2, 2)
        assert page.locator("#tip").is_hidden()


def test_it_opens_with_one_sentence(browser: Any, tmp_path: Path, profile: ic.results.Profile) -> None:
    estimate = profile.estimate
    assert estimate is not None
    path = tmp_path / "hinted.html"
    path.write_text(profile.to_html(hint="with CUDA graphs it is faster"), encoding="utf-8")
    with opened(browser, path) as page:
        sentence = page.inner_text("#sentence")
        assert sentence.startswith("827.2 us for a batch of 8 on a Tesla T4 (")
        assert sentence.endswith(": with CUDA graphs it is faster.")
        assert page.inner_text("#sentence") == sentence

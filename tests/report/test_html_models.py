"""HTML reports of real models with 175 to 3,000 kernels: typical interactions in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.browsing import data, opened
from support.report_models import PROFILES
from support.report_pages import Scripts

import pyinfercost as ic

pytestmark = [pytest.mark.torch, pytest.mark.browser]


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.slow) if each == "kernels" else each for each in PROFILES]
)
@pytest.mark.sample(1)
def test_a_report_is_used(browser: Any, tmp_path: Path, name: str) -> None:
    profile = PROFILES[name]()
    text = profile.to_html()
    assert len(text.encode()) - len(Scripts(text).found["pyinfercost-core"]) < 350_000
    path = tmp_path / f"{name}.html"
    path.write_text(text, encoding="utf-8")
    layers = profile.to_dict()["layers"]
    with opened(browser, path) as page:
        if page.locator("#fold").is_visible():
            page.uncheck("#fold")  # every layer has a row
        # A dot selects its row.
        place = int(data(page, "#roofline .dot", "layer")[-1])
        page.locator(f"#roofline .dot[data-layer='{place}']").click()
        (chosen,) = data(page, "#tree .body .row[aria-selected=true]", "id")
        assert chosen in {f"m:{layers[place]['module']}", f"l:{place}"}
        # A column sorts.
        page.click("#collapse")
        page.click("#tree .head [data-key=flops] button")
        values = [float(value) for value in data(page, "#tree .body .row [data-key=flops]", "v")]
        assert values == sorted(values, reverse=True)
        # The search filters.
        op = layers[place]["op"].removeprefix("aten.")
        page.fill("#search", op)
        shown = page.locator("#tree .body .row .op").all_inner_texts()
        assert any(op in text for text in shown)
        page.fill("#search", "")
        # All rows are there once they are asked for.
        page.click("#expand")
        ids = set(data(page, "#tree .body .row", "id"))
        for index, layer in enumerate(layers):
            assert not layer["latency_s"] or {f"l:{index}", f"m:{layer['module']}"} & ids


@pytest.mark.parametrize(
    "name", [each if each == "resnet50" else pytest.param(each, marks=pytest.mark.slow) for each in PROFILES]
)
def test_every_execution_is_that_of_a_profile(browser: Any, tmp_path: Path, name: str) -> None:
    profile = PROFILES[name]()
    path = tmp_path / f"{name}.html"
    path.write_text(profile.to_html(), encoding="utf-8")
    with opened(browser, path, ready="html[data-rested]") as page:
        for execution in ("eager", "compiled", "cuda_graph", "reduce-overhead"):
            page.select_option("#controls select[name=execution]", execution)
            at = ic.profile(profile, execution=execution)
            assert at.estimate is not None
            expected = f"#headline output[data-key=latency_s][data-value='{at.estimate.latency_s!r}']"
            page.wait_for_selector(expected)

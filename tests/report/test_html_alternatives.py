"""Weights and devices beside the chosen ones, in a browser; and the names of pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.browsing import opened
from support.language_configs import LLAMA, spec_of
from support.toy_graphs import transformer

import pyinfercost as ic
from pyinfercost.report.html.page import title_of
from pyinfercost.results.units import quantity

RESTED = "html[data-rested]"


@pytest.mark.parametrize(
    ("model", "title"),
    [
        ("timm:efficientnet_b0", "timm:efficientnet_b0"),
        ("hf:Qwen/Qwen2.5-7B", "hf:Qwen/Qwen2.5-7B"),
        ("hf:some/where/llama.json#decode", "llama.json#decode"),
        ("hf:/models/llama/config.json", "llama/config.json"),
        ("exported/a.onnx", "a.onnx"),
        ("", "(unnamed graph)"),
    ],
)
def test_a_title_has_no_folders(model: str, title: str) -> None:
    assert title_of(model) == title


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("llama")
    path = folder / "explore.html"
    page = ic.explore(spec_of(folder, LLAMA), hardware="a100-sxm-80gb", price=1.0, prompt=64, context=64).to_html()
    path.write_text(page, encoding="utf-8")
    return path


def rows(page: Any) -> dict[str, list[str]]:
    """Return the cells of the rows of weights and of devices, by the name of the row."""
    found = {}
    for row in page.locator("#alternatives tbody tr").all():
        found[row.locator("th").inner_text()] = row.locator("td").all_inner_texts()
    return found


def rested_at(page: Any, turn: int) -> None:
    for _ in range(1200):
        if int(page.get_attribute("html", "data-rested") or 0) >= turn:
            return
        page.wait_for_timeout(50)
    raise AssertionError("the page does not come to rest")


def act(page: Any, what: Any) -> None:
    turn = int(page.get_attribute("html", "data-rested"))
    what()
    rested_at(page, turn + 1)


@pytest.mark.browser
@pytest.mark.torch
@pytest.mark.slow
def test_weights_and_devices_are_those_of_profiles(browser: Any, llama: Path, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LLAMA)
    with opened(browser, llama, ready=RESTED) as page:
        shown = rows(page)
        options: dict[str, Any] = {"hardware": "a100-sxm-80gb", "batch": 1, "context": 64}
        step = ic.profile(f"{spec}#decode", **options)
        narrow = ic.profile(ic.whatif(step.graph, quantize="int4_wo"), hardware="a100-sxm-80gb")
        both = ic.profile(f"{spec}#decode", **options, layout="tensor=2")
        for name, expected in {"as captured": step, "int4 weights": narrow, "1": step, "2": both}.items():
            assert expected.estimate is not None
            assert shown[name][1] == quantity(expected.estimate.latency_s, "s")
        act(page, lambda: page.locator("#alternatives").get_by_role("button", name="2", exact=True).click())
        assert page.input_value("#controls select[name=devices]") == "2"
        assert page.input_value("#controls select[name=layout]") == "2 1"  # shares of a layer, stages
        assert page.inner_text("#headline output[data-key=latency_s]") == rows(page)["2"][1]
        act(page, lambda: page.evaluate("location.hash = '#size.batch=1000000&size.context=2000'"))
        assert "does not fit" in rows(page)["1"][0]
        assert "Dashed: from batch " in page.inner_text("#curve-note")
        (named,) = re.findall(r"from batch (\d+) on", page.inner_text("#curve-note"))
        for batch, fits in ((int(named) - 1, True), (int(named), False)):
            point = ic.profile(f"{spec}#decode", hardware="a100-sxm-80gb", batch=batch, context=2000)
            assert point.to_dict()["estimate"]["fits_in_memory"] is fits


@pytest.mark.browser
@pytest.mark.torch
@pytest.mark.slow
def test_a_server_is_one_click_away(browser: Any, llama: Path) -> None:
    with opened(browser, llama, ready=RESTED) as page:
        act(page, lambda: page.get_by_role("button", name="Serve with vLLM").click())
        assert page.input_value("#controls select[name=engine]") == "vllm"
        assert page.input_value("#controls select[name=execution]") == ic.Deployment(engine="vllm").execution
        assert page.inner_text("#serving-answer").startswith("10 requests per second need ")
        assert page.get_attribute("#serving-panel", "aria-busy") == "false"


@pytest.mark.browser
def test_no_column_of_machines_is_cut_off_on_a_phone(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(ic.profile(transformer(), hardware="t4", batch=8, sequence=128).to_html(), encoding="utf-8")
    with opened(browser, path, size="phone", ready=RESTED) as page:
        assert (
            page.evaluate("(place => place.scrollWidth - place.clientWidth)(document.getElementById('catalog-table'))")
            <= 0
        )

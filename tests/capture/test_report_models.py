"""Reports of real models in a browser: what people do with them, on models of 175 to 3,000 kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browsing import chromium, data, opened
from conftest import CAPTURE_TESTS
from report_pages import points_of

import pyinfercost as ic

LLAMA = f"hf:{CAPTURE_TESTS / 'configs' / 'llama-3-8b.json'}#decode"


def many_kernels() -> ic.Profile:
    with torch.device("meta"):
        block = [
            layer for _ in range(1000) for layer in (torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.LayerNorm(64))
        ]
        model = torch.nn.Sequential(*(torch.nn.Sequential(*block[at : at + 3]) for at in range(0, 3000, 3)))
        return ic.profile(model, torch.zeros(8, 64), hardware="l4", precision="fp16")


PROFILES: dict[str, Callable[[], ic.Profile]] = {
    "resnet50": lambda: ic.profile("torchvision:resnet50", hardware="l4", precision="fp16", price="on-demand"),
    "vit_b_16": lambda: ic.profile("torchvision:vit_b_16", hardware="a100-sxm-80gb", precision="fp16"),
    "llama": lambda: ic.profile(LLAMA, hardware="h100-sxm-80gb", precision="bf16", execution="compiled"),
    "kernels": many_kernels,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize("name", PROFILES)
def test_a_report_is_used(browser: Any, tmp_path: Path, name: str) -> None:
    profile = PROFILES[name]()
    text = profile.to_html()
    if len(profile.counts.layers) <= 200:
        assert len(text.encode()) < 300_000
    path = tmp_path / f"{name}.html"
    path.write_text(text, encoding="utf-8")
    points = points_of(text)
    layers = profile.to_dict()["layers"]
    with opened(browser, path) as page:
        # A dot selects its row.
        place = int(data(page, "circle.dot", "layer")[-1])
        page.locator(f"circle.dot[data-layer='{place}']").click()
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
        # A switch changes the figures to those of the JSON.
        strides = {axis["name"]: axis["values"] for axis in points["axes"]}
        for execution in strides["execution"]:
            page.select_option("select[data-axis=execution]", label=execution)
            at = ic.profile(profile, execution=execution)
            assert at.estimate is not None
            (latency,) = data(page, "#headline output[data-key=latency_s]", "value")
            assert float(latency) == at.estimate.latency_s
            if profile.estimate is not None and execution == profile.estimate.execution:
                continue
            assert any(
                point["estimate"]["latency_s"] == at.estimate.latency_s
                for place, point in enumerate(points["points"])
                if place != points["base"] and point["estimate"]["execution"] == execution
            )

"""The live page in two browsers: any setting has the figures of the package, in its JSON and as text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from support.browsing import opened
from support.interface_cases import Setting, deployment_of, graphs, settings

import pyinfercost as ic
from pyinfercost.deployment.prices import rentable
from pyinfercost.predict.exploration import exploration_of
from pyinfercost.results.units import quantity

pytestmark = pytest.mark.torch
FEW, ALL = 4, 200
CLOSE = 1e-12
_NOT_OF_A_PAGE = {"serving", "threads", "instances"}

ANSWER = """async (address) => {
  const root = document.documentElement;
  const turn = Number(root.dataset.settled);
  const end = performance.now() + 60000;
  location.hash = address;
  while (Number(root.dataset.settled) === turn) {
    if (performance.now() > end) throw new Error(`no answer: ${document.getElementById("fixed").textContent}`);
    await new Promise((done) => setTimeout(done, 2));
  }
  [...document.querySelectorAll("#controls button")].find((button) => button.textContent === "Copy the JSON").click();
  const shown = Object.fromEntries([...document.querySelectorAll("#headline output[data-key]")].map(
    (output) => [output.dataset.key, output.firstChild.textContent]));
  return JSON.stringify([document.getElementById("copied").value, shown, document.getElementById("fixed").textContent]);
}"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a page of each model, which begins somewhere else than all settings."""
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    for name, graph in graphs().items():
        sizes = {size: 7 for size in graph.sizes}
        page = exploration_of({"forward": ic.profile(graph, hardware="l4", sizes=sizes)}).to_html()
        made[name] = folder / f"{name}.html"
        made[name].write_text(page, encoding="utf-8")
    return made


def price_of(setting: Setting) -> str | float:
    """Return a price of the catalog, for whole instances with a layout, or one that is typed."""
    return "on-demand" if setting.sizes["batch"] % 2 and rentable(setting.machine, "on-demand") else 2.5


def address_of(setting: Setting) -> str:
    on = deployment_of(setting)
    layout = on.rank_layout
    fields = {"machine": setting.machine, "precision": on.precision, "engine": on.engine, "execution": on.execution}
    fields |= {"devices": str(layout.devices), "tensor": str(layout.tensor), "pipeline": str(layout.pipeline)}
    price = price_of(setting)
    fields |= {} if price == "on-demand" else {"usd_per_h": str(price)}
    return urlencode({**fields, **{f"size.{name}": value for name, value in setting.sizes.items()}})


def differences(found: Any, known: Any, where: str = "") -> list[str]:
    """Return where two documents differ by more than the rounding of a sum in another order."""
    if isinstance(found, dict) and isinstance(known, dict):
        return [text for key in found for text in differences(found[key], known.get(key), f"{where}.{key}")]
    if isinstance(found, list) and isinstance(known, list) and len(found) == len(known):
        return [text for at, each in enumerate(found) for text in differences(each, known[at], f"{where}[{at}]")]
    numbers = isinstance(found, (int, float)) and isinstance(known, (int, float))
    if found == known or (numbers and abs(found - known) <= CLOSE * abs(known)):
        return []
    return [f"{where}: {found!r} instead of {known!r}"]


def check(browser: Any, pages: dict[str, Path], chosen: Iterable[Setting]) -> None:
    of_model: dict[str, list[Setting]] = {}
    for setting in chosen:
        of_model.setdefault(setting.model, []).append(setting)
    for name, cases in of_model.items():
        with opened(browser, pages[name], ready="html[data-live]") as page:
            for setting in cases:
                text, shown, said = json.loads(page.evaluate(ANSWER, address_of(setting)))
                assert said == "", setting
                on = deployment_of(setting).replace(price=price_of(setting))
                profile = ic.profile(graphs()[name], on=on, sizes=setting.sizes)
                assert profile.estimate is not None
                known = json.loads(json.dumps(profile.to_dict()))
                found = json.loads(text)
                assert not _NOT_OF_A_PAGE & found["estimate"].keys()
                found.pop("model")
                assert found.keys() == {"precision", "sizes", "totals", "coverage", "memory", "layers", "estimate"}
                assert differences(found, known) == [], setting
                assert shown["latency_s"] == quantity(profile.estimate.latency_s, "s"), setting
                if profile.estimate.energy_j is not None:
                    assert shown["energy_j"] == quantity(profile.estimate.energy_j, "J"), setting


@pytest.mark.parametrize(("each_browser", "first"), [("chromium", 0), ("firefox", 1)], indirect=["each_browser"])
def test_settings_are_those_of_the_package(each_browser: Any, pages: dict[str, Path], first: int) -> None:
    """Browsers in turn have the models."""
    check(each_browser, pages, islice(settings(FEW), first, None, 2))


@pytest.mark.slow
def test_200_settings_are_those_of_the_package(each_browser: Any, pages: dict[str, Path]) -> None:
    check(each_browser, pages, settings(ALL))

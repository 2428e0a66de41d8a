"""Pages of the documentation and the README: every command and snippet is run, every output is compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import doc_pages as pages
from support.doc_names import keys_of_the_page
from support.live_cases import day_history
from support.monitored_week import write_week
from support.paths import ROOT
from support.toy_graphs import transformer

import pyinfercost as ic
from pyinfercost.monitor import export_workload
from pyinfercost.predict.review import model_review, review_of
from pyinfercost.report import review as review_report

pytestmark = pytest.mark.torch

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


LONG = (
    *(
        "channels",
        "cheaper",
        "cheaper_service",
        "cost",
        "devices",
        "distill",
        "engines",
        "fit",
        "gguf",
        "language",
        "live",
    ),
    *("million_tokens", "month", "peak", "plots", "precision", "pruning", "serving", "sidecar", "sweeps", "traffic"),
    *("training", "wayback", "zero"),
)
"""Pages whose commands take more than 1.5 seconds."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow) if page.stem in LONG else page
        for page in PAGES
        if pages.FENCE.search(page.read_text(encoding="utf-8"))
    ],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_every_figure_of_a_page_is_what_its_command_prints(page: Path) -> None:
    for library in ("torchvision", "transformers", "torchao"):
        pytest.importorskip(library)
    if "setup: frameworks" in page.read_text(encoding="utf-8"):
        for library in ("lightning", "accelerate", "ignite"):
            pytest.importorskip(library)
    wrong = pages.differences(page.read_text(encoding="utf-8"))
    name = page.relative_to(ROOT)
    assert not wrong, f"python tests/support/doc_pages.py {name} writes what is printed now\n" + "\n".join(wrong)


def test_a_page_that_is_wrong_is_found() -> None:
    statements = ">>> x = [\n...     1,\n... ]\n>>> x\n[1]\n>>> 1000.0 + 3\n{}\n"
    page = f"<!-- of 2026-11-25; click 0.0 -->\n```pycon\n{statements}```\n"
    assert pages.differences(page.format("1003.0")) == []
    assert pages.differences(page.format("1002.0")) == []  # other versions than the page's: nearly is enough
    assert len(pages.differences(page.format("1203.0"))) == 1
    of_these_versions = page.replace("click 0.0", f"click {pages.version('click')}")
    assert len(pages.differences(of_these_versions.format("1002.0"))) == 1
    assert pages.written(of_these_versions.format("1")) == of_these_versions.format("1003.0")


def test_lines_that_are_left_out() -> None:
    page = "<!-- of 2026-11-25; click 0.0 -->\n```console\n$ pyinfercost --help\n{}```\n"
    assert pages.differences(page.format("Usage: main [OPTIONS] COMMAND [ARGS]...\n...\n")) == []
    assert pages.differences(page.format("...\nCommands:\n...\n")) == []
    assert len(pages.differences(page.format("...\nNo such line\n...\n"))) == 1
    assert len(pages.differences(page.format("...\nCommands:\n"))) == 1


def test_literals_behind_expressions() -> None:
    page = "<!-- of 2026-11-25; click 0.0 -->\n```python\nx = 2 * [3]\nx  # {}; twice\nx[0] / 7  # {}\n```\n"
    assert pages.differences(page.format("[3, 3]", "0.4286")) == []
    assert len(pages.differences(page.format("[3, 4]", "0.4286"))) == 1
    assert len(pages.differences(page.format("[3, 3]", "0.5286"))) == 1
    assert pages.written(page.format("[3, 4]", "0.5")) == page.format("[3, 3]", "0.4")
    assert pages.differences(page.format("three", "or so")) == []


def test_a_block_that_is_a_file() -> None:
    page = "<!-- file: four.py -->\n```python\nVALUE = 4\n```\n\n```python\nimport pathlib\n{}```\n"
    check = 'assert pathlib.Path("four.py").read_text() == "VALUE = 4\\n"\n'
    assert pages.differences(page.format(check)) == []


def keys_of(value: object, path: str = "") -> Iterator[str]:
    """The dotted keys of a document, those of all elements of lists together; names of sizes and evidence are NAME."""
    if isinstance(value, dict):
        for key, inner in value.items():
            name = f"{path}.{key}" if path else key
            name = f"{path}.NAME" if path.endswith(("sizes", "evidence")) and path != "data_sizes[]" else name
            yield name
            yield from keys_of(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner, f"{path}[]")


def review_document() -> dict[str, Any]:
    """A review of a change, with the comparison, which is the document of `diff`, and the cost of a month once."""
    sides = [ic.profile(transformer(layers=layers), hardware="l4", price=0.8).to_dict() for layers in (1, 2)]
    model = model_review("chat", *sides, requests_per_month=1e9, limits=["flops:+1%"])
    found = review_report.review_document(review_of([model]))["review"]
    (each,) = found["models"]
    assert each["usd_per_month"].keys() == found["usd_per_month"].keys()
    assert each["comparison"]["failed"]
    return found | {"models": [each | {"comparison": None, "usd_per_month": None}]}


def live_document() -> dict[str, Any]:
    """The document of a live history as the page has it."""
    found = day_history(0.1).read().to_dict()["live_history"]
    figures = found["columns"][5:]
    assert found["whole"].keys() == found["lately"].keys() > set(figures)
    both = {name: value for name, value in found["whole"].items() if name not in figures} | {"FIGURE": 0.0}
    named = {name: {"NAME": 0.0} if isinstance(value, dict) else value for name, value in both.items()}
    return found | {"SUM": named, "whole": None, "lately": None, "info": {"NAME": ""}}


def workload_document(folder: Path) -> dict[str, Any]:
    """An exported workload."""
    write_week(folder / "week.jsonl", days=1.0, interval_s=900.0, drift=1.0)
    found: dict[str, Any] = export_workload(folder / "week.jsonl", folder / "out.csv").to_dict()["workload"]
    return found


def test_the_page_on_json_names_every_key(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Chosen(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.linear(x)
            return torch.ops.page_on_json.own(y[y[:, 0] > 0])

    with torch.library._scoped_library("page_on_json", "DEF") as library:
        library.define("own(Tensor x) -> Tensor")
        library.impl("own", lambda x: x.clone(), "CompositeExplicitAutograd")
        model, x = Chosen(), torch.ones(4, 8)
        profile = ic.profile(model, (x,), hardware="l4", price="g6.4xlarge", transfer="network_gbit_per_s=10")
    document = json.loads(json.dumps(profile.to_dict()))
    document["estimate"] = {name: document["estimate"][name] for name in ("layout", "host", "bound", "machine")}
    document |= dict.fromkeys(("totals", "kv_cache", "training_memory", "figures", "prefill", "decode"))
    document["live_history"] = live_document()
    document["review"] = review_document()
    document["compare"] = {"rows": [{"ratios": {"FIGURE": 1.0}}]}
    document["workload"] = workload_document(tmp_path)
    named = keys_of_the_page()
    missing = set(keys_of(document)) - named
    assert not missing, f"docs/json.md does not say what these keys are: {sorted(missing)}"
    gone = named - set(keys_of(document)) - {"sizes.NAME"}
    assert not gone, f"docs/json.md names keys that no document has: {sorted(gone)}"

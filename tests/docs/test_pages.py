"""Pages of the documentation and the README: every command and snippet is run, every output is compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import doc_pages as pages
from support.doc_names import keys_of_the_page
from support.fleet_results import comparison
from support.language_configs import LLAMA, spec_of
from support.live_cases import day_history
from support.monitored_week import write_week
from support.paths import ROOT
from support.tiny_sensitivities import run as run_sensitivity
from support.toy_graphs import transformer

import pyinfercost as ic
from pyinfercost.monitor import export_workload
from pyinfercost.predict.review import model_review, review_of
from pyinfercost.report import review as review_report
from pyinfercost.results.comparison import FIGURES
from pyinfercost.results.fleet_changes import FLEET_FIGURES
from pyinfercost.results.tradeoff import LayerSensitivity, Tradeoff, TradeoffRow

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


def fleet_documents() -> dict[str, Any]:
    """Documents of fleets as the page has them: keys that depend on the run are NAME, those of a kind have one name."""
    fleet = ic.diff_fleets(comparison(), comparison(2.5), limits=["usd_per_month:any"]).to_dict()["fleet_changes"]
    for row in (fleet["best"], *fleet["fleets"]):
        change = row["usd_per_month"]
        for name in FLEET_FIGURES:
            assert row.pop(name).keys() == change.keys()
        row["FIGURE"] = change
    assert fleet["before"].keys() == fleet["after"].keys()
    fleet |= {"SIDE": fleet["before"], "before": None, "after": None}
    return {"fleet_changes": fleet}


def review_document() -> dict[str, Any]:
    """A review of a change, with the comparison, which is the document of `diff`, and the cost of a month once."""
    sides = [ic.profile(transformer(layers=layers), hardware="l4", price=0.8).to_dict() for layers in (1, 2)]
    model = model_review("chat", *sides, requests_per_month=1e9, limits=["flops:+1%"])
    found = review_report.review_document(review_of([model]))["review"]
    (each,) = found["models"]
    assert each["usd_per_month"].keys() == found["usd_per_month"].keys()
    assert each["comparison"]["failed"]
    return found | {"models": [each | {"comparison": None, "usd_per_month": None}]}


def compared_document() -> dict[str, Any]:
    """A row of models side by side, with an operator that is unknown."""
    (row,) = ic.compare(transformer(layers=1), hardware="l4", batch=2, sequence=16).to_dict()["models"]
    assert row["ratios"].keys() < set(FIGURES) < row.keys()
    kept: dict[str, Any] = {name: value for name, value in row.items() if name not in FIGURES}
    named = {"sizes": {"NAME": 1}, "bound": {"NAME": 1.0}, "ratios": {"FIGURE": 1.0}}
    return kept | named | {"FIGURE": 0.0, "unmodelled": [{"op": "own", "count": 1}]}


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


def sensitivity_documents() -> dict[str, Any]:
    """A sensitivity and an allocation; what both have is there once, and so are their figures."""
    found = run_sensitivity(["int8_wo"])
    chosen = ic.allocate(found, {"lost": 1.0})
    alone, allocated = found.to_dict()["sensitivity"], chosen.to_dict()["allocation"]
    figures = alone["original"]
    assert figures.keys() == allocated["together"].keys() == alone["whole"][0]["figures"].keys()
    for each in (alone, allocated):
        each["original"] = None
        each["whole"][0]["figures"] = None
    allocated["together"] = None
    allocated |= {name: {"NAME": 0.0} for name in ("limits", "added", "quantize", "prune")}
    both = {name: value for name, value in alone.items() if name in allocated}
    return {
        "sensitivity": {name: value for name, value in alone.items() if name not in both},
        "allocation": {name: value for name, value in allocated.items() if name not in both},
        "BOTH": both,
        "FIGURES": figures,
    }


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
        measured = ic.measure(model, (x,), hardware="epyc-9654", seconds=0.01)
    step = ic.capture(torch.nn.Linear(8, 8).train(), x, training=True)
    trained = ic.profile(step, optimizer="adamw").to_dict()["training_memory"]
    document = json.loads(json.dumps({**profile.to_dict(), "training_memory": trained, "measured": measured.to_dict()}))
    both = ic.profile(spec_of(tmp_path, LLAMA), prompt=8, hardware="l4").to_dict()
    document |= {"figures": both["figures"], "kv_cache": both["kv_cache"], "prefill": {}, "decode": {}}
    several = ic.profile(transformer(heads=4), hardware="h100-sxm-80gb", layout="tensor=4", batch=8, sequence=128)
    divided = several.to_dict()["estimate"]
    document["estimate"] |= {"memory": both["memory"], **{key: divided[key] for key in ("per_device", "exchanges")}}
    document |= fleet_documents()
    document["live_history"] = live_document()
    document["review"] = review_document()
    document["models"], document["notes"] = [compared_document()], []
    document["workload"] = workload_document(tmp_path)
    document |= sensitivity_documents()
    layer = LayerSensitivity("half", "0", lost=0.1)
    rows = (TradeoffRow("original"),)
    compared = Tradeoff("Toy", "l4", "fp16", "eager", True, {"NAME": ""}, rows, (layer,))
    document["tradeoff"] = compared.to_dict()
    named = keys_of_the_page()
    missing = set(keys_of(document)) - named
    assert not missing, f"docs/json.md does not say what these keys are: {sorted(missing)}"
    gone = named - set(keys_of(document)) - {"sizes.NAME", "measured.sizes.NAME"}
    assert not gone, f"docs/json.md names keys that no document has: {sorted(gone)}"

"""Graphs from the cache: equal to captured ones, and found without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.paths import CONFIGS

import pyinfercost as ic
from pyinfercost import _cache
from pyinfercost.sources import spec_graphs
from pyinfercost.sources.captured import graph_at, graph_over

pytestmark = pytest.mark.torch

HEAVY = ("torch", "torchvision", "timm", "transformers", "diffusers", "numpy", "rich", "sympy", "pandas")
RUN = f"""
import sys
from pyinfercost.cli import main
try:
    main(sys.argv[1:], prog_name="pyinfercost")
except SystemExit as end:
    print(end.code, [name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty cache."""
    return tmp_path_factory.mktemp("cache")


def command(place: Path, cwd: Path, *words: str) -> tuple[str, str]:
    """Run a command with a cache; return its output, and its exit code with the heavy modules that it imported."""
    env = {**os.environ, "PYINFERCOST_CACHE_DIR": str(place)}
    env.pop("PYINFERCOST_NO_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], env=env, cwd=cwd, capture_output=True, text=True, check=True, timeout=590
    )
    return done.stdout, done.stderr.strip().splitlines()[-1]


@pytest.mark.slow
def test_the_second_command_imports_no_library(place: Path, tmp_path: Path) -> None:
    first, told = command(place, tmp_path, "profile", "torchvision:resnet18", "-H", "l4")
    assert told.startswith("0 ")
    assert "torch" in told
    again, told = command(place, tmp_path, "profile", "torchvision:resnet18", "-H", "l4")
    assert (again, told) == (first, "0 []")
    for words in (
        ("--batch", "8"),
        ("--batch", "1k", "--precision", "fp16"),
        ("-H", "A100 SXM 80GB", "--execution", "compiled", "--price", "2"),
        ("--format", "json"),
    ):
        _, told = command(place, tmp_path, "profile", "torchvision:resnet18", "-H", "l4", *words)
        assert told == "0 []", words
    _, told = command(place, tmp_path, "sweep", "torchvision:resnet18", "-H", "l4", "--batch", "1,8")
    assert "torch" not in told
    fresh, told = command(place, tmp_path, "profile", "torchvision:resnet18", "-H", "l4", "--no-cache")
    assert fresh == first
    assert "torch" in told


def test_an_answer_does_not_depend_on_what_was_asked_before(place: Path, tmp_path: Path) -> None:
    del tmp_path
    found = {}
    for order in ((1, 8), (8, 1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("PYINFERCOST_NO_CACHE")
            patch.setenv("PYINFERCOST_CACHE_DIR", str(place / f"order{order[0]}"))
            patch.setattr(spec_graphs, "key_of_spec", lambda source, rest: (source.name, rest))
            for batch in order:
                found[order, batch] = graph_at("timm:resnet18", {"batch": batch}).graph.to_json()
    assert found[(1, 8), 8] == found[(8, 1), 8]
    assert found[(1, 8), 1] == found[(8, 1), 1]


@pytest.mark.parametrize(
    "spec",
    [
        "torchvision:vit_b_16",
        "torchvision:swin_t",
        "timm:convnext_atto",
        f"hf:{CONFIGS / 'llama-3-8b.json'}#decode",
        f"hf:{CONFIGS / 'mixtral-8x7b.json'}#prefill",
    ],
)
@pytest.mark.sample(1)
def test_a_graph_with_its_batch_put_in_costs_the_same(spec: str) -> None:
    """The capture at a number is the reference."""
    batch = 3
    loaded = spec_graphs.load_model(spec, {"batch": batch})
    reference = spec_graphs._traced(spec, loaded, {}, {})
    graph = graph_at(spec, {"batch": batch}).graph
    assert graph.sizes.keys() == reference.sizes.keys()
    ours, theirs = ic.count(graph).total, ic.count(reference).total
    figures = ("contraction_flops", "pointwise_flops", "bytes_read", "bytes_written", "parameters", "peak_memory_bytes")
    for figure in figures:
        assert getattr(ours, figure) == getattr(theirs, figure), figure
    assert ic.estimate(graph, hardware="l4").latency_s == ic.estimate(reference, hardware="l4").latency_s


class Kept:
    """A cache whose keys are given by the test."""

    def __init__(self, patch: pytest.MonkeyPatch, place: Path) -> None:
        self.key: Any = ("key",)
        self.loads: list[str] = []
        patch.delenv("PYINFERCOST_NO_CACHE")
        patch.setenv("PYINFERCOST_CACHE_DIR", str(place))
        patch.setattr(spec_graphs, "key_of_spec", lambda source, rest: None if self.key is None else (rest, self.key))
        load = spec_graphs.load_model

        def counted(spec: str, sizes: Any) -> Any:
            self.loads.append(spec)
            return load(spec, sizes)

        patch.setattr(spec_graphs, "load_model", counted)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kept:
    return Kept(monkeypatch, tmp_path / "cache")


def test_one_entry_serves_any_batch_and_sweeps(kept: Kept) -> None:
    for batch in (1, 2, 7, 100):
        assert ic.count(ic.capture("timm:resnet18", batch=batch)).total.macs % batch == 0
    over = graph_over("timm:resnet18", {"batch": [4, 8]})
    assert over.graph.sizes["batch"]["default"] == 4
    assert len(kept.loads) == 1
    ic.capture("timm:resnet18", image_size=192)
    assert len(kept.loads) == 2
    kept.key = ("another version",)
    ic.capture("timm:resnet18")
    assert len(kept.loads) == 3
    kept.key = None
    ic.capture("timm:resnet18")
    assert len(kept.loads) == 4
    ic.capture("timm:resnet18", cache=False)
    assert len(kept.loads) == 5


def test_a_damaged_entry_is_captured_again(kept: Kept, tmp_path: Path) -> None:
    reference = ic.capture("timm:resnet18").to_json()
    (path,) = (tmp_path / "cache").glob("graph-*")
    content = path.read_bytes()
    for wrong in (content[:-9], content[:60] + b"?" + content[61:], b""):
        path.write_bytes(wrong)
        assert ic.capture("timm:resnet18").to_json() == reference
    name = path.name.removeprefix("graph-").removesuffix(".entry")
    for body in (b"{}\n{}", b"no json", b'{"sizes": {}, "told": []}\n{"schema_version": 1}', b"\xff\n\xff"):
        _cache.write("graph", name, body)  # sealed, but of no graph
        assert ic.capture("timm:resnet18").to_json() == reference
    assert len(kept.loads) == 1 + 3 + 4


def test_a_training_step_and_data_sizes_have_entries_of_their_own(kept: Kept) -> None:
    spec = "torchvision:resnet18"
    forward = ic.capture(spec)
    step = ic.capture(spec, training=True)
    assert len(step) > len(forward)
    assert ic.capture(spec, training=True).to_json() == step.to_json()
    assert len(kept.loads) == 2
    ic.capture(spec, training=True, loss=lambda out: out.sum())  # a function has no key
    assert len(kept.loads) == 3


def test_dynamic_of_a_spec_is_honored() -> None:
    graph = ic.capture("timm:resnet18", dynamic={0: {0: "items"}})
    assert list(graph.sizes) == ["items"]


@pytest.mark.slow
def test_a_changed_config_is_captured_again(tmp_path: Path, place: Path) -> None:
    config = json.loads((CONFIGS / "llama-3-8b.json").read_text(encoding="utf-8"))
    config |= {"num_hidden_layers": 2}
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    words = ("profile", f"hf:{folder}#decode", "--set", "context=16", "--format", "json")
    first, told = command(place, tmp_path, *words)
    assert "torch" in told
    again, told = command(place, tmp_path, *words)
    assert (again, told) == (first, "0 []")
    both, told = command(place, tmp_path, "profile", f"hf:{folder}", "--prompt", "16", "--format", "json")
    assert "torch" in told
    again, told = command(place, tmp_path, "profile", f"hf:{folder}", "--prompt", "16", "--format", "json")
    assert (again, told) == (both, "0 []")
    path.write_text(json.dumps(config | {"num_hidden_layers": 3}), encoding="utf-8")
    changed, told = command(place, tmp_path, *words)
    assert "torch" in told
    totals = [json.loads(text)["totals"]["macs"] for text in (first, changed)]
    assert totals[1] > totals[0]

"""The start page: a dropped config, graph or GGUF header is estimated, and all else is answered with a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.browsing import opened
from support.interface_cases import graphs

import pyinfercost as ic
from pyinfercost.results.units import quantity
from pyinfercost.sources.captured import graph_over

pytestmark = [pytest.mark.torch, pytest.mark.browser]
CONFIGS = Path(__file__).parents[1] / "support" / "configs"
LARGE = 500_000_000
SIZES = """JSON.stringify(Object.fromEntries(
  [...document.querySelectorAll('#controls input[name^="size."]')]
    .map(({ name, value }) => [name.slice(5), Number(value)])))"""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("start") / "start.html"
    path.write_text(ic.explore().to_html(), encoding="utf-8")
    return path


def drop(page: Any, path: Path) -> str:
    """Choose a file, and return what the page says of it; empty if it shows the model."""
    page.evaluate("delete document.documentElement.dataset.dropped")
    page.set_input_files("#drop input", path)
    page.wait_for_selector("html[data-dropped]", timeout=120_000)
    said: str = page.inner_text("#drop-said")
    return said


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.slow
def test_bad_files_are_answered_with_a_sentence(browser: Any, start: Path, tmp_path: Path) -> None:
    graph = json.loads(graphs()["cnn"].to_json())
    large = tmp_path / "large.gguf"
    with large.open("wb") as file:  # a hole, which takes no place on the disk
        file.truncate(LARGE)
    larger = tmp_path / "large.json"
    larger.symlink_to(large)
    files = {
        "garbage.json": (bytes(range(256)) * 20, "none of the files that this page reads"),
        "nothing.json": (b"", "nothing.json is empty"),
        "packed.zip": (b"PK\x03\x04", "the config.json of a language model, a .gguf file"),
        "wide.json": ('{"model_type": "llama"}'.encode("utf-16-le"), "wide.json is no complete JSON"),
        "other.json": (b'{"a": 1}', "neither the config of a model"),
        "adapter_config.json": (b'{"peft_type": "LORA", "r": 8}', "config.json of its model"),
        "tokenizer.json": (b'{"version": "1.0", "added_tokens": []}', "is of a tokenizer; drop the config.json"),
        "model.safetensors.index.json": (b'{"metadata": {}, "weight_map": {}}', "drop the config.json beside it"),
        "model_index.json": (b'{"_class_name": "UNet2DConditionModel"}', "pyinfercost explore diffusers:FILE"),
        "profile.json": (b'{"schema_version": 1, "totals": {}, "layers": []}', "figures but not the graph"),
        "vision.json": (b'{"model_type": "vit"}', "This page builds those of llama, mistral, "),
        "deep.json": (b'{"model_type": "llama", "a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "num_hidden_layers"),
        "cut.json": (b'{"schema_version": 1, "tens', "JSON"),
        "later.json": (
            json.dumps({**graph, "schema_version": 2}).encode(),
            "schema_version is 2; this version reads 1",
        ),
        "model.onnx": (b"\x08\x07", "pyinfercost explore model.onnx"),
        "weights.safetensors": (b"\x00", "pyinfercost explore FOLDER"),
        "model.pt": (b"PK", "pyinfercost explore model.pt2"),
        "config.json": (b'{"model_type": "mamba"}', "of the type mamba"),
        "empty.gguf": (b"", "GGUF"),
    }
    with opened(browser, start) as page:
        for name, (content, words) in files.items():
            said = drop(page, written(tmp_path / name, content))
            assert words in said, name
            assert said.endswith("."), name
        assert "GGUF" in drop(page, large)
        assert "500.0 MB" in drop(page, larger)
        assert page.evaluate("document.documentElement.classList.contains('empty')")


def test_a_graph_a_config_and_a_graph_again(browser: Any, start: Path, tmp_path: Path) -> None:
    vit = graphs()["vit"]
    path = written(tmp_path / "vit.json", vit.to_json().encode())
    spec = f"hf:{CONFIGS / 'llama-3-8b.json'}#decode"
    llama = graph_over(spec, {"batch": [2, 3], "context": [1024, 2048]}).graph

    def latency(page: Any) -> str:
        shown: str = page.inner_text("#headline output[data-key=latency_s]")
        return shown

    def known(graph: ic.Graph, **sizes: int) -> str:
        return quantity(ic.estimate(graph, hardware="l4", sizes=sizes).latency_s, "s")

    with opened(browser, start) as page:
        assert drop(page, path) == ""
        assert latency(page) == known(vit, batch=2)
        assert drop(page, CONFIGS / "llama-3-8b.json") == ""
        sizes = json.loads(page.evaluate(SIZES))
        assert sizes.keys() == {"batch", "context"}
        assert latency(page) == known(llama, **sizes)
        assert page.inner_text("#model") == "llama-3-8b.json"
        assert "as it was" not in drop(page, written(tmp_path / "bad.json", b"x"))
        assert latency(page) == known(llama, **sizes)  # a bad file leaves the model
        assert drop(page, path) == ""
        assert latency(page) == known(vit, batch=2)

"""Graphs of pages: the script reads what the page was written with, and repeated layers take little."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from importlib.resources import files
from pathlib import Path

import pytest
from support.interface_cases import graphs

import pyinfercost as ic
from pyinfercost.report.html.packed_graphs import packed_graph

ASSETS = Path(str(files("pyinfercost") / "report" / "html" / "assets"))
PROGRAM = """
const read = require("fs").readFileSync;
const source = read(process.argv[1], "utf8");
const unpackedGraph = new Function(`const byId = () => null; ${source}; return unpackedGraph;`)();
process.stdout.write(unpackedGraph(read(0, "utf8")));
"""
pytestmark = pytest.mark.torch


def read_by_the_page(text: str) -> str:
    if shutil.which("node") is None:
        pytest.skip("there is no node to run the page's script")
    command = ["node", "-e", PROGRAM, str(ASSETS / "setup.js")]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("name", ["cnn", "vit", "llama", "moe", "unet"])
@pytest.mark.parametrize("quantize", [None, "int8_dynamic"])
@pytest.mark.sample(6)
def test_a_page_reads_the_graph_that_was_packed(name: str, quantize: str | None) -> None:
    graph = graphs()[name]
    if quantize is not None:
        graph = ic.whatif(graph, quantize=quantize)
    found = read_by_the_page(packed_graph(graph))
    assert ic.Graph.from_json(found).to_json() == graph.to_json()


def test_a_layer_more_takes_little() -> None:
    torch = pytest.importorskip("torch")

    def size_of(layers: int) -> int:
        block = torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
        model = torch.nn.TransformerEncoder(block, layers).to("meta").eval()
        graph = ic.capture(model, (torch.zeros(2, 16, 64, device="meta"),))
        return len(zlib.compress(packed_graph(graph).encode(), 9))

    assert (size_of(64) - size_of(32)) / 32 < 100

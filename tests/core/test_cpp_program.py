"""The program in examples/cpp, built with the installed core, prints the same figures as Python.

`nox -s core` builds it; PYINFERCOST_CPP_PROGRAM is its path.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.toy_graphs import transformer

import pyinfercost as ic

PROGRAM = os.environ.get("PYINFERCOST_CPP_PROGRAM")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="PYINFERCOST_CPP_PROGRAM is not set: nox -s core builds it")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(PROGRAM), *map(str, arguments)], check=False, capture_output=True, text=True)


@pytest.fixture
def graph() -> ic.Graph:
    return transformer()


@pytest.fixture
def graph_file(graph: ic.Graph, tmp_path: Path) -> Path:
    path = tmp_path / "graph.json"
    path.write_text(graph.to_json(), encoding="utf-8")
    return path


@pytest.fixture
def machine_file(tmp_path: Path) -> Path:
    path = tmp_path / "machine.json"
    path.write_text(ic.hardware.load("a100-sxm-80gb").to_json(), encoding="utf-8")
    return path


@pytest.mark.parametrize("execution", ["eager", "compiled"])
def test_its_figures_are_those_of_python(graph: ic.Graph, graph_file: Path, machine_file: Path, execution: str) -> None:
    way = {"precision": "amp_fp16", "execution": execution}
    result = run(
        graph_file, machine_file, "--precision", "amp_fp16", "--execution", execution, "batch=8", "sequence=16"
    )
    assert result.returncode == 0, result.stderr
    shown = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    counts = ic.count(graph, precision="amp_fp16", batch=8, sequence=16)
    estimate = ic.estimate(graph, hardware="a100-sxm-80gb", batch=8, sequence=16, **way)
    assert shown["machine"] == "a100-sxm-80gb"
    assert int(shown["contraction_flops"]) == counts.total.contraction_flops
    assert int(shown["pointwise_flops"]) == counts.total.pointwise_flops
    assert int(shown["parameters"]) == counts.total.parameters
    assert float(shown["latency_s"]) == estimate.latency_s
    assert float(shown["energy_j"]) == estimate.energy_j
    slowest = max(estimate.layers, key=lambda layer: layer.latency_s)
    assert shown["slowest_kernel"] == f"{slowest.kernel}, bound by {slowest.bound}"


def test_what_it_cannot_read_is_an_error_that_names_the_entry(graph_file: Path, machine_file: Path) -> None:
    machine_file.write_text(machine_file.read_text().replace('"cores":', '"core":'))
    result = run(graph_file, machine_file)
    assert result.returncode == 1
    assert "machine JSON: the document has an unknown key 'core'" in result.stderr

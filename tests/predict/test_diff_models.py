"""`pyinfercost diff` of models built with torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pyinfercost.cli import main

pytestmark = pytest.mark.torch

ADDED = [f"layer3.{block}" for block in range(6, 23)]
"""What ResNet-101 has and ResNet-50 has not: blocks of the third stage, of which these have 23 and 6."""


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.stderr
    return result.stdout


@pytest.mark.parametrize("options", [(), ("-H", "l4", "--precision", "fp16"), ("-H", "epyc-7742", "--threads", "8")])
@pytest.mark.sample(1)
def test_the_blocks_that_a_larger_model_adds_are_named_and_nothing_else(options: tuple[str, ...]) -> None:
    pytest.importorskip("torchvision")
    models = ("torchvision:resnet50", "torchvision:resnet101")
    found = json.loads(run("diff", *models, *options, "--format", "json"))
    assert (found["added"], found["removed"]) == (ADDED, [])
    table = run("diff", *models, *options, "--fail-if", "parameters:+75%")
    rows = [
        line.split()[:2] for line in table.splitlines() if line.split()[1:2] in (["added"], ["changed"], ["removed"])
    ]
    assert rows == [[name, "added"] for name in ADDED]
    assert "added   layer3.6 ... layer3.22 (17)" in table
    # 25.6 to 44.5 million: 74.3 % more
    markdown = run("diff", *models, *options, "--format", "md", "--fail-if", "parameters:+74%", code=3)
    assert "- added: layer3.6 … layer3.22 (17)" in markdown


def test_a_model_is_the_same_as_itself_and_as_its_file(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    path = str(tmp_path / "profile.json")
    options = ("-H", "l4", "--batch", "4")
    run("profile", "torchvision:resnet18", *options, "--format", "json", "-o", path)
    for before in ("torchvision:resnet18", path):
        text = run("diff", before, "torchvision:resnet18", *options, "--fail-if", "latency_s:any")
        assert text.endswith("No module differs.\n")

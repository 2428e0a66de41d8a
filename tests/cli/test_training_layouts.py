"""Training steps on several devices from the command line: the batch of a spec stays a named size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.language_configs import LLAMA, spec_of

from pyinfercost.cli import main

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("layout", "op"),
    [
        ("tensor=2,data=2,zero=2", "collective.all_reduce"),
        ("pipeline=2,micro_batches=4", "collective.send"),
        ("tensor=2,sequence=1", "collective.reduce_scatter"),
    ],
)
@pytest.mark.sample(1)
def test_a_layout_shares_the_batch_of_a_spec(layout: str, op: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    options = ("--training", "--optimizer", "adamw", "-H", "h100-sxm-80gb", "--layout", layout, "--batch", "8")
    result = CliRunner().invoke(main, ("profile", spec_of(tmp_path, LLAMA), *options, "--format", "json"))
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["sizes"]["batch"] == 8
    assert op.partition(".")[2] in json.dumps(document["estimate"]["exchanges"])
    assert document["training_memory"]["parameter_bytes"] > 0

"""The examples of training run, a few steps of each, and print what the page about them shows."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "options", "needs", "expected"),
    [
        ("training_plain", ["--epochs", "1"], ["sklearn"], ["us/channel", "accuracy", "cost/flops"]),
        ("training_lightning", ["--steps", "30"], ["sklearn", "lightning"], ["step 25 | cost/l4: latency", "accuracy"]),
        ("training_transformers", ["--steps", "20"], ["transformers", "accelerate"], ["step 20 | cost/l4: latency"]),
    ],
)
def test_an_example_runs(name: str, options: list[str], needs: list[str], expected: list[str], tmp_path: Path) -> None:
    missing = [library for library in needs if find_spec(library) is None]
    if missing:
        pytest.skip(f"{name}.py needs {', '.join(missing)}: pip install 'pyinfercost[integration]'")
    result = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "switched off" not in result.stderr
    for words in expected:
        assert words in result.stdout

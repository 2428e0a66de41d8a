"""The training examples run for a few steps and print the output shown on their page."""

from __future__ import annotations

import runpy
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from support.paths import ROOT

from pyinfercost.training import TrackingStoppedWarning

pytestmark = pytest.mark.torch

EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize(
    ("name", "options", "needs", "expected"),
    [
        ("training_plain", ["--epochs", "1"], ["sklearn"], ["us/channel", "accuracy", "cost/contraction_flops"]),
        ("training_lightning", ["--steps", "30"], ["sklearn", "lightning"], ["step 25 | cost/l4: latency", "accuracy"]),
        pytest.param(
            "training_transformers",
            ["--steps", "20"],
            ["transformers", "accelerate"],
            ["step 20 | cost/l4: latency"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "distill_digits",
            ["--epochs", "1", "--seconds", "0.01", "--hardware", "epyc-7742"],
            ["sklearn", "torchao"],
            ["Student within 25 % of the teacher's predicted latency: narrower(", "Break-even, measured: "],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "distill_text",
            ["--teacher-steps", "2", "--steps", "2", "--hardware", "epyc-7742"],
            ["transformers", "torchao"],
            ["Trained the teacher of four layers", "2 layers, hidden", "Front of loss and measured_s"],
            marks=pytest.mark.slow,
        ),
    ],
)
@pytest.mark.sample(1)
def test_an_example_runs(
    name: str,
    options: list[str],
    needs: list[str],
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    missing = [library for library in needs if find_spec(library) is None]
    if missing:
        pytest.skip(f"{name}.py needs {', '.join(missing)}: pip install 'pyinfercost[integration]'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *options])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(record=True) as told:  # frameworks have some of their own
            warnings.simplefilter("always")
            runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    assert not [entry.message for entry in told if issubclass(entry.category, TrackingStoppedWarning)]
    printed = capsys.readouterr().out
    for words in expected:
        assert words in printed

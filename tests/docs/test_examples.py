"""Examples in docstrings: each public function has one, which gives what it shows."""

from __future__ import annotations

import doctest
import inspect
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from support.paths import ROOT
from torch import nn

import pyinfercost as ic

pytestmark = pytest.mark.torch

FUNCTIONS = [name for name in ic.__all__ if inspect.isfunction(getattr(ic, name))]
NEEDS = {
    **dict.fromkeys(("calibrate_serving", "find_layouts", "find_serving", "serve"), "transformers"),
    **dict.fromkeys(("sensitivity", "allocate"), "torchao"),
}
SLOW = ("calibrate",)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in FUNCTIONS]
)
def test_an_example_gives_what_it_shows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "tests" / "support" / "configs" / "llama-3-8b.json", tmp_path)
    text = inspect.getdoc(getattr(ic, name)) or ""
    example = doctest.DocTestParser().get_doctest(text, {"ic": ic, "torch": torch, "nn": nn}, name, name, 0)
    assert example.examples, "give it an example"
    told: list[str] = []
    found = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL).run(example, out=told.append)
    assert not found.failed, "".join(told)

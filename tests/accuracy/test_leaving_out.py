"""Constants fitted without a device: when the fit runs, and what is cached."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import pyinfercost.hardware.files as shipped

Judge = Callable[..., int]
Output = pytest.CaptureFixture[str]


class Fit:
    """Stands for the fit: writes the package's constants, and remembers for whom."""

    def __init__(self) -> None:
        self.without: list[str] = []
        self.fails = False

    def __call__(self, measured: Path, out: Path, device: str, **options: object) -> None:
        assert (measured / "gemm.csv").is_file()
        self.without.append(device)
        shutil.copytree(shipped.CALIBRATIONS, out, dirs_exist_ok=True)
        if self.fails:
            raise KeyboardInterrupt


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> Fit:
    module, found = ModuleType("benchmarks.accuracy.fit"), Fit()
    module.fit_without = found  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "benchmarks.accuracy.fit", module)
    return found


ARGUMENTS = ("--table", "gemm", "--format", "json")


def test_each_device_is_left_out_once(judge: Judge, fit: Fit, measured: Path, capsys: Output) -> None:
    outputs = []
    for _ in range(2):
        assert judge("--leave-one-device-out", *ARGUMENTS) == 0
        outputs.append(json.loads(capsys.readouterr().out))
    assert sorted(map(str, fit.without)) == ["a100-sxm-80gb", "mi300x"], "the second time they are found"
    assert outputs[0] == outputs[1]
    assert judge(*ARGUMENTS) == 0
    assert json.loads(capsys.readouterr().out) == outputs[0], "the stand-in gives the package's own constants"
    with (measured / "attention.csv").open("a", encoding="utf-8") as file:
        file.write("l4,engine 1,context,1,256,256,32,8,128,bfloat16,bfloat16,60\n")
    assert judge("--leave-one-device-out", *ARGUMENTS) == 0
    assert len(fit.without) == 4, "other measurements, another fit"


def test_a_fit_that_was_stopped_is_not_taken_for_a_whole_one(judge: Judge, fit: Fit, tmp_path: Path) -> None:
    fit.fails = True
    assert judge("--leave-one-device-out", *ARGUMENTS) == 130
    assert list((tmp_path / "cache" / "fitted").iterdir()) == []
    fit.fails = False
    assert judge("--leave-one-device-out", *ARGUMENTS) == 0


def test_without_a_fit(judge: Judge, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "benchmarks.accuracy.fit", None)
    assert judge("--leave-one-device-out", *ARGUMENTS) == 2
    assert "benchmarks/accuracy/fit.py" in capsys.readouterr().err

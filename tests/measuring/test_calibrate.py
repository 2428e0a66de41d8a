"""A calibration of this machine writes a file that estimates can use; the values are not checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.measuring.calibration import Calibrated
from pyinfercost.measuring.derive_constants import MEASURED_LOOPS

pytestmark = pytest.mark.torch

QUICK_S = 0.3  # of measurements in all


@pytest.fixture(scope="module")
def calibrated() -> tuple[Calibrated, list[tuple[str, float]]]:
    steps: list[tuple[str, float]] = []
    before = torch.get_num_threads()
    result = ic.calibrate(
        threads=1, budget_s=QUICK_S, compiled=False, report=lambda what, share: steps.append((what, share))
    )
    assert torch.get_num_threads() == before
    return result, steps


@pytest.mark.slow
def test_the_file_is_a_machine(calibrated: tuple[Calibrated, list[tuple[str, float]]], tmp_path: Path) -> None:
    path = tmp_path / "this.toml"
    path.write_text(calibrated[0].to_toml(), encoding="utf-8")
    loaded = ic.hardware.load(path)
    assert loaded.kind == "cpu"
    assert loaded.cores == 1
    assert loaded.memory[-1][0] == "dram"
    for name in (*MEASURED_LOOPS, "packing", "gemv"):
        assert loaded.constants[f"cpu.{name}_s"] > 0
    assert loaded.constants["cpu.cold_dispatch_s"] >= 0  # a difference of two times, which noise may hide
    for name in ("weight_stream", "half_weight_stream"):
        assert loaded.constants.get(f"cpu.{name}", 1.0) > 0
    for name in ("product", "pixelwise", "convolution", "grouped", "depthwise", "attention"):
        assert loaded.constants.get(f"cpu.{name}", 1.0) > 0
    assert loaded.vector_flop_per_s["float32"] > 0
    assert ic.estimate(blocks(), hardware=path, batch=8).latency_s > 0
    assert ic.hardware.describe(path)["calibration"]["origin"]["cpu.special_per_clock_per_core"]["file"] == "this.toml"


@pytest.mark.slow
def test_every_block_says_where_it_comes_from(calibrated: tuple[Calibrated, list[tuple[str, float]]]) -> None:
    data = calibrated[0].data
    for text in (data["source"]["text"], *(table["source"] for table in data["calibration"].values())):
        assert "measured on this machine" in text
        assert torch.__version__ in text


@pytest.mark.slow
def test_progress_only_rises(calibrated: tuple[Calibrated, list[tuple[str, float]]]) -> None:
    shares = [share for _, share in calibrated[1]]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert max(shares[:-1]) < 1.0


def test_the_command_writes_the_file(
    calibrated: tuple[Calibrated, list[tuple[str, float]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []

    def calibrate(**given: object) -> Calibrated:  # a second calibration takes as long as the first
        given.pop("report")("a loop", 1.0)  # type: ignore[operator]
        asked.append(given)
        return calibrated[0]

    monkeypatch.setattr("pyinfercost.measuring.calibration.calibrate", calibrate)
    path = tmp_path / "this.toml"
    arguments = ["calibrate", "--output", str(path), "--threads", "1", "--seconds", str(QUICK_S), "--no-compile"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "--hardware" in result.stderr
    assert asked == [{"threads": 1, "budget_s": QUICK_S, "compiled": False}]
    assert ic.hardware.load(path).kind == "cpu"


@pytest.mark.parametrize("threads", [0, 100_000])
def test_threads_are_those_of_the_machine(threads: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to"):
        ic.calibrate(threads=threads)


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ImportError, match=r"pyinfercost\[torch\]"):
        ic.calibrate()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_there_is_nothing_to_measure() -> None:
    result = CliRunner().invoke(main, ["calibrate", "--device", "cuda"])
    assert result.exit_code == 1
    assert "no CUDA device" in result.stderr

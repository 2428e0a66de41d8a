"""Energy of GPUs from a stand-in for NVIDIA's package; neither a GPU nor the package is needed."""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from typing import Any

import pytest
from support.fake_meters import Clock, FakeNvml, fake_torch

import pyinfercost as ic
from pyinfercost.measuring.counters import NoCounterError
from pyinfercost.measuring.nvml import nvml_counter


@pytest.fixture(autouse=True)
def _no_torch_and_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)


def installed(monkeypatch: pytest.MonkeyPatch, *arguments: Any, **options: Any) -> FakeNvml:
    nvml = FakeNvml(*arguments, **options)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return nvml


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of counters and meters, on which other processes have no effect."""
    clock = Clock()
    for module in ("pyinfercost.measuring.nvml", "pyinfercost.measuring.energy", "support.fake_meters"):
        monkeypatch.setattr(f"{module}.time", clock)
    return clock


def test_the_boards_own_count(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    nvml = installed(monkeypatch, watts=(250.0,))
    with ic.energy_meter("cuda", idle_s=0.2) as meter:
        clock.sleep(0.2)
    assert meter.source == "nvml:counter"
    assert meter.covers is not None
    assert "cuda:0 (Board A)" in meter.covers
    assert "not the host" in meter.covers
    assert meter.duration_s is not None
    assert meter.joules == pytest.approx(250 * meter.duration_s, abs=2 * 250 * 0.01)
    assert meter.idle_w == pytest.approx(250, rel=0.12)
    assert nvml.asked_power == 0
    assert nvml.opened == 0


@pytest.mark.usefixtures("clock")
def test_steps_are_found_out_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, step_s=0.02)
    counter = nvml_counter()
    assert counter.step_s == 0.1  # until it is known better
    counter.rest(0.3)
    assert counter.step_s == pytest.approx(0.02, rel=0.3)


@pytest.mark.usefixtures("clock")
def test_rare_steps_are_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, step_s=0.1)
    counter = nvml_counter()
    counter.rest(0.05)
    assert counter.step_s == 0.1


def test_power_is_added_up_where_the_board_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = installed(monkeypatch, watts=(100.0,), counts=False)
    with ic.energy_meter("cuda:0", idle_s=0.05) as meter:
        began_s = time.perf_counter()
        time.sleep(0.1)
        nvml.watts = (300.0,)
        low_s = time.perf_counter() - began_s
        time.sleep(0.1)
    assert meter.source == "nvml:sampled"
    assert meter.idle_w == pytest.approx(100, rel=0.05)
    assert meter.duration_s is not None
    # 100 W until it rose and 300 W afterwards, but for the time between two samples in which that was
    between_s = max(after - before for before, after in pairwise(nvml.asked_power_at_s))
    wanted_j = 100 * low_s + 300 * (meter.duration_s - low_s)
    assert meter.joules == pytest.approx(wanted_j, abs=200 * (between_s + 1e-3))
    assert nvml.asked_power > 5
    assert nvml.opened == 0


def refused(device: str = "cuda") -> str:
    with pytest.warns(ic.errors.EnergyUnknownWarning) as told, ic.energy_meter(device, idle_s=0) as meter:
        pass
    assert meter.joules is None
    assert meter.source is None
    return str(told[0].message)


def test_a_missing_package_is_said_with_its_line_of_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    text = refused()
    assert "nvidia-ml-py is not installed" in text
    assert "pip install 'pyinfercost[nvml]'" in text


def test_a_missing_driver_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = installed(monkeypatch, starts=False)
    assert "NVML cannot be initialized (Driver Not Loaded)" in refused()
    assert nvml.opened == 0


def test_a_board_that_tells_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = installed(monkeypatch, counts=False, tells_power=False)
    assert "nvmlDeviceGetPowerUsage failed (Not Supported)" in refused()
    assert nvml.opened == 0


def read_w(device: str) -> float:
    """The watts of the board that a device turns out to be."""
    with ic.energy_meter(device, idle_s=0) as meter:
        time.sleep(0.05)
    assert meter.joules is not None
    assert meter.duration_s is not None
    return round(meter.joules / meter.duration_s, -2)


@pytest.mark.parametrize(
    ("visible", "device", "watts"),
    [
        (None, "cuda:2", 300),
        ("2,0", "cuda", 300),
        ("2,0", "cuda:1", 100),
        (" 1 ", "cuda:0", 200),
        ("GPU-22aa-bb,GPU-11aa-bb", "cuda:0", 300),
        ("GPU-1", "cuda:0", 200),  # the beginning of a UUID is enough
        ("1,-1,0", "cuda:0", 200),
    ],
)
def test_the_devices_that_cuda_sees(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, device: str, watts: float
) -> None:
    installed(monkeypatch, ("A", "A", "A"), (100.0, 200.0, 300.0), step_s=1e-4)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert read_w(device) == watts


@pytest.mark.parametrize(
    ("visible", "device", "told"),
    [
        (None, "cuda:3", "cuda:3 does not exist: NVML reports 3 GPUs"),
        ("0", "cuda:1", "CUDA_VISIBLE_DEVICES=0 leaves 1"),
        ("", "cuda", "leaves 0"),
        ("0,9,1", "cuda:1", "leaves 1"),
        ("1,-1,0", "cuda:1", "leaves 1"),
        ("GPU-77", "cuda", "NVML has no GPU GPU-77"),
        ("MIG-abc", "cuda", "a partition of a board"),
    ],
)
def test_devices_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, device: str, told: str
) -> None:
    nvml = installed(monkeypatch, ("A", "A", "A"), (100.0, 200.0, 300.0))
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert told in refused(device)
    assert nvml.opened == 0


def test_numbers_of_unlike_boards_need_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, ("A", "B"), (100.0, 200.0), step_s=1e-4)
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in refused("cuda:1")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert read_w("cuda:1") == 200


def test_torch_knows_which_board_it_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, ("A", "B"), (100.0, 200.0), step_s=1e-4)
    torch = fake_torch("11aa-bb", "00aa-bb")  # CUDA's first is NVML's second
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert read_w("cuda") == 200
    assert read_w("cuda:1") == 100
    assert torch.cuda.waited == ["cuda"] * 2 + ["cuda:1"] * 2, "issued work ends in the block"


def test_gpus_of_amd_are_not_looked_for_in_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    monkeypatch.setitem(sys.modules, "torch", fake_torch("00aa-bb", hip="6.4"))
    assert "ROCm 6.4" in refused()


def test_an_answer_that_fails_later_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = installed(monkeypatch)
    counter = nvml_counter()
    nvml.counts = False
    with pytest.raises(NoCounterError, match="nvmlDeviceGetTotalEnergyConsumption failed"):
        counter.read_j()

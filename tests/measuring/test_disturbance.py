"""A calibration beside other processes says so, and its rates are not evidence of a measured machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.hardware.catalog_names import CATALOG

pytestmark = pytest.mark.torch
pytest.importorskip("torch")

from pyinfercost.measuring.derive_constants import Readings  # noqa: E402
from pyinfercost.measuring.disturbance import disturbances  # noqa: E402
from pyinfercost.measuring.rounds import Timed  # noqa: E402

QUIET = {"peak.fp32": 1.0, "peak.fp32.one": 1.9, "l2.add": 0.2, "llc.add": 0.5, "dram.add": 1.0}
"""Seconds of equal work."""


def found(threads: int = 2, load: float | None = 0.1, **seconds: float) -> list[str]:
    named = QUIET | {name.replace("_", "."): value for name, value in seconds.items()}
    timed = {name: Timed(lambda: None, threads, elements=1e9) for name in named}
    readings = Readings(timed, named, cores=threads, threads=threads, clock_hz=1e9, private_bytes=1e6)
    return disturbances(readings, load)


def test_a_quiet_machine() -> None:
    assert found() == []
    assert found(load=None) == []
    assert found(threads=1, peak_fp32=1.0, peak_fp32_one=0.8) == []


def test_two_threads_are_not_slower_than_one() -> None:
    (text,) = found(peak_fp32=80.0)
    assert text == "2 threads multiply fp32 at 0.02 of the rate of one"


@pytest.mark.parametrize("level", ["l2", "llc"])
def test_a_cache_is_not_slower_than_memory(level: str) -> None:
    (text,) = found(**{f"{level}_add": 4.0})
    assert text == f"the cache {level} is read at 0.25 of the rate of the memory behind it"


def test_the_load_before() -> None:
    cores = os.cpu_count() or 1
    (text,) = found(load=5.0 * cores)
    assert text == f"{5.0 * cores:.1f} processes ran before the first measurement"


def of_file(path: Path, *, quiet: bool) -> ic.Hardware:
    text = (CATALOG / "core-i9-10940x.toml").read_text(encoding="utf-8")
    listed = "" if quiet else 'unverified = ["calibration"]\n'
    text = re.sub(r"unverified = \[.*?\]\n", listed, text, flags=re.DOTALL)
    text = re.sub(r"\nverified = \w+", f"\nverified = {str(quiet).lower()}", text)
    path.write_text(text + '\n[calibration.overheads]\nsource = "measured here"\ndispatch_us = 1.0\n', encoding="utf-8")
    return ic.hardware.load(path)


def test_a_disturbed_file_is_no_evidence(tmp_path: Path) -> None:
    assert "measured here" in of_file(tmp_path / "quiet.toml", quiet=True).evidence.values()
    disturbed = of_file(tmp_path / "disturbed.toml", quiet=False)
    assert "measured here" not in disturbed.evidence.values()
    assert disturbed.overheads_s["dispatch"] == pytest.approx(1e-6)


@pytest.mark.slow
def test_the_file_of_a_calibration_states_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyinfercost.measuring import calibration

    monkeypatch.setattr(calibration, "system_load", lambda: 1000.0)
    monkeypatch.setattr(calibration, "_file", lambda _machine, _readings, notes, *, is_quiet: {"quiet": is_quiet})
    measured = ic.calibrate(threads=1, budget_s=0.1, compiled=False)
    assert measured.data == {"quiet": False}
    assert measured.notes[0].startswith("not reliable, other processes ran: 1000.0 processes ran before")


def test_the_command_says_so_before_it_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyinfercost.measuring import calibration, disturbance

    said: list[str] = []

    def measured(**_options: object) -> None:
        said.append("measured")
        raise ic.errors.InputError("enough")

    monkeypatch.setattr(disturbance, "system_load", lambda: 1000.0)
    monkeypatch.setattr(calibration, "calibrate", measured)
    told = CliRunner().invoke(main, ["calibrate"])
    assert said == ["measured"]
    assert "Note: 1000.0 processes run on this machine; measurements are not reliable while they run" in told.stderr
    monkeypatch.setattr(disturbance, "system_load", lambda: 0.0)
    assert "processes run" not in CliRunner().invoke(main, ["calibrate"]).stderr

"""Constants of one kind of machine are fitted and written without touching another's."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tomlkit

from benchmarks.accuracy import fit
from benchmarks.accuracy.fitting import cpus
from benchmarks.accuracy.fitting.solve import Problem
from benchmarks.accuracy.fitting.write import write
from pyinfercost.hardware.calibration import CALIBRATIONS
from pyinfercost.hardware.cpu_keys import CPU_RATES, CPU_TIMES


@pytest.fixture
def written(tmp_path: Path) -> Path:
    folder = tmp_path / "calibration"
    shutil.copytree(CALIBRATIONS, folder)
    problem = Problem(cpus.PARAMETERS, [], {})
    write(folder, problem, problem.start(), {None: {}}, tmp_path)
    return folder


def test_a_fit_of_cpus_leaves_files_of_other_kinds_as_they_are(written: Path) -> None:
    for path in CALIBRATIONS.glob("*.toml"):
        document = tomlkit.parse(path.read_text())
        if document.get("extends", path.stem) != "cpu":
            assert (written / path.name).read_bytes() == path.read_bytes(), path.name


def test_it_writes_every_parameter_and_keeps_the_band_that_it_knows_nothing_of(written: Path) -> None:
    before, after = (tomlkit.parse((folder / "cpu.toml").read_text()) for folder in (CALIBRATIONS, written))
    for parameter in cpus.PARAMETERS:
        table, _, key = parameter.key.rpartition(".")
        assert after[table][key] == pytest.approx(parameter.start, rel=1e-3)
    assert after["band"] == before["band"]


def test_parameters_are_constants_that_files_may_have_and_start_within_their_limits() -> None:
    for parameter in cpus.PARAMETERS:
        table, _, key = parameter.key.rpartition(".")
        assert table != "cpu" or key in (*CPU_RATES, *CPU_TIMES)
        assert parameter.low < parameter.start < parameter.high
    assert {parameter.kind for parameter in fit.PARAMETERS} == {"gpu", "cpu"}
    assert np.isfinite(Problem(cpus.PARAMETERS, [], {}).start()).all()

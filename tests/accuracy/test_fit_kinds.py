"""Constants of one kind of machine are fitted and written without changing those of another."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tomlkit

from benchmarks.accuracy import fit
from benchmarks.accuracy.cases import Case, Group
from benchmarks.accuracy.fitting import cpus
from benchmarks.accuracy.fitting.machines import Machine
from benchmarks.accuracy.fitting.parameters import Parameter
from benchmarks.accuracy.fitting.solve import Block, Problem
from benchmarks.accuracy.fitting.write import write
from benchmarks.accuracy.predict import predict
from benchmarks.accuracy.tables import gemm
from pyinfercost.hardware.files import CALIBRATIONS, lineage


@pytest.fixture
def written(tmp_path: Path) -> Path:
    folder = tmp_path / "calibration"
    shutil.copytree(CALIBRATIONS, folder)
    problem = Problem(cpus.PARAMETERS, [], {})
    write(folder, problem, problem.start(), cpus.SHARED)
    return folder


def test_a_fit_of_cpus_leaves_files_of_other_kinds_as_they_are(written: Path) -> None:
    for path in CALIBRATIONS.glob("*.toml"):
        if lineage(path.stem)[-1] != "cpu":
            assert (written / path.name).read_bytes() == path.read_bytes(), path.name


def test_it_writes_every_parameter(written: Path) -> None:
    after = tomlkit.parse((written / "cpu.toml").read_text())
    for parameter in cpus.PARAMETERS:
        table, _, key = parameter.key.rpartition(".")
        assert after[table][key] == pytest.approx(parameter.start, rel=1e-3)


def test_parameters_are_constants_that_files_may_have_and_start_within_their_limits() -> None:
    for parameter in fit.PARAMETERS:
        assert parameter.low < parameter.start < parameter.high
    with pytest.raises(KeyError, match="pixelwize"):
        Parameter("cpu", "cpu.pixelwize", 0.8, 0.1, 1.5, ())
    with pytest.raises(
        ValueError, match=r"achieved\.cache is fitted from 0\.1 to 1\.2; expected a range within 1e-06 to 1"
    ):
        Parameter("cpu", "achieved.cache", 0.6, 0.1, 1.2, ())
    assert {parameter.kind for parameter in fit.PARAMETERS} == {"gpu", "cpu", "systolic"}
    assert np.isfinite(Problem(cpus.PARAMETERS, [], {}).start()).all()


def test_a_family_without_rows_takes_what_families_alike_share(tmp_path: Path) -> None:
    """Ada is left out, Ampere's graphics cards are not: what makes both differ from data-center cards is known."""
    case = gemm.product("bfloat16")
    assert case is not None
    blocks = []
    for device in ("rtx-3090", "a100-sxm-80gb"):
        sizes = {name: np.array([512]) for name in ("m", "n", "k")}
        group = Group("gemm", device, "", "bfloat16", "cuda_graph")
        row = Case(group, case, "native", "cuda_graph", sizes, np.array([1e-4]), np.array([0]))
        blocks.append(Block("gemm", device, (row,), row.measured_s))
    machines = {block.hardware: Machine.find(block.hardware) for block in blocks}
    parameter = Parameter("gpu", "achieved.matrix", 0.9, 0.4, 1.3, ("gemm",), family_sd=0.1)
    problem = Problem([parameter], blocks, machines)
    assert [unknown.family for unknown in problem.unknowns] == [
        None,
        "graphics",
        "nvidia-ampere-ga100",
        "nvidia-ampere-ga10x",
    ]
    x = problem.start() + np.array([0.0, 0.2, -0.1, 0.05])
    folder = tmp_path / "calibration"
    shutil.copytree(CALIBRATIONS, folder)
    write(folder, problem, x, ("nvidia-ampere-ga100", "nvidia-ampere-ga10x", "nvidia-ada"))

    def reached(family: str) -> float:
        return float(tomlkit.parse((folder / f"{family}.toml").read_text())["achieved"]["matrix"])

    assert reached("gpu") == pytest.approx(0.9, rel=1e-3)
    assert reached("nvidia-ampere-ga10x") == pytest.approx(0.9 * np.exp(0.25), rel=1e-3)
    assert reached("nvidia-ada") == pytest.approx(0.9 * np.exp(0.2), rel=1e-3)
    assert reached("nvidia-ampere-ga100") == pytest.approx(0.9 * np.exp(-0.1), rel=1e-3)


@pytest.mark.slow
def test_one_family_starts_from_what_it_extends_and_writes_what_moved(tmp_path: Path) -> None:
    """The rows are predictions with another constant, which the fit of the family finds; its parent's file stays."""
    measured = tmp_path / "measured"
    measured.mkdir()
    folder = tmp_path / "calibration"
    shutil.copytree(CALIBRATIONS, folder)
    product = gemm.product("bfloat16")
    assert product is not None
    sizes = {name: np.array([64, 256, 1024, 4096, 8192]) for name in ("m", "n", "k")}
    group = Group("gemm", "b200-sxm-180gb", "", "bfloat16", "cuda_graph")
    machine = Machine.find("b200-sxm-180gb", folder)
    reached = machine.constants["achieved.matrix"]
    case = Case(group, product, "native", "cuda_graph", sizes, np.ones(5), np.arange(5))
    faster = predict([case], {case.hardware: machine.make({"achieved.matrix": reached * 1.1})}).latency_s
    with (measured / "gemm.csv").open("w") as file:
        file.write("device,software,dtype,m,n,k,latency_us\n")
        for size, seconds in zip(sizes["m"], faster, strict=True):
            file.write(f"b200-sxm-180gb,test,bfloat16,{size},{size},{size},{seconds * 1e6}\n")
    before = (folder / "gpu.toml").read_bytes()
    fit.fit_family(measured, folder, "nvidia-blackwell", tables=["gemm"], keep=["achieved.matrix"])
    assert Machine.find("b200-sxm-180gb", folder).constants["achieved.matrix"] == reached
    fit.fit_family(measured, folder, "nvidia-blackwell", tables=["gemm"])
    assert (folder / "gpu.toml").read_bytes() == before
    written = tomlkit.parse((folder / "nvidia-blackwell.toml").read_text())
    after = predict([case], {case.hardware: Machine.find("b200-sxm-180gb", folder).make({})}).latency_s
    assert after == pytest.approx(faster, rel=0.03)
    assert "--family nvidia-blackwell" in written["achieved"]["source"]

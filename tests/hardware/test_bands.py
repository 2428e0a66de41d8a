"""Error bands by evidence: the step of a machine, and its spread."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import pyinfercost as ic
from pyinfercost import hardware
from pyinfercost.hardware.bands import FOLDER, bands, step_of
from pyinfercost.hardware.catalog_names import CATALOG
from pyinfercost.hardware.evidence import EVIDENCE, OTHER
from pyinfercost.hardware.files import CALIBRATIONS, families
from pyinfercost.hardware.files import lineage as lineage_of
from pyinfercost.hardware.schema import BAND_CLASSES

TWO_CLASSES = """
schema_version = 1
source = "a test"
[other]
measured_on = ["nvidia-ada/l4", "amd-cdna4/mi355x"]
measured = 0.1
family = 0.2
sibling = 0.3
datasheet = 0.4
[kernel.gemm]
measured_on = ["nvidia-hopper/h100-sxm-80gb"]
family = 0.05
datasheet = 0.8
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(CALIBRATIONS, tmp_path / "calibration")
    (tmp_path / "calibration" / FOLDER / "gpu.toml").write_text(TWO_CLASSES)
    return tmp_path / "calibration"


@pytest.mark.parametrize(
    ("lineage", "step"),
    [
        (("nvidia-ada", "gpu"), "family"),
        (("nvidia-volta", "gpu"), "sibling"),  # of the same vendor
        (("intel-xe-hpc", "gpu"), "datasheet"),
        (("intel-xe-hpc", "nvidia-ada", "gpu"), "sibling"),  # it extends one with rows
        (("gpu",), "datasheet"),  # a device without a family
    ],
)
def test_the_step_of_a_machine_follows_from_the_families_with_rows(lineage: tuple[str, ...], step: str) -> None:
    assert step_of({"nvidia-ada", "amd-cdna4"}, lineage) == step


def test_each_class_has_the_spread_of_its_step(folder: Path) -> None:
    def of(*lineage: str, measured: bool = False) -> dict[str, tuple[float, str]]:
        return {name: (band.spread, band.evidence) for name, band in bands(lineage, folder, measured=measured).items()}

    assert of("nvidia-ada", "gpu") == {
        OTHER: (0.2, "family fitted"),
        "kernel.gemm": (0.8, "sibling family fitted"),  # no spread of siblings is known: the next weaker one
    }
    assert of("nvidia-hopper", "gpu") == {
        OTHER: (0.3, "sibling family fitted"),
        "kernel.gemm": (0.05, "family fitted"),
    }
    assert of("apple-x", "gpu") == {OTHER: (0.4, "datasheet only"), "kernel.gemm": (0.8, "datasheet only")}
    assert of("apple-x", "gpu", measured=True) == {
        OTHER: (0.1, "measured here"),
        "kernel.gemm": (0.05, "measured here"),  # the nearest known step
    }


def test_a_file_of_a_family_replaces_classes_of_its_kind(folder: Path) -> None:
    (folder / FOLDER / "nvidia-ada.toml").write_text(
        'schema_version = 1\nsource = "a test"\n[kernel.gemm]\nmeasured_on = ["nvidia-ada/l4"]\nfamily = 0.15\n'
    )
    of_l4 = hardware.load("l4", calibration=folder)
    assert (of_l4.spread, of_l4.constants["kernel.gemm.spread"]) == (0.2, 0.15)
    assert of_l4.evidence == {OTHER: "family fitted", "kernel.gemm": "family fitted"}


def test_a_file_with_constants_of_its_own_was_measured_here(tmp_path: Path, folder: Path) -> None:
    text = (CATALOG / "l4.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(
        text.replace('id = "l4"', 'id = "mine"')
        + '\n[calibration.achieved]\nsource = "measured on this machine by calibrate"\nmatrix = 0.9\n'
    )
    mine = hardware.load(path, calibration=folder)
    assert set(mine.evidence.values()) == {"measured here"}
    assert mine.spread == 0.1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('schema_version = 1\nsource = "x"\n', r"\[other\] is missing"),
        ('schema_version = 1\nsource = "x"\n[other]\nmeasured_on = []\n', r"\[other\] has no spread"),
        ('schema_version = 1\nsource = "x"\n[other]\nmeasured_on = []\nfamily = -1\n', "'other.family' is -1"),
        ('schema_version = 1\nsource = "x"\n[othr]\nmeasured_on = []\n', "the nearest valid key is 'other'"),
    ],
)
def test_a_damaged_file_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / FOLDER / "gpu.toml").write_text(text)
    with pytest.raises(hardware.HardwareFileError, match=message):
        bands(("nvidia-ada", "gpu"), folder, measured=False)


@pytest.mark.parametrize("name", hardware.names())
def test_every_machine_of_the_catalog_states_its_evidence(name: str) -> None:
    described = hardware.describe(name)["bands"]
    assert OTHER in described
    assert set(described) <= set(BAND_CLASSES)
    for band in described.values():
        assert band["evidence"] in EVIDENCE.values()
        assert band["spread"] >= 0.05, "two runs on one machine differ by that much"


def test_weaker_evidence_never_has_a_narrower_band() -> None:
    for kind in ("gpu", "cpu", "systolic"):
        weakest = bands(("nobody", kind), CALIBRATIONS, measured=False)
        for family in families():
            line = lineage_of(family)
            if line[-1] == kind and not (CALIBRATIONS / FOLDER / f"{family}.toml").exists():
                for name, band in bands(line, CALIBRATIONS, measured=False).items():
                    assert band.spread <= weakest[name].spread, (family, name)


@pytest.mark.torch
def test_an_estimate_weighs_evidence_by_time(folder: Path) -> None:
    """A product and an activation: the product is `family fitted`, all else follows from siblings."""
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(4096, 4096), torch.nn.GELU())
    graph = ic.capture(model, torch.empty(512, 4096, device="meta"))
    machine = hardware.load("h100-sxm-80gb", calibration=folder)
    estimate = ic.estimate(graph, hardware=machine, execution="cuda_graph")
    product = sum(layer.latency_s for layer in estimate.layers if "gelu" not in layer.op)
    rest = sum(layer.latency_s for layer in estimate.layers if "gelu" in layer.op)
    assert list(estimate.evidence) == ["family fitted", "sibling family fitted"]
    assert estimate.evidence["family fitted"] == pytest.approx(product / (product + rest))
    assert estimate.latency_high_s == pytest.approx(1.05 * product + 1.3 * rest)
    assert estimate.latency_low_s == pytest.approx(estimate.latency_s**2 / estimate.latency_high_s)
    assert "family fitted" in estimate.to_text()
    assert estimate.to_dict()["estimate"]["evidence"] == estimate.evidence

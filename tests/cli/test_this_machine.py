"""`-H this` is the processor that the command runs on, measured if it was calibrated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.hardware.catalog_names import CATALOG
from pyinfercost.measuring.described import described
from pyinfercost.measuring.machine import Cache, Machine, this_machine
from pyinfercost.measuring.toml import as_toml


def hardware_of(*options: str, toy: str) -> tuple[list[str], str]:
    result = CliRunner().invoke(main, ["compare", toy, *options, "--format", "json"])
    assert result.exit_code == 0, result.output
    return [row["hardware"] for row in json.loads(result.stdout)["compare"]["rows"]], result.stderr


def test_it_is_the_processor_of_the_system(toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found, told = hardware_of("-H", "this,l4", toy=toy)
    assert found == [described(this_machine())["id"], "l4"]
    assert f"this: {this_machine().name}" in told
    assert "pyinfercost calibrate --output this.toml" in told


def test_a_calibrated_file_comes_first(toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (CATALOG / "epyc-7763.toml").read_text(encoding="utf-8").replace('id = "epyc-7763"', 'id = "mine"')
    Path("this.toml").write_text(text, encoding="utf-8")
    found, told = hardware_of("-H", "this", toy=toy)
    assert found == ["mine"]
    assert "as its system describes it" not in told


@pytest.mark.parametrize(
    ("flags", "vendor", "flop"), [({"avx2"}, "AMD", 32), ({"avx2", "avx512f"}, "Intel", 64), ({"asimd"}, "Arm", 16)]
)
def test_rates_follow_from_cores_clock_and_instructions(
    flags: set[str], vendor: str, flop: int, tmp_path: Path
) -> None:
    caches = (Cache(1, 2**15, 1), Cache(2, 2**20, 1), Cache(3, 2**24, 4))
    machine = Machine("Some CPU", vendor, 8, 2, 3e9, 2**35, caches, frozenset(flags))
    path = tmp_path / "some.toml"
    path.write_text(as_toml(described(machine)), encoding="utf-8")
    loaded = ic.hardware.load(path)
    assert loaded.vector_flop_per_s["float32"] == pytest.approx(8 * 3e9 * flop, rel=1e-3)
    assert loaded.memory_bytes == pytest.approx(2**35, rel=1e-3)
    assert [name for name, *_ in loaded.memory][-1] == "dram"
    assert "measured here" not in loaded.evidence.values()

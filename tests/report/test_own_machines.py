"""A device file that is dropped on a page gives the machine that the package loads from it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost.hardware.catalog_names import CATALOG
from pyinfercost.predict.machine_catalog import machine_catalog
from pyinfercost.report.html.catalog_pack import catalog_document, machine_entry
from pyinfercost.report.html.live_packs import CORE
from pyinfercost.report.html.own_machine import own_machine_document

RUNNER = Path(__file__).parents[1] / "support" / "own_machines.mjs"
FAST = ("l4", "a30", "epyc-9654")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to run scripts of pages"),
]


@lru_cache(1)
def page() -> dict[str, Any]:
    catalog = machine_catalog()
    return {
        "setup": json.loads(json.dumps(own_machine_document(), allow_nan=False)),
        "catalog": catalog_document(catalog.machines),
    }


def dropped(files: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return the answers of a page to files: name, text, and perhaps a size."""
    result = subprocess.run(
        ["node", str(RUNNER), str(CORE.parent)],
        check=False,
        input=json.dumps({**page(), "files": files}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def refused(text: str, name: str = "mine.toml", size: int | None = None) -> str:
    (answer,) = dropped([(name, text, len(text) if size is None else size)])
    said: str = answer["refused"]
    assert answer["ms"] < 5000
    return said


def text_of(device: str) -> str:
    return (CATALOG / f"{device}.toml").read_text(encoding="utf-8")


def renamed(device: str) -> str:
    return text_of(device).replace(f'id = "{device}"', f'id = "own-{device}"', 1)


def test_a_machine_of_each_file_is_that_of_the_package() -> None:
    devices = [known.machine.id for known in machine_catalog().machines]
    for device, answer in zip(
        devices, dropped([(f"{device}.toml", text_of(device)) for device in devices]), strict=True
    ):
        machine = ic.hardware.load(device)
        assert answer["own"]["machine"] == json.loads(machine.to_json()), device
        assert answer["own"]["from"] == f"constants of {machine.family}"
        assert answer["own"]["offers"] == []


def test_terms_are_those_of_the_catalog_without_its_price() -> None:
    known = {entry["machine"]["id"]: entry["terms"] for entry in map(machine_entry, machine_catalog().machines)}
    for device, answer in zip(FAST, dropped([(f"{device}.toml", text_of(device)) for device in FAST]), strict=True):
        assert answer["own"]["terms"] == known[device] | {"grid_g_per_kwh": None, "pue": None}


def test_facts_of_the_file_decide() -> None:
    text = renamed("l4").replace("cores = 58", "cores = 116")
    text = text.replace("bandwidth_gb_per_s = 300.1", "bandwidth_gb_per_s = 600.2")
    (answer,) = dropped([("mine.toml", text)])
    own, known = answer["own"], json.loads(ic.hardware.load("l4").to_json())
    assert own["from"] == "constants of nvidia-ada"
    assert own["machine"]["memory"][-1]["bandwidth_byte_per_s"] == 600.2e9
    assert own["machine"]["memory"][1]["bandwidth_byte_per_s"] == 2 * known["memory"][1]["bandwidth_byte_per_s"]
    assert own["machine"]["memory"][0]["capacity_bytes"] == 2 * known["memory"][0]["capacity_bytes"]
    assert own["id"] == "own-l4"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('family = "nvidia-ada"', 'family = "nvidia-nova"', "expected one of amd-cdna"),
        ('family = "nvidia-ada"', 'family = "x86-avx2"', "a family of kind 'cpu'; expected one of kind 'gpu'"),
        ("cores = 58\n", "", "cannot be used for estimates: the file does not give compute.cores"),
        ("cores = 58\n", "cores = 58.0\n", "'compute.cores' is 58.0; expected an integer >= 1"),
        ("cores = 58\n", "cores = -1\n", "'compute.cores' is -1"),
        ("cores = 58\n", "coers = 58\n", "unknown key 'compute.coers'; the nearest valid key is 'cores'"),
        ("clock_ghz = 2.04", "clock_ghz = nan", "'compute.clock_ghz' is the string 'NaN'"),
        ("bandwidth_gb_per_s = 300.1\n", "", "a memory bandwidth"),
        ("usable_gib = 22.35", "usable_gib = 30", "usable_gib is 30; expected at most"),
        ('id = "l4"', 'id = "<b>"', "expected lower-case letters"),
        ('name = "NVIDIA L4"\n', "", "required key 'name' is missing"),
        ("[memory.l2]", "[[memory.l2]]", "expected a table"),
        ("schema_version = 1", "schema_version = ", "is no TOML in line 1"),
        (
            "[power]",
            '[calibration.overheads]\nsource = "mine"\ndispatch_us = 5\n[power]',
            "measured on this device",
        ),
        ("[power]", "[__proto__]\nid = 1\n[power]", "unknown key"),
    ],
)
@pytest.mark.sample(2)
def test_files_that_are_refused(old: str, new: str, said: str) -> None:
    text = text_of("l4")
    assert old in text
    assert said in refused(text.replace(old, new))


def test_a_family_without_a_cataloged_machine_has_its_constants() -> None:
    (answer,) = dropped([("mine.toml", renamed("l4").replace('family = "nvidia-ada"', 'family = "gpu"'))])
    assert answer["own"]["from"] == "constants of gpu"
    assert answer["own"]["machine"]["provenance"]["constants"] == "gpu"


def test_what_is_no_file_of_a_machine() -> None:
    assert "is no TOML" in refused("\0\1garbage" * 1000)
    assert "'family' is" in refused("")
    assert refused("", size=500_000_000).startswith("mine.toml has 500.0 MB; ")
    assert "is no TOML" in refused("a = " + "[" * 100_000)

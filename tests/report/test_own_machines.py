"""A device file that is dropped on a page gives the machine that the package loads from it, and its latencies.

The page makes it under node, from the constants of another machine of the same family.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from support.interface_cases import ask
from support.language_configs import LLAMA

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.hardware.catalog_names import CATALOG
from pyinfercost.predict.machine_catalog import machine_catalog
from pyinfercost.report.html.catalog_pack import catalog_document, machine_entry
from pyinfercost.report.html.live_packs import CORE
from pyinfercost.report.html.own_machine import own_machine_document

RUNNER = Path(__file__).parents[1] / "support" / "own_machines.mjs"
CORE_RUNNER = RUNNER.with_name("run_core.mjs")
FAST = ("l4", "a30", "epyc-9654")
CLOSE = 1e-9
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to run scripts of pages"),
]


@lru_cache(1)
def page() -> dict[str, Any]:
    catalog = machine_catalog()
    return {
        "setup": json.loads(json.dumps(own_machine_document(catalog), allow_nan=False)),
        "catalog": catalog_document(catalog.machines),
    }


def dropped(files: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return the answers of a page to files: name, text, id of a machine that the page lacks, and perhaps a size."""
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
    (answer,) = dropped([(name, text, "", len(text) if size is None else size)])
    said: str = answer["refused"]
    assert answer["ms"] < 5000
    return said


def text_of(device: str) -> str:
    return (CATALOG / f"{device}.toml").read_text(encoding="utf-8")


def renamed(device: str) -> str:
    return text_of(device).replace(f'id = "{device}"', f'id = "own-{device}"', 1)


@lru_cache(1)
def resnet50() -> ic.Graph:
    torch, torchvision = __import__("torch"), __import__("torchvision")
    with torch.device("meta"):
        model = torchvision.models.resnet50()
    return ic.capture(model, torch.zeros(2, 3, 224, 224, device="meta"), dynamic={0: {0: "batch"}})


def requests_of(machines: Sequence[str]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield requests: both models are loaded and deployed, then each machine answers for three points."""
    yield {"load": {"kind": "graph"}}, resnet50().to_json()
    yield {"load": {"kind": "decoder"}}, json.dumps({"config": LLAMA, "phase": "decode"})
    for graph in (1, 2):
        yield {"deploy": {"graph": graph, "precision": "native", "engine": "torch", "execution": "compiled"}}, ""
    for number, machine in enumerate(machines):
        yield {"load": {"kind": "machine"}}, machine
        for deployment, sizes in ((3, {"batch": 1}), (3, {"batch": 64}), (4, {"batch": 1, "context": 512})):
            yield {"estimate": {"deployment": deployment, "machine": 5 + number, "sizes": sizes}}, ""


def latencies_under_node(machines: Sequence[str]) -> list[float]:
    result = subprocess.run(
        ["node", str(CORE_RUNNER), str(CORE.parent)],
        check=False,
        input="\n".join(map(json.dumps, requests_of(machines))),
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert result.returncode == 0, result.stderr
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert not [answer for answer in answers if "error" in answer]
    return [answer["answer"]["latency_s"] for answer in answers if "latency_s" in answer["answer"]]


def latencies_natively(machines: Sequence[str]) -> list[float]:
    session = _core.Session()
    found = [ask(session, *next(iter(request.items())), document) for request, document in requests_of(machines)]
    return [answer["latency_s"] for answer in found if "latency_s" in answer]


def differences_of(devices: Sequence[str], folder: Path) -> list[float]:
    """Return the relative differences of latencies, of which each device has three."""
    answers = dropped([(f"{device}.toml", renamed(device), device) for device in devices])
    assert not [answer for answer in answers if "refused" in answer]
    for device, answer in zip(devices, answers, strict=True):
        family, _, base = answer["own"]["from"].removeprefix("constants of ").partition(", from ")
        machine = ic.hardware.load(device)
        assert family == machine.family
        assert base != machine.name
    loaded = []
    for device in devices:
        path = folder / f"{device}.toml"
        path.write_text(renamed(device), encoding="utf-8")
        loaded.append(ic.hardware.load(path).to_json())
    found = latencies_under_node([json.dumps(answer["own"]["machine"]) for answer in answers])
    known = latencies_natively(loaded)
    assert len(found) == len(known) == 3 * len(devices)
    return [one / other - 1 for one, other in zip(found, known, strict=True)]


def with_kin() -> list[str]:
    """Return the machines of the catalog whose family has another one."""
    machines = [known.machine for known in machine_catalog().machines]
    families = [machine.family for machine in machines]
    return [machine.id for machine in machines if families.count(machine.family) > 1]


@pytest.mark.slow
def test_three_machines_from_others_of_their_families(tmp_path: Path) -> None:
    found = differences_of(FAST, tmp_path)
    assert max(map(abs, found)) < CLOSE


@pytest.mark.slow
def test_all_machines_from_others_of_their_families(tmp_path: Path) -> None:
    devices = with_kin()
    found = differences_of(devices, tmp_path)
    sizes = sorted(map(abs, found))
    named = [device for device in devices for _ in range(3)]
    most = sorted(zip(found, named, strict=True), key=lambda each: abs(each[0]))
    exact = sum(size == 0 for size in sizes)
    assert sizes[-1] < CLOSE, f"{exact} of {len(sizes)} equal, median {median(sizes):.2g}, largest: {most[-9:]}"


def test_the_machine_of_the_same_id_is_equal() -> None:
    """A page and the loader agree to the last bit, for every machine of the catalog."""
    devices = [known.machine.id for known in machine_catalog().machines]
    answers = dropped([(f"{device}.toml", text_of(device), "") for device in devices])
    for device, answer in zip(devices, answers, strict=True):
        machine = ic.hardware.load(device)
        assert answer["own"]["machine"] == json.loads(machine.to_json()), device
        assert answer["own"]["from"] == f"constants of {machine.family}, from {machine.name}"
        assert answer["own"]["offers"] == []


def test_terms_are_those_of_the_catalog_without_its_price() -> None:
    known = {entry["machine"]["id"]: entry["terms"] for entry in map(machine_entry, machine_catalog().machines)}
    for device, answer in zip(FAST, dropped([(f"{device}.toml", text_of(device), "") for device in FAST]), strict=True):
        assert answer["own"]["terms"] == known[device] | {"grid_g_per_kwh": None, "pue": None}


def test_facts_of_the_file_decide() -> None:
    text = renamed("l4").replace("cores = 58", "cores = 116")
    text = text.replace("bandwidth_gb_per_s = 300.1", "bandwidth_gb_per_s = 600.2")
    (answer,) = dropped([("mine.toml", text, "")])
    own, known = answer["own"], json.loads(ic.hardware.load("l4").to_json())
    assert own["from"] == "constants of nvidia-ada, from NVIDIA L4"
    assert own["machine"]["memory"][-1]["bandwidth_byte_per_s"] == 600.2e9
    assert own["machine"]["memory"][1]["bandwidth_byte_per_s"] == 2 * known["memory"][1]["bandwidth_byte_per_s"]
    assert own["machine"]["memory"][0]["capacity_bytes"] == 2 * known["memory"][0]["capacity_bytes"]
    assert own["id"] == "own-l4"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('family = "nvidia-ada"', 'family = "nvidia-nova"', "expected one of amd-cdna"),
        ('family = "nvidia-ada"', 'family = "x86-avx2"', "is of kind cpu, and the file says gpu"),
        ("cores = 58\n", "", "estimates need compute.cores"),
        ("cores = 58\n", "cores = 58.0\n", "compute.cores is 58; expected an integer from 1"),
        ("cores = 58\n", "cores = -1\n", "compute.cores is -1"),
        ("cores = 58\n", "coers = 58\n", 'an unknown key "compute.coers"; valid here: cores, '),
        ("clock_ghz = 2.04", "clock_ghz = nan", "compute.clock_ghz is "),
        ("bandwidth_gb_per_s = 300.1\n", "", "a memory bandwidth"),
        ("usable_gib = 22.35", "usable_gib = 30", "usable_gib is 30; expected at most"),
        ('id = "l4"', 'id = "<b>"', "expected lower-case letters"),
        ('name = "NVIDIA L4"\n', "", "does not give name"),
        ("[memory.l2]", "[[memory.l2]]", "expected a table"),
        ("schema_version = 1", "schema_version = ", "is no TOML in line 1"),
        ("[power]", '[calibration.overheads]\nsource = "mine"\ndispatch_us = 5\n[power]', "constants of its own"),
        ("[power]", "[__proto__]\nid = 1\n[power]", "unknown key"),
    ],
)
@pytest.mark.sample(2)
def test_files_that_are_refused(old: str, new: str, said: str) -> None:
    text = text_of("l4")
    assert old in text
    assert said in refused(text.replace(old, new))


def test_a_family_without_a_cataloged_machine_is_refused() -> None:
    setup = page()["setup"]
    absent = [family for family in setup["families"] if family not in setup["constants"]]
    assert absent
    said = refused(text_of("l4").replace('family = "nvidia-ada"', f'family = "{absent[0]}"'))
    assert f"no machine of the catalog is of the family {absent[0]}" in said
    assert "pyinfercost explore MODEL --hardware mine.toml" in said


def test_what_is_no_file_of_a_machine() -> None:
    assert "is no TOML" in refused("\0\1garbage" * 1000)
    assert "does not give schema_version" in refused("")
    assert refused("", size=500_000_000).startswith("mine.toml has 500.0 MB; ")
    assert "is no TOML" in refused("a = " + "[" * 100_000)

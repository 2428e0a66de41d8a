"""Machines as JSON: every field reads back, and invalid documents are rejected."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

import pyinfercost as ic

FIELDS = (
    "id",
    "name",
    "kind",
    "family",
    "cores",
    "clock_hz",
    "matrix_flop_per_s",
    "vector_flop_per_s",
    "memory",
    "array",
    "sparsity_2_4",
    "overheads_s",
    "achieved",
    "constants",
    "spread",
    "power_w",
    "links_byte_per_s",
    "evidence",
    "provenance",
)


def fields(machine: ic.Hardware) -> dict[str, Any]:
    return {name: getattr(machine, name) for name in FIELDS}


@pytest.mark.parametrize("name", ["h100-sxm-80gb", "epyc-9654", "tpu-v5e"])
def test_every_field_reads_back(name: str) -> None:
    machine = ic.hardware.load(name)
    for again in (ic.Hardware.from_json(machine.to_json()), pickle.loads(pickle.dumps(machine))):
        assert fields(again) == fields(machine)
        assert again.to_json() == machine.to_json()


def test_the_document_has_every_field_and_its_unit() -> None:
    machine = ic.hardware.load("t4")
    document = json.loads(machine.to_json())
    assert set(document) == {"schema_version", *FIELDS} - {"array"}  # of systolic machines alone
    assert document["memory"][-1] == {
        "level": "dram",
        "capacity_bytes": machine.memory_bytes,
        "bandwidth_byte_per_s": machine.bandwidth_byte_per_s,
    }
    assert document["constants"] == machine.constants


def test_a_capacity_that_its_owner_decides_is_null() -> None:
    machine = ic.hardware.load("epyc-9654")
    assert machine.memory_bytes == float("inf")
    assert json.loads(machine.to_json())["memory"][-1]["capacity_bytes"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cores": "many"}, "machine JSON: cores is the string 'many'; expected a number"),
        ({"core": 4}, "machine JSON: the document has an unknown key 'core'; expected keys among schema_version, id"),
        ({"schema_version": 2}, "machine JSON: schema_version is 2; this version reads 1"),
        ({"kind": "fpga"}, "machine JSON: kind: unknown kind of hardware 'fpga'; expected gpu, cpu or systolic"),
        ({"memory": []}, "machine JSON: the document: hardware 't4' has no memory; expected at least dram"),
    ],
)
def test_documents_that_cannot_be_read(change: dict[str, Any], message: str) -> None:
    document = {**json.loads(ic.hardware.load("t4").to_json()), **change}
    with pytest.raises(ValueError, match=message):
        ic.Hardware.from_json(json.dumps(document))

"""This processor as a hardware file without measurements, from its operating system and its instruction set."""

from __future__ import annotations

import math
from typing import Any

from ..hardware.schema import SCHEMA_VERSION
from .calibration import identity, rounded
from .machine import Machine

_GIGA, _TERA, _KIBI, _MEBI, _GIBI = 1e9, 1e12, 2.0**10, 2.0**20, 2.0**30
_ASSUMED_CLOCK_HZ = 2.5e9
_CORE_BYTE_PER_S, _MOST_BYTE_PER_S = 10e9, 200e9
"""Assumed DRAM bandwidth of a core and of all cores; laptops and rented parts of servers have 10 GB/s per core."""
_FLOP_PER_CLOCK = (("avx512f", 64.0), ("avx2", 32.0), ("sve", 32.0), ("asimd", 16.0))
"""Instruction set -> fp32 FLOP of a core in a clock, with two units for fused multiply-adds; the widest comes first."""
_OTHER_FLOP_PER_CLOCK = 8.0


def described(machine: Machine) -> dict[str, Any]:
    """Return the hardware file of a processor that nobody measured."""
    clock_hz = machine.clock_hz or _ASSUMED_CLOCK_HZ
    per_clock = 16.0 if machine.vendor == "Apple" else _OTHER_FLOP_PER_CLOCK
    per_clock = next((flop for flag, flop in _FLOP_PER_CLOCK if flag in machine.flags), per_clock)
    fp32 = machine.cores * clock_hz * per_clock
    dram: dict[str, Any] = {
        "bandwidth_gb_per_s": rounded(min(_MOST_BYTE_PER_S, machine.cores * _CORE_BYTE_PER_S) / _GIGA)
    }
    if machine.memory_bytes is not None:
        dram["capacity_gib"] = rounded(machine.memory_bytes / _GIBI)
    return {
        "schema_version": SCHEMA_VERSION,
        "id": identity(machine.name),
        "name": machine.name,
        "vendor": machine.vendor,
        "kind": "cpu",
        "family": machine.family,
        "verified": False,
        "source": {
            "text": "the operating system and rates of the instruction set; nothing was measured",
            "unverified": ["compute.vector_tflop_per_s", "memory.dram.bandwidth_gb_per_s"],
        },
        "compute": {
            "cores": machine.cores,
            "threads_per_core": machine.threads_per_core,
            "clock_ghz": rounded(clock_hz / _GIGA),
            "int8_over_fp32": machine.int8_over_fp32,
            "vector_tflop_per_s": {
                "fp32": rounded(fp32 / _TERA),
                "int8": rounded(machine.int8_over_fp32 * fp32 / _TERA),
            },
        },
        "memory": {**_caches(machine), "dram": dram},
    }


def _caches(machine: Machine) -> dict[str, dict[str, float]]:
    tables: dict[str, dict[str, float]] = {}
    for cache in machine.caches:
        if cache.cores == 1 and cache.level <= 2:  # noqa: PLR2004 - levels that a core may have of its own
            tables[f"l{cache.level}"] = {"capacity_kib_per_core": rounded(cache.capacity_bytes / _KIBI)}
        else:
            groups = math.ceil(machine.cores / cache.cores)
            tables["llc"] = {"capacity_mib": rounded(groups * cache.capacity_bytes / _MEBI)}
    return tables

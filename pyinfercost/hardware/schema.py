"""Schema of hardware files: the keys that files of devices and of calibration constants may contain.

Units are part of the keys. Capacities are binary (`_kib`, `_mib`, `_gib`), as vendors mean them even where they write
MB or GB. All bandwidths are decimal (`_gb_per_s`). Peak rates are dense, and a fused multiply-add is 2 FLOP. Keys,
units and ranges of calibration constants are from the core's table (csrc/hardware/constant_table.hpp). A fact that is
not known is absent.

Ranges of facts are many orders of magnitude wider than hardware that exists: a number outside is a mistaken unit or a
damaged file, and would make times overflow or vanish.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .._checks import Range
from .._core import CalibrationConstant
from .._records import dataclass
from .constants import TABLES
from .dtypes import CORE_DTYPES
from .evidence import EVIDENCE, OTHER

SCHEMA_VERSION = 1

KINDS = ("gpu", "cpu", "systolic")

VARIANT_DTYPES = ("fp32_packed", "fp16_acc16", "fp8_acc16", "fp6")
"""Rates that a file may state for types that are no torch dtypes: packed fp32, 16-bit accumulation, fp6."""

CACHE_LEVELS = ("l1", "l2", "scratchpad", "llc")


@dataclass(frozen=True)
class Field:
    """An allowed key.

    Attributes:
        type: Type of the value.
        low: Minimum of a number.
        high: Maximum of a number.
        above: Exclusive minimum of a number.
        choices: Allowed texts; empty allows all.
        required: Whether the key must be present.
    """

    type: Literal["number", "integer", "boolean", "text", "texts", "integers"]
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class Table:
    """An allowed table: its keys, and whether it must be present."""

    keys: Mapping[str, Field | Table]
    required: bool = False


PLAUSIBLE = Range(1e-12, 1e12, zero=True)
"""Range of any number in a file, in addition to the range of its key."""

_TEXT, _NEED_TEXT = Field("text"), Field("text", required=True)
_TEXTS = Field("texts")
_COUNT = Field("integer", low=1, high=1e6)
_CORES = Field("integer", low=1, high=1e8)
_TFLOP_PER_S = Field("number", low=1e-9, high=1e9)
_GB_PER_S = Field("number", low=1e-6, high=1e9)
_CAPACITY = Field("number", low=1e-3, high=1e9)  # in KiB, MiB or GiB
_GHZ = Field("number", low=1e-6, high=1e3)
_MT_PER_S = Field("number", low=1e-3, high=1e9)
_WATTS = Field("number", low=1e-3, high=1e7)
_SHARE = Field("number", low=1e-3, high=1)
_FACTOR = Field("number", low=1, high=16)
_VERSION = Field("integer", low=SCHEMA_VERSION, high=SCHEMA_VERSION, required=True)


# ---- calibration files -----------------------------------------------------------------------------------------------


def _field(constant: CalibrationConstant) -> Field:
    low, above = (None, constant.low) if constant.above else (constant.low, None)
    return Field("integer" if constant.whole else "number", low=low, above=above, high=constant.high)


def _calibration_tables() -> dict[str, Field | Table]:
    found: dict[str, Field | Table] = {}
    classes: dict[str, Field | Table] = {}
    for name, keys in TABLES.items():
        table = Table({"source": _NEED_TEXT, **{key: _field(constant) for key, constant in keys.items()}})
        outer, _, inner = name.partition(".")
        if inner:  # [kernel.softmax]
            classes[inner] = table
            found[outer] = Table(classes)
        else:
            found[outer] = table
    return found


_CALIBRATION_TABLES = _calibration_tables()

CALIBRATION = Table(
    {
        "schema_version": _VERSION,
        "family": _NEED_TEXT,
        "extends": _TEXT,
        **_CALIBRATION_TABLES,
    }
)
"""A calibration file: the constants of a family of machines."""


# ---- error bands -----------------------------------------------------------------------------------------------------

BAND_CLASSES = (
    OTHER,
    *(
        table
        for table in TABLES
        if table.startswith("tiles_")
        or table.endswith("_rows")
        or (table.startswith("kernel.") and table != "kernel.depthwise")
    ),
)
"""Classes of kernels that may have a band of their own, by their tables in calibration files."""


def _band_tables() -> dict[str, Field | Table]:
    one: dict[str, Field | Table] = {
        "measured_on": Field("texts", required=True),  # FAMILY/DEVICE
        **{step: Field("number", low=0, high=1e3) for step in EVIDENCE},
    }
    found: dict[str, Field | Table] = {}
    classes: dict[str, Field | Table] = {}
    for name in BAND_CLASSES:
        outer, _, inner = name.partition(".")
        if inner:
            classes[inner] = Table(one)
            found[outer] = Table(classes)
        else:
            found[outer] = Table(one)
    return found


BANDS = Table({"schema_version": _VERSION, "source": _NEED_TEXT, **_band_tables()})
"""A file of error bands: the spreads of a kind or a family of machines by class of kernels and evidence."""


# ---- device files ----------------------------------------------------------------------------------------------------

_RATES = Table(dict.fromkeys((*CORE_DTYPES, *VARIANT_DTYPES), _TFLOP_PER_S))

_CACHE = {
    "kind": _TEXT,
    "capacity_kib_per_core": _CAPACITY,  # private to a core
    "capacity_mib": _CAPACITY,  # shared by all cores
    "bandwidth_gb_per_s": _GB_PER_S,  # of all cores together
}
_LINK_KEYS = {"kind": _NEED_TEXT, "bandwidth_gb_per_s": _GB_PER_S}
_LINK = Table(_LINK_KEYS)
_HOST_LINK = Table(
    {
        **_LINK_KEYS,
        "direct": Field("boolean"),  # whether each device reaches every other at this rate (PCIe switches)
    }
)
_DEVICE_LINK = Table(
    {
        **_LINK_KEYS,
        "peers": _COUNT,  # number of devices that share the bandwidth; absent: each of them is reached at all of it
        "domain": _COUNT,  # number of devices that the link connects across nodes (NVL72); absent: within one node
        "reduces": Field("boolean"),  # whether the switch adds up the data of devices (NVLink SHARP)
    }
)
_NETWORK_LINK = Table(  # between nodes, one direction
    {
        "kind": _NEED_TEXT,
        "nics_per_device": Field("number", low=1e-3, high=1e3),
        "nic_gb_per_s": _GB_PER_S,
        "latency_us": Field("number", low=0, high=1e9),  # of a message; absent: the family's
    }
)

DEVICE = Table(
    {
        "schema_version": _VERSION,
        "id": _NEED_TEXT,
        "name": _NEED_TEXT,
        "vendor": _NEED_TEXT,
        "kind": Field("text", choices=KINDS, required=True),
        "family": _NEED_TEXT,
        "release_year": Field("integer", low=1990, high=2100),
        "devices_per_package": _COUNT,
        "devices_per_node": _COUNT,  # number of devices of one machine; 8 if absent
        "verified": Field("boolean", required=True),
        "source": Table(
            {
                "text": _NEED_TEXT,
                "references": _TEXTS,
                "unverified": _TEXTS,  # dotted paths of values in this file that were not read from a source
                "notes": _TEXTS,  # disagreements of sources, and omissions of the values
            },
            required=True,
        ),
        "compute": Table(
            {
                "cores": _CORES,
                "core_name": _TEXT,
                "threads_per_core": _COUNT,
                "performance_cores": _CORES,  # of a CPU with two kinds of cores; the others are efficiency cores
                "efficiency_core_rate": _SHARE,  # FLOP/s of an efficiency core, relative to a performance core
                "clock_ghz": _GHZ,  # GPU: boost; CPU: all cores busy with the widest vectors
                "base_clock_ghz": _GHZ,
                "matrix_clock_ghz": _GHZ,
                "compute_capability": _TEXT,
                "simd": _TEXT,
                "fp32_flop_per_clock_per_core": _COUNT,
                "int8_over_fp32": _FACTOR,  # of a library with kernels for the instructions
                "matrix_unit": _TEXT,
                "matrix_instruction_mnk": Field("integers", low=1, high=1e6),
                "matrix_tflop_per_s": _RATES,
                "vector_tflop_per_s": _RATES,
                "array": Table(
                    {key: Field("integer", low=1, high=1e6, required=True) for key in ("rows", "cols", "units")}
                ),
            }
        ),
        "sparsity": Table({"factor_2_4": _FACTOR, "factor_4_16": _FACTOR}),
        "memory": Table(
            {
                "l1": Table({**_CACHE, "shared_kib_per_core": _CAPACITY}),
                "l2": Table(_CACHE),
                "scratchpad": Table(_CACHE),
                "llc": Table(_CACHE),
                "dram": Table(
                    {
                        "kind": _TEXT,
                        "capacity_gib": _CAPACITY,
                        "usable_gib": _CAPACITY,  # memory that the driver reports
                        "inline_ecc": Field("boolean"),  # whether ECC is on by default and stored among the data
                        "usable_share": _SHARE,  # of unified memory: the share that a GPU may use
                        "bandwidth_gb_per_s": _GB_PER_S,
                        "channels": _COUNT,
                        "channel_bits": _COUNT,  # 64 if absent
                        "transfer_mt_per_s": _MT_PER_S,
                    }
                ),
            }
        ),
        "link": Table({"host": _HOST_LINK, "pcie": _LINK, "device": _DEVICE_LINK, "network": _NETWORK_LINK}),
        "power": Table(dict.fromkeys(("tdp_w", "max_turbo_w", "mean_w", "idle_w"), _WATTS)),
        "calibration": Table(_CALIBRATION_TABLES),  # measured on this machine; refused in the catalog
    }
)
"""The file of a device."""

"""What a hardware file and a calibration file may contain, as data, and the one function that checks it.

Units stand in the keys. Sizes of caches and scratchpads are binary (`_kib`, `_mib`), as vendors mean them even where
they write MB; DRAM capacities and every bandwidth are decimal (`_gb`, `_gb_per_s`). Peak rates are dense, and a fused
multiply-add is 2 FLOP. A fact that is not known is absent.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

SCHEMA_VERSION = 1

KINDS = ("gpu", "cpu", "systolic")

CORE_DTYPES: Mapping[str, str] = MappingProxyType(
    {
        "fp64": "float64",
        "fp32": "float32",
        "tf32": "tf32",
        "fp16": "float16",
        "bf16": "bfloat16",
        "fp8": "float8_e4m3fn",
        "fp4": "float4_e2m1fn_x2",
        "int8": "int8",
        "int4": "int4",
    }
)
"""Short dtype name in a file -> the spelling the core uses (torch's, where torch has one)."""

VARIANT_DTYPES = ("fp32_packed", "fp16_acc16", "fp8_acc16", "fp6")
"""Rates that a file may state and no torch dtype asks for: packed fp32, 16-bit accumulation, fp6."""


class HardwareError(ValueError):
    """A hardware description that cannot be used; the message says what was got and what was expected."""


class HardwareFileError(HardwareError):
    """A hardware or calibration file that breaks the schema."""


@dataclass(frozen=True)
class Field:
    """One allowed key.

    Attributes:
        type: What TOML must hold there.
        low: Smallest allowed number.
        high: Largest allowed number.
        above: The number must be larger than this.
        choices: The only texts allowed, if any are listed.
        required: Whether the key must be there.
    """

    type: Literal["number", "integer", "boolean", "text", "texts", "integers"]
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class Table:
    """One allowed table: its keys, and whether it must be there."""

    keys: Mapping[str, Field | Table]
    required: bool = False


def read_toml(path: Path) -> dict[str, Any]:
    """Parse one TOML file, naming the file where it is not TOML."""
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HardwareFileError(f"{path} is not a TOML file: {error}") from error
    except OSError as error:
        raise HardwareFileError(f"{path} cannot be read: {error.strerror or error}") from error


_TEXT, _NEED_TEXT = Field("text"), Field("text", required=True)
_TEXTS = Field("texts")
_COUNT = Field("integer", low=1)
_POSITIVE = Field("number", above=0)
_NOT_NEGATIVE = Field("number", low=0)
_FRACTION = Field("number", above=0, high=1)
_VERSION = Field("integer", low=SCHEMA_VERSION, high=SCHEMA_VERSION, required=True)
_RATES = Table(dict.fromkeys((*CORE_DTYPES, *VARIANT_DTYPES), _POSITIVE))

_CACHE = {
    "kind": _TEXT,
    "capacity_kib_per_core": _POSITIVE,  # private to a core
    "capacity_mib": _POSITIVE,  # shared by all cores
    "bandwidth_gb_per_s": _POSITIVE,  # of all cores together
}
_LINK = Table({"kind": _NEED_TEXT, "bandwidth_gb_per_s": _POSITIVE})

ACHIEVED_KEYS = (
    "dram",
    "cache",
    *(f"{engine}{suffix}" for engine in ("matrix", "vector") for suffix in ("", *(f"_{name}" for name in CORE_DTYPES))),
)
OVERHEAD_KEYS = ("dispatch", "launch_gap", "replay_gap", "kernel_minimum")
CACHE_LEVELS = ("l1", "l2", "scratchpad", "llc")

KERNEL_CLASSES = (
    "gemm",
    "convolution",
    "attention",
    "pointwise",
    "reduction",
    "softmax",
    "normalization",
    "pooling",
    "gather",
    "scatter",
    "copy",
    "fill",
    "sort",
    "scan",
    "library",
)
"""The kinds of kernels that the core tells apart, as it spells them."""

# What a family's kernels of one class reach, relative to what [achieved] says of the machine, and their extra floor.
_KERNEL = {
    "dram": _POSITIVE,
    "compute": _POSITIVE,
    "cache": _POSITIVE,
    "minimum_us": _NOT_NEGATIVE,
    "spread": _NOT_NEGATIVE,
    "rows": _COUNT,
}

CPU_LOOPS = ("special", "library", "row", "softmax", "window", "transpose")
"""Loops that cost more than their arithmetic, as the core spells them."""
CPU_SHARES = ("product", "pixelwise", "convolution", "grouped", "depthwise", "attention")
"""Kinds of products: convolutions of 1x1 windows are `pixelwise`."""

# What torch reaches on a CPU. Rates are in elements for each clock of a core; `packing` and `gemv`, of weights that
# come from memory, for each clock of the whole, since they hardly grow with threads.
_CPU = {
    **{f"{loop}_per_clock_per_core": _POSITIVE for loop in CPU_LOOPS},
    "packing_per_clock": _POSITIVE,
    "gemv_per_clock": _POSITIVE,
    **dict.fromkeys(CPU_SHARES, _POSITIVE),  # of what [achieved] says of matrix products
    "convolution_us": _NOT_NEGATIVE,  # beyond another op: its descriptors are looked up
    "parallel_region_us_per_thread": _NOT_NEGATIVE,
    "page_fault_us": _NOT_NEGATIVE,
}
PAGE_BYTES = 4096

_CALIBRATION_TABLES: dict[str, Field | Table] = {
    "overheads": Table({"source": _NEED_TEXT, **{f"{key}_us": _NOT_NEGATIVE for key in OVERHEAD_KEYS}}),
    "achieved": Table({"source": _NEED_TEXT, **dict.fromkeys(ACHIEVED_KEYS, _FRACTION)}),
    "cache": Table(
        {
            "source": _NEED_TEXT,
            **{f"{level}_byte_per_clock_per_core": _POSITIVE for level in CACHE_LEVELS},
            "scratchpad_over_dram_bandwidth": Field("number", low=1),
        }
    ),
    # Four of five measurements lie within latency / (1 + spread) and latency x (1 + spread).
    "band": Table({"source": _NEED_TEXT, "spread": _NOT_NEGATIVE}),
    "kernel": Table({name: Table({"source": _NEED_TEXT, **_KERNEL}) for name in KERNEL_CLASSES}),
    "cpu": Table({"source": _NEED_TEXT, **_CPU}),
    "limits": Table({"source": _NEED_TEXT, "dram_gb_per_s_per_core": _POSITIVE}),
    "assumed": Table(  # stands in for a fact that a sheet does not give
        {
            "source": _NEED_TEXT,
            "clock_ghz": _POSITIVE,
            "vector_flop_per_clock_per_core": _POSITIVE,
            "idle_fraction_of_tdp": _FRACTION,
        }
    ),
}

CALIBRATION = Table(
    {
        "schema_version": _VERSION,
        "family": _NEED_TEXT,
        "extends": Field("text", choices=KINDS),
        "fitted": Field("boolean", required=True),
        **_CALIBRATION_TABLES,
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
        "verified": Field("boolean", required=True),
        "source": Table(
            {
                "text": _NEED_TEXT,
                "references": _TEXTS,
                "unverified": _TEXTS,  # dotted paths into this file that were not read from a source
                "notes": _TEXTS,  # where sources disagree, and what the figures leave out
            },
            required=True,
        ),
        "compute": Table(
            {
                "cores": _COUNT,
                "core_name": _TEXT,
                "threads_per_core": _COUNT,
                "clock_ghz": _POSITIVE,  # GPU: boost; CPU: all cores busy with the widest vectors
                "base_clock_ghz": _POSITIVE,
                "matrix_clock_ghz": _POSITIVE,
                "compute_capability": _TEXT,
                "simd": _TEXT,
                "fp32_flop_per_clock_per_core": _COUNT,
                "matrix_unit": _TEXT,
                "matrix_instruction_mnk": Field("integers", low=1),
                "matrix_tflop_per_s": _RATES,
                "vector_tflop_per_s": _RATES,
                "array": Table({key: Field("integer", low=1, required=True) for key in ("rows", "cols", "units")}),
            }
        ),
        "sparsity": Table({"factor_2_4": Field("number", low=1), "factor_4_16": Field("number", low=1)}),
        "memory": Table(
            {
                "l1": Table({**_CACHE, "shared_kib_per_core": _POSITIVE}),
                "l2": Table(_CACHE),
                "scratchpad": Table(_CACHE),
                "llc": Table(_CACHE),
                "dram": Table(
                    {
                        "kind": _TEXT,
                        "capacity_gb": _POSITIVE,
                        "usable_gib": _POSITIVE,  # what a driver leaves to programs
                        "bandwidth_gb_per_s": _POSITIVE,
                        "channels": _COUNT,
                        "channel_bits": _COUNT,  # 64 where absent
                        "transfer_mt_per_s": _POSITIVE,
                    }
                ),
            }
        ),
        "link": Table({"host": _LINK, "pcie": _LINK, "device": _LINK}),
        "power": Table(dict.fromkeys(("tdp_w", "max_turbo_w", "mean_w", "idle_w"), _POSITIVE)),
        "calibration": Table(_CALIBRATION_TABLES),  # measured on this very machine; refused in the catalogue
    }
)


def check(data: Mapping[str, Any], table: Table, path: Path, prefix: str = "") -> None:
    """Refuse unknown and missing keys, wrong types and values out of range.

    Raises:
        HardwareFileError: Naming the file, the key, what was got and what was expected.
    """
    for key, value in data.items():
        if key not in table.keys:
            raise HardwareFileError(f"{path}: unknown key {prefix + key!r}; {_nearest(key, table.keys)}")
        rule = table.keys[key]
        if isinstance(rule, Field):
            _check_value(value, rule, path, prefix + key)
        elif isinstance(value, Mapping):
            check(value, rule, path, f"{prefix}{key}.")
        else:
            raise HardwareFileError(f"{path}: {prefix + key!r} is {value!r}; expected a table [{prefix}{key}]")
    for key, rule in table.keys.items():
        if rule.required and key not in data:
            raise HardwareFileError(f"{path}: required key {prefix + key!r} is missing; expected {_expected(rule)}")


def _nearest(key: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return f"the nearest valid key is {matches[0]!r}; valid here: {', '.join(known)}"


def _check_value(value: Any, rule: Field, path: Path, key: str) -> None:
    items: Sequence[Any] = [value]
    if rule.type in ("texts", "integers"):
        items = value if isinstance(value, list) else [None]
    for item in items:
        if not _fits(item, rule):
            raise HardwareFileError(f"{path}: {key!r} is {value!r}; expected {_expected(rule)}")


def _fits(item: Any, rule: Field) -> bool:
    if rule.type == "boolean":
        return isinstance(item, bool)
    if rule.type in ("text", "texts"):
        return isinstance(item, str) and item.strip() != "" and (not rule.choices or item in rule.choices)
    number = isinstance(item, int) if rule.type in ("integer", "integers") else isinstance(item, (int, float))
    return (
        number
        and not isinstance(item, bool)
        and abs(item) < float("inf")  # False for nan, too
        and (rule.low is None or item >= rule.low)
        and (rule.high is None or item <= rule.high)
        and (rule.above is None or item > rule.above)
    )


def _expected(rule: Field | Table) -> str:
    if isinstance(rule, Table):
        return "a table"
    if rule.choices:
        return "one of " + ", ".join(map(repr, rule.choices))
    names = {"text": "a text", "texts": "a list of texts", "integers": "a list of integers", "boolean": "true or false"}
    words = names.get(rule.type, f"a{'n' if rule.type == 'integer' else ''} {rule.type}")
    if rule.low is not None and rule.low == rule.high:
        return f"{rule.low:g}"
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in ((">", rule.above), (">=", rule.low), ("<=", rule.high))
        if bound is not None
    ]
    return words + (" " + " and ".join(bounds) if bounds else "")

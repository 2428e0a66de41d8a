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

from .cpu_keys import CPU_RATES, CPU_TIMES

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
_REACHED = Field("number", above=0, high=1.5)  # some boards clock above their sheet
_VERSION = Field("integer", low=SCHEMA_VERSION, high=SCHEMA_VERSION, required=True)
_RATES = Table(dict.fromkeys((*CORE_DTYPES, *VARIANT_DTYPES), _POSITIVE))

_CACHE = {
    "kind": _TEXT,
    "capacity_kib_per_core": _POSITIVE,  # private to a core
    "capacity_mib": _POSITIVE,  # shared by all cores
    "bandwidth_gb_per_s": _POSITIVE,  # of all cores together
}
_LINK_KEYS = {"kind": _NEED_TEXT, "bandwidth_gb_per_s": _POSITIVE}
_LINK = Table(_LINK_KEYS)
_DEVICE_LINK = Table(
    {
        **_LINK_KEYS,
        "peers": _COUNT,  # how many devices it divides among; absent: the whole of it leads to any of them
        "reduces": Field("boolean"),  # whether the switch adds up what devices send (NVLink SHARP)
    }
)

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
    "depthwise",
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
"""The kinds of kernels that the core tells apart, as it spells them, and depthwise convolutions apart from others."""

# What a family's kernels of one class reach, relative to what [achieved] says of the machine, and their own floor.
_KERNEL = {
    "dram": _POSITIVE,
    "compute": _POSITIVE,
    "minimum_us": _NOT_NEGATIVE,
    "issue_byte_per_clock": _POSITIVE,  # results of one core, where instructions are the limit
    "spread": _NOT_NEGATIVE,
    "rows": _COUNT,
}
_TILES = {
    "compute": _POSITIVE,  # of what the engine reaches
    "dram": _POSITIVE,
    "minimum_us": _NOT_NEGATIVE,
    "operand_ns_per_element": _NOT_NEGATIVE,  # latency of fetching operands, per element of the reduction
    "exposed_operands": _NOT_NEGATIVE,  # share of the shorter of arithmetic and that latency which is not hidden
    "round_us": _NOT_NEGATIVE,  # a further round of tiles on a core
    "exposed_memory": _NOT_NEGATIVE,  # share of the shorter of cores and dram which is not hidden
    "split_length": _POSITIVE,  # the least length of a part of a split reduction
    "split_us": _NOT_NEGATIVE,  # the pass that adds the parts up
    "split_bytes": _NOT_NEGATIVE,  # share of the parts' bytes that comes from dram
    "page_kib": _NOT_NEGATIVE,  # rows of operands further apart miss the TLB of a core; 0: never
    "page_cost": _NOT_NEGATIVE,
    "page_most": _NOT_NEGATIVE,
    "depth_overhead": _NOT_NEGATIVE,  # elements of the reduction that filling the pipeline is worth
    "edge": _NOT_NEGATIVE,  # what a tile of 64 x 64 takes longer for a result than one of 128 x 128
    "by_rows": _NOT_NEGATIVE,  # 1: the tile follows from the number of rows; otherwise it is the fastest
    "direct": _POSITIVE,  # of the vector unit, what kernels without tiles reach on few rows
}
_ROWS = {
    "l1_share": _NOT_NEGATIVE,  # of the innermost cache that holds rows until they are read again
    "l2_share": _POSITIVE,
    "width": _POSITIVE,  # how gradually a cache overflows: 1 is from half to one and a half times its size
    "trip_us": _NOT_NEGATIVE,  # of a block's threads over four elements each
    "element_ns": _NOT_NEGATIVE,  # of a block over an element of its row
    "issue_per_clock": _POSITIVE,  # elements of one core, read or written, where instructions are the limit
}
_MODEL_TABLES = {
    "stream": {
        "turnaround": _NOT_NEGATIVE,  # bytes' worth of pause for each byte both read and written
        "resident": _NOT_NEGATIVE,  # of the last cache, what of it holds a working set until it is used again
    "strided": _NOT_NEGATIVE,  # bytes' worth of a byte read across its order, on top of its own
        "transposed": _NOT_NEGATIVE,  # passes over a convolution's bytes to bring them into its order and back
    },
    "tiles_matrix": _TILES,
    "tiles_vector": _TILES,
    "tiles_int8": _TILES,
    "tiles_fp8": _TILES,
    "tiles_grouped": _TILES,  # several matrices of weights: mixtures of experts
    "tiles_grouped8": _TILES,
    "tiles_weight8": _TILES,  # weights that are widened to the activations' dtype as they are read
    "tiles_weight4": _TILES,
    "softmax_rows": _ROWS,
    "norm_rows": _ROWS,
    "quantize_rows": _ROWS,
    "token_rows": _ROWS,  # of serving engines: a block of threads for each token
    "forward": {"start_us": _NOT_NEGATIVE},  # from the host's call until the first kernel runs, and back
    "attention": {
        "matrix": _POSITIVE,  # time of the products over that at what matrix products reach
        "exponential": _NOT_NEGATIVE,  # time of the exponentials over that of 16 a clock and core
        "tile_clocks": _NOT_NEGATIVE,  # to start a tile of queries
        "longest": _NOT_NEGATIVE,  # of the longest tile, on top of the mean of all
        "exposed_memory": _NOT_NEGATIVE,
        "decode_clocks": _NOT_NEGATIVE,  # to start a block of keys
        "decode_byte_per_clock": _POSITIVE,  # of one core
        "decode_dram": _POSITIVE,
        "combine_us": _NOT_NEGATIVE,
        "combine_split_us": _NOT_NEGATIVE,
    },
    "winograd": {
        "fused": _POSITIVE,  # share of the products' peak that one fused kernel reaches
        "products": _POSITIVE,  # the same of the products between separate transforms
        "passes": _POSITIVE,  # time of the transforms over that of a stream
    },
}
MODEL_TABLES = tuple(_MODEL_TABLES)
"""Tables of constants that only one model of machines reads; `loading` hands them on by name."""

COLLECTIVES_KEYS: Mapping[str, Field] = MappingProxyType(
    {
        "base_us": _POSITIVE,  # one call, before any step
        "hop_us": _POSITIVE,  # a step from device to device over their link
        "host_hop_us": _POSITIVE,  # the same through the host
        "ll_share": _FRACTION,  # what the protocols reach of the link: LL (half of its bytes are flags, few in flight),
        "ll128_us": _NOT_NEGATIVE,  # LL128 (120 of 128 bytes are data) and how much later it begins,
        "ll128_share": _FRACTION,
        "simple_us": _NOT_NEGATIVE,  # Simple (whole buffers, then a fence) and how much later it begins
        "simple_share": _FRACTION,
        "own_copy": _NOT_NEGATIVE,  # a byte of its own part that a device copies, in bytes over the link
        "alltoall_step": _NOT_NEGATIVE,  # what a further peer of an all-to-all costs, in steps
        "switch_us": _NOT_NEGATIVE,  # a reduction in the switch: how much later it begins,
        "switch_share": _POSITIVE,  # what it reaches of the link, both directions counted,
        "switch_devices": _COUNT,  # and from how many devices on it is used
        "host_share": _FRACTION,  # what two devices reach of the host's link with Simple; LL half of it
        "host_sharing": _NOT_NEGATIVE,  # rate ~ flows^-host_sharing: 0 paths of their own, 1 one shared root complex
        "spread": _NOT_NEGATIVE,  # of latencies over the devices' link, as in [band]
        "host_spread": _NOT_NEGATIVE,  # of those through the host
    }
)
"""Constants of collective operations; `pyinfercost.analysis.collective_times` has the formula."""

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

_CALIBRATION_TABLES: dict[str, Field | Table] = {
    "overheads": Table({"source": _NEED_TEXT, **{f"{key}_us": _NOT_NEGATIVE for key in OVERHEAD_KEYS}}),
    "achieved": Table({"source": _NEED_TEXT, **dict.fromkeys(ACHIEVED_KEYS, _REACHED)}),
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
    **{name: Table({"source": _NEED_TEXT, **keys}) for name, keys in _MODEL_TABLES.items()},
    "limits": Table({"source": _NEED_TEXT, "dram_gb_per_s_per_core": _POSITIVE, "threads_per_core": _COUNT}),
    # A rate is not above what (1 - static_fraction) x tdp - static_w pays for.
    "power": Table(
        {
            "source": _NEED_TEXT,
            "static_fraction": _NOT_NEGATIVE,
            "static_w": _NOT_NEGATIVE,
            **{f"pj_per_flop_{engine}_{name}": _POSITIVE for engine in ("matrix", "vector") for name in CORE_DTYPES},
        }
    ),
    "collectives": Table({"source": _NEED_TEXT, **COLLECTIVES_KEYS}),
    "cpu": Table(
        {"source": _NEED_TEXT, **dict.fromkeys(CPU_RATES, _POSITIVE), **dict.fromkeys(CPU_TIMES, _NOT_NEGATIVE)}
    ),
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
        "link": Table({"host": _LINK, "pcie": _LINK, "device": _DEVICE_LINK}),
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

"""What the file of a device may contain. A fact that is not known is absent."""

from __future__ import annotations

from .calibration_schema import CALIBRATION_TABLES
from .dtypes import CORE_DTYPES
from .schema import COUNT, KINDS, NEED_TEXT, POSITIVE, TEXT, TEXTS, VARIANT_DTYPES, VERSION, Field, Table

_RATES = Table(dict.fromkeys((*CORE_DTYPES, *VARIANT_DTYPES), POSITIVE))

_CACHE = {
    "kind": TEXT,
    "capacity_kib_per_core": POSITIVE,  # private to a core
    "capacity_mib": POSITIVE,  # shared by all cores
    "bandwidth_gb_per_s": POSITIVE,  # of all cores together
}
_LINK_KEYS = {"kind": NEED_TEXT, "bandwidth_gb_per_s": POSITIVE}
_LINK = Table(_LINK_KEYS)
_DEVICE_LINK = Table(
    {
        **_LINK_KEYS,
        "peers": COUNT,  # how many devices it divides among; absent: the whole of it leads to any of them
        "reduces": Field("boolean"),  # whether the switch adds up what devices send (NVLink SHARP)
    }
)

DEVICE = Table(
    {
        "schema_version": VERSION,
        "id": NEED_TEXT,
        "name": NEED_TEXT,
        "vendor": NEED_TEXT,
        "kind": Field("text", choices=KINDS, required=True),
        "family": NEED_TEXT,
        "release_year": Field("integer", low=1990, high=2100),
        "devices_per_package": COUNT,
        "verified": Field("boolean", required=True),
        "source": Table(
            {
                "text": NEED_TEXT,
                "references": TEXTS,
                "unverified": TEXTS,  # dotted paths into this file that were not read from a source
                "notes": TEXTS,  # where sources disagree, and what the figures leave out
            },
            required=True,
        ),
        "compute": Table(
            {
                "cores": COUNT,
                "core_name": TEXT,
                "threads_per_core": COUNT,
                "clock_ghz": POSITIVE,  # GPU: boost; CPU: all cores busy with the widest vectors
                "base_clock_ghz": POSITIVE,
                "matrix_clock_ghz": POSITIVE,
                "compute_capability": TEXT,
                "simd": TEXT,
                "fp32_flop_per_clock_per_core": COUNT,
                "matrix_unit": TEXT,
                "matrix_instruction_mnk": Field("integers", low=1),
                "matrix_tflop_per_s": _RATES,
                "vector_tflop_per_s": _RATES,
                "array": Table({key: Field("integer", low=1, required=True) for key in ("rows", "cols", "units")}),
            }
        ),
        "sparsity": Table({"factor_2_4": Field("number", low=1), "factor_4_16": Field("number", low=1)}),
        "memory": Table(
            {
                "l1": Table({**_CACHE, "shared_kib_per_core": POSITIVE}),
                "l2": Table(_CACHE),
                "scratchpad": Table(_CACHE),
                "llc": Table(_CACHE),
                "dram": Table(
                    {
                        "kind": TEXT,
                        "capacity_gb": POSITIVE,
                        "usable_gib": POSITIVE,  # what a driver leaves to programs
                        "bandwidth_gb_per_s": POSITIVE,
                        "channels": COUNT,
                        "channel_bits": COUNT,  # 64 where absent
                        "transfer_mt_per_s": POSITIVE,
                    }
                ),
            }
        ),
        "link": Table({"host": _LINK, "pcie": _LINK, "device": _DEVICE_LINK}),
        "power": Table(dict.fromkeys(("tdp_w", "max_turbo_w", "mean_w", "idle_w"), POSITIVE)),
        "calibration": Table(CALIBRATION_TABLES),  # measured on this very machine; refused in the catalogue
    }
)

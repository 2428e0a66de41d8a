"""What a calibration file may contain: the constants of a family of machines, or of the one that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .cpu_keys import CPU_RATES, CPU_TIMES
from .schema import CACHE_LEVELS, CORE_DTYPES, COUNT, FRACTION, KINDS, NEED_TEXT, NOT_NEGATIVE, POSITIVE, VERSION, Field, Table

_REACHED = Field("number", above=0, high=1.5)  # of arithmetic: some boards clock above their sheet

_MEMORIES = ("dram", "cache")
_ENGINES = tuple(
    f"{engine}{suffix}" for engine in ("matrix", "vector") for suffix in ("", *(f"_{name}" for name in CORE_DTYPES))
)
OVERHEAD_KEYS = ("dispatch", "launch_gap", "replay_gap", "kernel_minimum")
# What passes in instructions of a core, on top: it shrinks with the clock.
_CORE_OVERHEADS = {"kernel_minimum_clocks": NOT_NEGATIVE}

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
# Latencies are in clocks of a core: what a pipeline takes to fill lasts as many on a board that is clocked faster.
_KERNEL = {
    "dram": POSITIVE,
    "compute": POSITIVE,
    "minimum_clocks": NOT_NEGATIVE,
    "issue_byte_per_clock": POSITIVE,  # results of one core, where instructions are the limit
    "grouped": POSITIVE,  # of the vector unit, what direct convolutions in narrow groups reach, where not as depthwise
    "wide": POSITIVE,  # the same of depthwise windows beyond 7 x 7, which have a general kernel
    "large": POSITIVE,  # the same of more elements than 32 bits count, channels innermost
    "channels_last": POSITIVE,  # of what a depthwise kernel reaches, where channels lie innermost
    "spread": NOT_NEGATIVE,
    "rows": COUNT,
}
_TILES = {
    "compute": POSITIVE,  # of what the engine reaches
    "with_weights": POSITIVE,  # of that, products with weights, whose rows lie along the reduction
    "dram": POSITIVE,
    "minimum_clocks": NOT_NEGATIVE,
    "operand_clocks_per_element": NOT_NEGATIVE,  # latency of fetching operands, per element of the reduction
    "exposed_operands": NOT_NEGATIVE,  # share of the shorter of arithmetic and that latency which is not hidden
    "round_clocks": NOT_NEGATIVE,  # a further round of tiles on a core
    "exposed_memory": NOT_NEGATIVE,  # share of the shorter of cores and dram which is not hidden
    "split_length": POSITIVE,  # the least length of a part of a split reduction
    "most_splits": POSITIVE,  # the most parts that a library splits a reduction into
    "split_clocks": NOT_NEGATIVE,  # the pass that adds the parts up
    "split_bytes": NOT_NEGATIVE,  # share of the parts' bytes that comes from dram
    "page_kib": NOT_NEGATIVE,  # rows of operands further apart miss the TLB of a core; 0: never
    "page_cost": NOT_NEGATIVE,
    "page_most": NOT_NEGATIVE,
    "depth_overhead": NOT_NEGATIVE,  # elements of the reduction that filling the pipeline is worth
    "edge": NOT_NEGATIVE,  # what a tile of 64 x 64 takes longer for a result than one of 128 x 128
    "by_rows": NOT_NEGATIVE,  # 1: the tile follows from the number of rows; otherwise it is the fastest
    "spread": NOT_NEGATIVE,  # of these kernels, where it is not that of their class
    "batched_rows": NOT_NEGATIVE,  # batches of products have tiles of 128 columns and at least so many rows; 0: any
    "direct": POSITIVE,  # of the vector unit, what kernels without tiles reach on few rows
}
_ROWS = {
    "l1_share": NOT_NEGATIVE,  # of the innermost cache that holds rows until they are read again
    "l2_share": POSITIVE,
    "width": POSITIVE,  # how gradually a cache overflows: 1 is from half to one and a half times its size
    "trip_clocks": NOT_NEGATIVE,  # of a block's threads over four elements each
    "element_clocks": NOT_NEGATIVE,  # of a block over an element of its row
    "spread": NOT_NEGATIVE,
    "issue_per_clock": POSITIVE,  # elements of one core, read or written, where instructions are the limit
}
_MODEL_TABLES = {
    "stream": {
        "turnaround": NOT_NEGATIVE,  # bytes' worth of pause for each byte both read and written
        "resident": NOT_NEGATIVE,  # of the last cache, what of it holds a working set until it is used again
        "strided": NOT_NEGATIVE,  # bytes' worth of a byte read across its order, on top of its own
        "turned": NOT_NEGATIVE,  # passes over a group norm's bytes, where channels lie innermost
        "transposed": NOT_NEGATIVE,  # passes over a convolution's bytes to bring them into its order and back
    },
    "tiles_matrix": _TILES,
    "tiles_vector": _TILES,
    "tiles_convolution": _TILES,  # on the vector unit; on the matrix unit they are as products
    "tiles_int8": _TILES,
    "tiles_fp8": _TILES,
    "tiles_grouped": _TILES,  # several matrices of weights: mixtures of experts
    "tiles_grouped8": _TILES,
    "tiles_weight8": _TILES,  # weights that are widened to the activations' dtype as they are read
    "tiles_weight4": _TILES,
    "softmax_rows": _ROWS,
    "norm_rows": _ROWS,
    "quantize_rows": _ROWS,
    "plane_rows": _ROWS,  # interpolation, a thread for each position of a plane
    "token_rows": _ROWS,  # of serving engines: a block of threads for each token
    "forward": {
        "start_us": NOT_NEGATIVE,  # from the host's call until the first kernel runs, and back
        "compiled_dispatch_us": NOT_NEGATIVE,  # the host's time for one kernel of compiled code, while the device runs
    },
    "attention": {
        "matrix": POSITIVE,  # time of the products over that at what matrix products reach
        "exponential": NOT_NEGATIVE,  # time of the exponentials over that of 16 a clock and core
        "tile_clocks": NOT_NEGATIVE,  # to start a tile of queries
        "longest": NOT_NEGATIVE,  # of the longest tile, on top of the mean of all
        "exposed_memory": NOT_NEGATIVE,
        "decode_clocks": NOT_NEGATIVE,  # to start a block of keys
        "decode_element_per_clock": POSITIVE,  # of keys and values, one block of a core
        "narrow": NOT_NEGATIVE,  # of arithmetic, what keys narrower than queries add
        "narrow_clocks": NOT_NEGATIVE,  # and the kernel that makes queries as narrow
        "wide_passes": NOT_NEGATIVE,  # over partial results, where heads are wider than kernels hold
        "decode_dram": POSITIVE,
        "combine_clocks": NOT_NEGATIVE,
        "combine_split_clocks": NOT_NEGATIVE,
    },
    "winograd": {
        "fused": POSITIVE,  # share of the products' peak that one fused kernel reaches
        "products": POSITIVE,  # the same of the products between separate transforms
        "passes": POSITIVE,  # time of the transforms over that of a stream
    },
}
MODEL_TABLES = tuple(_MODEL_TABLES)
"""Tables of constants that only one model of machines reads."""
NAMED_TABLES = (*MODEL_TABLES, "limits", "collectives", "host_link", "cold_start", "sparsity")
"""Tables whose constants `loading` hands on by name."""

COLLECTIVES_KEYS: Mapping[str, Field] = MappingProxyType(
    {
        "base_us": POSITIVE,  # one call, before any step
        "hop_us": POSITIVE,  # a step from device to device over their link
        "host_hop_us": POSITIVE,  # the same through the host
        "ll_share": FRACTION,  # what the protocols reach of the link: LL (half of its bytes are flags, few in flight),
        "ll128_us": NOT_NEGATIVE,  # LL128 (120 of 128 bytes are data) and how much later it begins,
        "ll128_share": FRACTION,
        "simple_us": NOT_NEGATIVE,  # Simple (whole buffers, then a fence) and how much later it begins
        "simple_share": FRACTION,
        "own_copy": NOT_NEGATIVE,  # a byte of its own part that a device copies, in bytes over the link
        "alltoall_step": NOT_NEGATIVE,  # what a further peer of an all-to-all costs, in steps
        "switch_us": NOT_NEGATIVE,  # a reduction in the switch: how much later it begins,
        "switch_share": POSITIVE,  # what it reaches of the link, both directions counted,
        "switch_devices": COUNT,  # and from how many devices on it is used
        "host_share": FRACTION,  # what two devices reach of the host's link with Simple; LL half of it
        "host_sharing": NOT_NEGATIVE,  # rate ~ flows^-host_sharing: 0 paths of their own, 1 one shared root complex
        "spread": NOT_NEGATIVE,  # of latencies over the devices' link, as in [band]
        "host_spread": NOT_NEGATIVE,  # of those through the host
    }
)
"""Constants of collective operations; `pyinfercost.predict.collective_times` has the formula."""

_JOULES = {
    "source": NEED_TEXT,
    "static_fraction": FRACTION,  # of the limit, whatever it does
    "dram_pj_per_byte": POSITIVE,  # with the caches and the wires on the way
    **{f"pj_per_flop_{engine}_{name}": POSITIVE for engine in ("matrix", "vector") for name in CORE_DTYPES},
}

CALIBRATION_TABLES: dict[str, Field | Table] = {
    "overheads": Table(
        {"source": NEED_TEXT, **{f"{key}_us": NOT_NEGATIVE for key in OVERHEAD_KEYS}, **_CORE_OVERHEADS}
    ),
    "achieved": Table({"source": NEED_TEXT, **dict.fromkeys(_MEMORIES, FRACTION), **dict.fromkeys(_ENGINES, _REACHED)}),
    "cache": Table(
        {
            "source": NEED_TEXT,
            **{f"{level}_byte_per_clock_per_core": POSITIVE for level in CACHE_LEVELS},
            "scratchpad_over_dram_bandwidth": Field("number", low=1),
        }
    ),
    # Four of five measurements lie within latency / (1 + spread) and latency x (1 + spread).
    "band": Table({"source": NEED_TEXT, "spread": NOT_NEGATIVE}),
    "kernel": Table({name: Table({"source": NEED_TEXT, **_KERNEL}) for name in KERNEL_CLASSES}),
    **{name: Table({"source": NEED_TEXT, **keys}) for name, keys in _MODEL_TABLES.items()},
    "limits": Table({"source": NEED_TEXT, "dram_gb_per_s_per_core": POSITIVE, "threads_per_core": COUNT}),
    # A rate is not above what (1 - static_fraction) x tdp - static_w pays for.
    "power": Table(
        {
            "source": NEED_TEXT,
            "static_fraction": NOT_NEGATIVE,
            "static_w": NOT_NEGATIVE,
            **{f"pj_per_flop_{engine}_{name}": POSITIVE for engine in ("matrix", "vector") for name in CORE_DTYPES},
        }
    ),
    # Of a board that is always at work and kept at its limit, at the lower voltage that it has then.
    "sustained": Table(_JOULES),
    # What a board draws at its full clock. Where no energy of an engine is known, its peak is taken to draw the limit.
    "energy": Table(
        {
            **_JOULES,
            "cache_pj_per_byte": NOT_NEGATIVE,  # at the last cache, with the way to it; that of dram comes on top
            "spread": NOT_NEGATIVE,  # of joules, as in [band]
        }
    ),
    "collectives": Table({"source": NEED_TEXT, **COLLECTIVES_KEYS}),
    # Between the host's memory and the device's: what `pyinfercost.transfer` reckons with.
    "host_link": Table(
        {
            "source": NEED_TEXT,
            "latency_us": NOT_NEGATIVE,  # of one copy
            "pinned_share": FRACTION,  # of the link's bandwidth, from pages that the system keeps in place
            "pageable_gb_per_s": POSITIVE,  # at most, from others, which the host copies first
            "spread": NOT_NEGATIVE,  # of seconds, as in [band]
        }
    ),
    # What libraries reach of a matrix unit's own factor for 2:4 weights.
    "sparsity": Table({"source": NEED_TEXT, "gain_2_4": Field("number", low=0.5, high=1.0)}),
    # From the start of a process until a device takes its first kernel; weights come after it.
    "cold_start": Table({"source": NEED_TEXT, "runtime_low_s": NOT_NEGATIVE, "runtime_high_s": NOT_NEGATIVE}),
    "cpu": Table({"source": NEED_TEXT, **dict.fromkeys(CPU_RATES, POSITIVE), **dict.fromkeys(CPU_TIMES, NOT_NEGATIVE)}),
    "assumed": Table(  # stands in for a fact that a sheet does not give
        {
            "source": NEED_TEXT,
            "clock_ghz": POSITIVE,
            "vector_flop_per_clock_per_core": POSITIVE,
            "idle_fraction_of_tdp": FRACTION,
        }
    ),
}

CALIBRATION = Table(
    {
        "schema_version": VERSION,
        "family": NEED_TEXT,
        "extends": Field("text", choices=KINDS),
        "fitted": Field("boolean", required=True),
        **CALIBRATION_TABLES,
    }
)

"""Meanings of the terms that a report uses, in a sentence each, and what reduces an effect.

`docs/effects.md` describes the effects in more detail.
"""

from __future__ import annotations

from typing import NamedTuple


class Effect(NamedTuple):
    """An effect: what takes the time, and what reduces it; the latter is empty where nothing simple does."""

    meaning: str
    remedy: str = ""


BOUNDS = {
    "compute": "Arithmetic takes the longest of all terms of the kernel.",
    "dram": "Bytes to and from the memory of the device take the longest of all terms of the kernel.",
    "cache": "Bytes to and from the caches take the longest of all terms of the kernel.",
    "link": "Bytes between devices take the longest of all terms of the kernel.",
    "launch": "The start of the kernel takes longer than its work: the device waits for the host.",
    "fused": "It runs inside the kernel of another row, which has its time.",
    "unknown": "The operator is not modeled, so its time is in no figure.",
}
"""Values of the column `Bound`."""

COLUMNS = {
    "share": "Share of the time of the forward; without a machine, of the FLOPs.",
    "latency": "Predicted time of its kernels.",
    "flops": "Floating-point operations; a multiply-add is 2.",
    "bytes": "Bytes that its operators read and write, each by itself.",
    "intensity": "FLOPs per byte that operators read or write. Low values mean that memory limits the time.",
    "energy": "Predicted energy of its kernels.",
    "cost": "USD of a million items of the batch: the cost of the model by the share of the time.",
    "parameters": "Weights that the module owns; a shared weight counts once.",
    "bound": "The term that limits the longest of its kernels.",
}
"""Columns of the tree of modules."""

TERMS = {
    "band": "Four of five measurements are expected between the two ends.",
    "evidence": "What the error band rests on, by share of the time: measurements of this machine or of its family, or "
    "only the datasheet.",
    "roofline": "Each kernel by its FLOPs per byte and by the rate it reaches. Lines are the limits of the machine: "
    "slopes are of its memories, roofs of its arithmetic units.",
    "ridge": "The FLOPs per byte from which on arithmetic is the limit, and not memory.",
    "peak": "Activations in use while each node runs, above the weights, which are always there.",
    "selected": "The row or the dot that was chosen last.",
}
"""Headings and other words."""

_FUSED_OR_NARROW = "fusion, narrower formats, or a larger batch for the same weights"
_GRAPHS = "fusion and recorded launches (--execution reduce-overhead)"
_LARGER_TILES = "more rows or columns"

EFFECTS = {
    "matrix unit": Effect("Arithmetic of the matrix unit, at the rate that its kernel reaches.", "a narrower dtype"),
    "vector unit": Effect("Arithmetic of the vector unit, at the rate that its kernel reaches.", "a narrower dtype"),
    "vector unit only": Effect(
        "A product in a dtype that the matrix unit of the machine does not support.", "a dtype that it supports"
    ),
    "emulated precision": Effect("Arithmetic in a wider dtype: no unit supports this one.", "a native dtype"),
    "power-limited": Effect("The power limit of the board lowers its clock.", "a narrower dtype"),
    "tile padding": Effect("Parts of tiles have no result.", "lengths that are multiples of 64 or 128"),
    "small tiles": Effect("Small tiles fetch more operands for their results.", _LARGER_TILES),
    "wave quantization": Effect(
        "Cores wait in the last round of tiles, which has fewer tiles than cores.", "a batch just below a full round"
    ),
    "short reduction": Effect("The pipeline of a tile fills for a short sum.", "merged products"),
    "operand latency": Effect("Arithmetic waits for operands.", "more tiles per core"),
    "TLB pages": Effect("Operands lie further apart than the TLB covers.", "another layout"),
    "split-K": Effect("Partial sums of a split reduction are added.", _LARGER_TILES),
    "Winograd": Effect("The Winograd algorithm replaces tiles."),
    "direct kernel": Effect("A direct convolution replaces tiles."),
    "exponentials": Effect("Exponentials of attention take longer than its products."),
    "start of tiles": Effect("Each tile of attention starts with loads.", "longer sequences"),
    "key and value reads": Effect("Attention reads keys and values.", "fewer key-value heads"),
    "row latency": Effect("A softmax or a norm has too few rows for all cores.", "more rows"),
    "rows read again": Effect("Rows exceed the caches and are read again.", "shorter rows"),
    "instruction issue": Effect("Instructions limit the kernel, and neither bytes nor arithmetic.", "fusion"),
    "dram bandwidth": Effect("Bytes to and from the memory of the device.", _FUSED_OR_NARROW),
    "strided reads": Effect("Bytes are read across their storage order.", "another layout"),
    "layout copies": Effect(
        "Operands are copied into the layout that the library wants.",
        "channels_last (model.to(memory_format=torch.channels_last)) or compiled execution",
    ),
    "cache-resident": Effect("A cache serves the bytes."),
    "weight packing": Effect("Weights are copied into the layout of the CPU's library."),
    "weight reads": Effect("Instructions read and widen weights."),
    "page faults": Effect("The system provides new memory.", "memory that is used again"),
    "slow loops": Effect("Loops of special functions run slowly.", "fewer threads, or a larger batch"),
    "idle cores": Effect("Threads have no share of the work.", "fewer threads, or a larger batch"),
    "parallel regions": Effect("Parallel loops start and end.", "fewer threads"),
    "cold calls": Effect("The code of operators is not in the private caches.", "compiled execution"),
    "link bandwidth": Effect("Bytes travel between devices.", "fewer devices, or a narrower dtype"),
    "network between nodes": Effect("Bytes travel between nodes.", "fewer nodes, or another layout"),
    "steps between devices": Effect("A collective takes steps from device to device.", "fewer devices"),
    "launch floor": Effect("The gap between kernels and the duration of the smallest kernel.", _GRAPHS),
    "host-bound (dispatch)": Effect("The device waits for the host, which issues kernels one by one.", _GRAPHS),
    "host of the engine": Effect("The device waits for the scheduler of the serving engine.", "larger batches"),
    "start of the forward": Effect("The time from the call to the start of the first kernel.", "a larger batch"),
    "none": Effect("It takes no time."),
}
"""Effect -> its meaning and what reduces it; the core names them (`csrc/evaluate/effects.cpp`)."""

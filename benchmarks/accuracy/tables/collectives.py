"""`collectives.csv`, `all_reduce_engines.csv` and `expert_all_to_all.csv`: communication between GPUs.

Decisions, with evidence in the data:

- `collectives`: one NCCL call in a node. The message size is `elements` times the width of `dtype`, for the whole
  result: an int8 row takes as long as a half row with half as many elements, and of the 537 MB that 8 H100 gather in
  1,401 us, seven eighths arrive at each of them, at 335 of its link's 450 GB/s.
- `all_reduce_engines`: the all-reduce of a serving engine, which is often its own kernel instead of NCCL's. It is
  predicted as the collective alone. Eager rows contain the time of the host as well, 15 to 20 us on H100 and 38 to 40
  on A100, which the package does not predict; they are a `part` of their own.
- `expert_all_to_all`: the exchange of tokens between the ranks of a mixture of experts, predicted as an all-to-all. In
  low-latency mode a token is sent to each of its experts, in normal mode once to each rank that has any of them. A
  one-byte element has a scale of 4 bytes per 128, and each token 16 bytes of its own. Times to notify are measured
  apart and are not part of the latency. Rows of several nodes are left out, because the catalog has no links between
  nodes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..calls import Call
from ..cases import Group

if TYPE_CHECKING:
    from ..measured import Table

_WIDTHS = {"fp16": 2, "bf16": 2, "int8": 1, "fp8": 1, "fp32": 4}
_NAMES = {
    "half": "fp16", "float16": "fp16", "bfloat16": "bf16", "float": "fp32", "float32": "fp32", "float8_e4m3fn": "fp8",
}  # fmt: skip
_TOKEN_BYTES, _SCALE_BYTES, _SCALE_GROUP = 16, 4, 128


def collectives(table: Table) -> list[Call]:
    """Return the calls of NCCL; `part` is the operation and the number of devices."""
    elements, measured_s = table.integers("elements"), table.seconds()
    found = []
    for key, rows in table.groups("device", "software", "op", "dtype", "gpus"):
        device, software, op, dtype, gpus = key
        name = _NAMES.get(dtype, dtype)
        if name not in _WIDTHS:
            table.problems.add(table.name, "dtype unknown", dtype, len(rows))
            continue
        group = Group(table.name, device, software, dtype, "collective", f"{op} x{gpus}")
        found.append(Call(group, op, name, int(gpus), elements[rows] * _WIDTHS[name], measured_s[rows]))
    return found


def all_reduce_engines(table: Table) -> list[Call]:
    """Return the all-reduces of serving engines; `part` is the way they were launched and the number of devices."""
    size_bytes, measured_s = table.integers("size_bytes"), table.seconds()
    found = []
    for key, rows in table.groups("device", "software", "execution", "dtype", "gpus"):
        device, software, execution, dtype, gpus = key
        name = _NAMES.get(dtype, dtype)
        if name not in _WIDTHS:
            table.problems.add(table.name, "dtype unknown", dtype, len(rows))
            continue
        group = Group(table.name, device, software, dtype, "collective", f"{execution} x{gpus}")
        found.append(Call(group, "all_reduce", name, int(gpus), size_bytes[rows], measured_s[rows]))
    return found


def expert_all_to_all(table: Table) -> list[Call]:
    """Return the exchanges within a node; `part` is the mode, the direction and the number of devices."""
    measured_s = table.seconds()
    found = []
    for key, rows in table.groups("device", "software", "mode", "op", "nodes", "gpus", "element_bytes"):
        device, software, mode, op, nodes, gpus, width = key
        if mode not in ("low_latency", "normal") or width not in ("1", "2"):
            table.problems.add(table.name, "mode or element width unknown", f"{mode} {width}", len(rows))
            continue
        if int(nodes) > 1:
            table.problems.add(table.name, "links between nodes are not in the catalog", f"{nodes} nodes", len(rows))
            continue
        ranks, dtype = int(gpus), "fp8" if width == "1" else "bf16"
        columns = [table.integers(name)[rows] for name in ("tokens_per_gpu", "hidden", "top_k", "experts")]
        tokens, hidden, top_k, experts = columns
        scales = _SCALE_BYTES * hidden // _SCALE_GROUP + _TOKEN_BYTES if width == "1" else 0
        copies = np.array(
            [
                k if mode == "low_latency" else ranks_of_token(int(k), int(count), ranks)
                for k, count in zip(top_k, experts, strict=True)
            ]
        )
        size_bytes = np.rint(tokens * (hidden * int(width) + scales) * copies).astype(np.int64)
        group = Group(table.name, device, software, dtype, "collective", f"{mode} {op} x{ranks}")
        found.append(Call(group, "alltoall", dtype, ranks, size_bytes, measured_s[rows]))
    return found


def ranks_of_token(top_k: int, experts: int, ranks: int) -> float:
    """Return the mean number of ranks that have any of a token's experts, which are drawn without replacement."""
    elsewhere = experts - experts // ranks
    return ranks * (1 - math.comb(elsewhere, top_k) / math.comb(experts, top_k))

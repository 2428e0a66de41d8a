"""`collectives.csv`, `all_reduce_engines.csv` and `expert_all_to_all.csv`: communication between GPUs.

Decisions, with evidence in the data:

- `collectives`: one NCCL call in a node. The message size is `elements` times the width of `dtype`, for the whole
  result: an int8 row takes as long as a half row with half as many elements, and of the 537 MB that 8 H100 gather in
  1,401 us, seven eighths arrive at each of them, at 335 of its link's 450 GB/s.
- `all_reduce_engines`: the all-reduce of a serving engine, which is often its own kernel instead of NCCL's.
  TensorRT-LLM, and SGLang from 0.5.14, push data with flags: two H100 exchange 256 bytes in 2.4 to 2.7 us; vLLM and
  earlier versions of SGLang have barriers (4.2 to 4.5 us). Eager rows end no earlier than the host (20 us on H100, 41
  to 49 on A100) and copy the message first: 1 GiB takes 0.73 ms more than in a graph on H100 and 1.2 ms more on A100,
  which is the time to read and write it once.
- L40S, SGLang 0.5.12: another server than that of the other rows. With eight cards each sends 20 GB/s instead of 2, as
  two do: it has PCIe switches.
- `expert_all_to_all`: the exchange of tokens between the ranks of a mixture of experts, in the modes of DeepEP. A
  one-byte element has a scale of 4 bytes per 128, and each token 16 bytes of its own. Times to notify are measured
  apart and are not part of the latency.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyinfercost.devices import ExpertTokens

from ..calls import Call
from ..cases import Group

if TYPE_CHECKING:
    from ..measured import Table

_WIDTHS = {"fp16": 2, "bf16": 2, "int8": 1, "fp8": 1, "fp32": 4}
_NAMES = {
    "half": "fp16", "float16": "fp16", "bfloat16": "bf16", "float": "fp32", "float32": "fp32", "float8_e4m3fn": "fp8",
}  # fmt: skip
_TOKEN_BYTES, _SCALE_BYTES, _SCALE_GROUP = 16, 4, 128
_PUSHES_FROM = {"sglang": (0, 5, 14), "trtllm": (0,)}
_EXECUTIONS = {"graph": "cuda_graph", "eager": "eager"}
_DIRECT = {("l40s", "sglang 0.5.12")}
"""Servers whose cards have PCIe switches, by device and software."""


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
        found.append(Call(group, op, name, int(gpus), elements[rows] * _WIDTHS[name], measured_s[rows], rows))
    return found


def all_reduce_engines(table: Table) -> list[Call]:
    """Return the all-reduces of serving engines; `part` is the way they were launched and the number of devices."""
    size_bytes, measured_s = table.integers("size_bytes"), table.seconds()
    found = []
    for key, rows in table.groups("device", "software", "execution", "dtype", "gpus"):
        device, software, execution, dtype, gpus = key
        name = _NAMES.get(dtype, dtype)
        if name not in _WIDTHS or execution not in _EXECUTIONS:
            table.problems.add(table.name, "dtype or execution unknown", f"{dtype} {execution}", len(rows))
            continue
        group = Group(table.name, device, software, dtype, "collective", f"{execution} x{gpus}")
        found.append(
            Call(
                group,
                "all_reduce",
                name,
                int(gpus),
                size_bytes[rows],
                measured_s[rows],
                rows,
                kernel=kernel_of(software),
                execution=_EXECUTIONS[execution],
                direct=(device, software) in _DIRECT,
            )
        )
    return found


def kernel_of(software: str) -> str:
    """Return the kernel of an engine's all-reduce: `"push"` or `"engine"`."""
    name, _, version = software.partition(" ")
    first = _PUSHES_FROM.get(name)
    if first is None:
        return "engine"
    numbers = tuple(int(digits) for digits in re.findall(r"\d+", version))
    return "push" if numbers >= first else "engine"


def expert_all_to_all(table: Table) -> list[Call]:
    """Return the exchanges of tokens; `part` is the mode, the direction, the nodes and the number of devices."""
    tokens, measured_s = table.integers("tokens_per_gpu"), table.seconds()
    found = []
    names = ("device", "software", "mode", "op", "nodes", "gpus", "element_bytes", "hidden", "top_k", "experts", "sms")
    for key, rows in table.groups(*names):
        device, software, mode, op, nodes, gpus, width, hidden, top_k, experts, sms = key
        if mode not in ("low_latency", "normal") or op not in ("dispatch", "combine") or width not in ("1", "2"):
            table.problems.add(
                table.name, "mode, direction or element width unknown", f"{mode} {op} {width}", len(rows)
            )
            continue
        elements, dtype = int(hidden), "fp8" if width == "1" else "bf16"
        scales = _SCALE_BYTES * -(-elements // _SCALE_GROUP) + _TOKEN_BYTES if width == "1" else 0
        token_bytes = elements * int(width) + scales
        exchanged = ExpertTokens(token_bytes, int(top_k), int(experts), *([int(sms)] if sms else []))
        group = Group(
            table.name, device, software, dtype, "collective", f"{mode} {op} {nodes}x{int(gpus) // int(nodes)}"
        )
        found.append(
            Call(
                group,
                op,
                dtype,
                int(gpus),
                tokens[rows] * token_bytes,
                measured_s[rows],
                rows,
                nodes=int(nodes),
                kernel=mode,
                tokens=exchanged,
            )
        )
    return found

"""`gemm.csv` and `gemm_power.csv`: one product `[m, k] @ [k, n]` in a serving engine.

Decisions, with evidence in the data:

- Execution is `cuda_graph`: the tables state that a CUDA graph was timed, and the smallest bf16 rows (2.3 to 2.7 us on
  A100, H100, H200) are shorter than a launch from a stream. Rows of TensorRT-LLM on A100 are the exception: they are
  multiples of 1.024 us and none is below 7.2 us, the resolution and the cost of an event timer around a single launch,
  where the smallest bf16 rows of the device take 2.6. They are predicted as `cuda_graph` plus 4.6 us: the timer is not
  a property of the device.
- Rows with power are of kernels that ran until the board's power had settled: 690 of 700 W on H200, where large
  products take a fifth longer than those of the H100 table, the same processor at the same limit. They are predicted
  with `sustained`, the others without.
- bfloat16, float16, float32: `aten.linear` without bias. Its output has the input's dtype.
- int8_wo: `aten._weight_int8pack_mm`; int4_wo: `aten._weight_int4pack_mm` with a scale and a zero point per 128
  weights. One kernel each that dequantizes in registers: long rows of few tokens stream the weight at up to 87 % of the
  bandwidth at one byte and at half a byte per weight.
- sq: `aten._int_mm` with a bf16 result, whose scales are applied in its epilogue. Quantization of the activation is not
  included: their floor is 1 us below that of int8_wo, which quantizes nothing, and for few tokens and a large weight
  they take 0.53 (median) of the time of bf16 for the same product.
- fp8: `aten._scaled_mm` after one kernel that quantizes the activation row by row. Its floor is 2.2 us above that of
  bf16, one launch and not two, so no separate pass computes the scale; and its time grows with the number of rows even
  for rows of 32 elements (16 us at 2,049), so there is one scale per row.
- fp8_block (a scale per 128 values), nvfp4 (one per 16) and mxfp4 (one per 32) are built the same way, by their
  definition.
- `X_static`: the same product of operands that are in X already, without the kernel that quantizes. Rows of MI355X are
  a tuner's: each is the fastest of many kernels. Any other dtype is reported and left out.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from ..cases import Case, Group
from .graphs import NARROW, OpGraph, quantized_rows

if TYPE_CHECKING:
    import pyinfercost as ic

    from ..measured import Table

_INT4_GROUP = 128
_STATIC = "_static"
_TIMER_S = {"trtllm 1.0.0": 4.6e-6}  # of an engine's rows
_PLAIN = ("bfloat16", "float16", "float32")
_ALIASES = {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp32": "float32", "float": "float32"}


def cases(table: Table) -> list[Case]:
    """Return the cases of one table of products."""
    watts = table.watts()
    sizes = {name: table.integers(name) for name in ("m", "n", "k")}
    measured_s = table.seconds()
    found = []
    for (device, software, dtype), rows in table.groups("device", "software", "dtype"):
        graph = product(_ALIASES.get(dtype, dtype))
        if graph is None:
            table.problems.add(table.name, "dtype unknown", dtype, len(rows))
            continue
        group = Group(table.name, device, software, dtype, "cuda_graph")
        columns = {name: values[rows] for name, values in sizes.items()}
        timer_s = _TIMER_S.get(software, 0.0)
        case = Case(group, graph, "native", "cuda_graph", columns, measured_s[rows], rows, dtype, host_s=timer_s)
        if watts is not None:
            case = replace(case, sustained=True, measured_w=watts[rows])
        found.append(case)
    return found


@cache
def product(dtype: str) -> ic.Graph | None:
    """Return the graph of a product; None for an unknown dtype."""
    ops = OpGraph(f"gemm {dtype}")
    m, n, k = (ops.size(name) for name in ("m", "n", "k"))
    if dtype in _PLAIN:
        activation, weight = ops.given(dtype, [m, k]), ops.given(dtype, [n, k], "parameter")
        ops.call("aten.linear", {"input": activation, "weight": weight}, dtype, [m, n])
    elif dtype == "int8_wo":
        arguments = {
            "self": ops.given("bfloat16", [m, k]),
            "mat2": ops.given("int8", [n, k], "parameter"),
            "scales": ops.given("bfloat16", [n], "parameter"),
        }
        ops.call("aten._weight_int8pack_mm", arguments, "bfloat16", [m, n])
    elif dtype == "int4_wo":
        groups = type(k).ceil_div(k, _INT4_GROUP)
        arguments = {
            "self": ops.given("bfloat16", [m, k]),
            "mat2": ops.given("int4", [n, k], "parameter"),
            "qGroupSize": _INT4_GROUP,
            "qScaleAndZeros": ops.given("bfloat16", [groups, n, 2], "parameter"),
        }
        ops.call("aten._weight_int4pack_mm", arguments, "bfloat16", [m, n])
    elif dtype in ("sq", "int8"):
        arguments = {"self": ops.given("int8", [m, k]), "mat2": ops.given("int8", [k, n], "parameter")}
        ops.call("aten._int_mm", arguments, "bfloat16", [m, n])
    elif dtype.removesuffix(_STATIC) in NARROW:
        narrow = NARROW[dtype.removesuffix(_STATIC)]
        if dtype.endswith(_STATIC):
            quantized = ops.given(narrow.dtype, [m, narrow.width(k)])
            scale = ops.given(narrow.scale, [m, narrow.scales(k)])
        else:
            quantized, scale = quantized_rows(ops, ops.given("bfloat16", [m, k]), m, k, narrow)
        arguments = {
            "self": quantized,
            "mat2": ops.given(narrow.dtype, [narrow.width(k), n], "parameter"),
            "scale_a": scale,
            "scale_b": ops.given(narrow.scale, [narrow.scales(k), n], "parameter"),
        }
        ops.call("aten._scaled_mm", arguments, "bfloat16", [m, n])
    else:
        return None
    return ops.build()

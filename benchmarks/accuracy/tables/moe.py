"""`moe.csv`: one fused mixture-of-experts layer on one rank: from routed tokens to their weighted sum.

Decisions, with evidence in the data:

- Execution is `cuda_graph`, as in the other tables of this harness.
- The kernels are those of a serving engine's fused layer: token positions sorted by expert, grouped product with gate
  and up concatenated, gated activation, grouped product down, sum over a token's experts. The product itself gathers
  the tokens. The router is not included.
- `tensor_parallel` divides the experts' width. `expert_parallel` divides the experts; `tokens` are those of all ranks.
- bf16: the activation and the sum process tokens x top_k rows on *every* rank, and rows that the products do not write
  are set to zero. At 16,384 tokens of 8 experts out of 128, 2,048 wide, one rank of 128 takes 889 us although its
  products are 10 GFLOP (15 us). With these passes, predicted / measured above 1,024 tokens is 0.70 on one rank, 0.75 on
  2 to 8, 0.75 on 16 to 64 and 0.77 on 128 and more; without them it falls to 0.11.
- fp8 rows are of another kernel: they scale with a rank's own rows (predicted / measured is 0.21 to 0.23 above 1,024
  tokens at every number of ranks), so activation and sum process these only. They take four to five times the time for
  their FLOPs and bytes, and twice (median) the time of bf16 rows of equal sizes, which no data sheet explains.
- On compute capability 10.x, vLLM calls fused kernels of another library for both dtypes. Rows of B200 follow the rows
  of a rank: with 4,096 tokens of 22 experts and two experts on the rank, 352 of 90,112 rows take 115 us. A regression
  on bytes finds no pass over the activation. Their graphs have no activation, no zeros and no second quantization.
- fp8: `aten._scaled_grouped_mm`, and a kernel that quantizes rows before each product: the floor is 7 us above that of
  bf16.
- Routing determines the number of rows of a rank and the number of its experts that are read, see `routing.py`. The
  imbalance among its experts is not in the graph: tiles of all experts are distributed over the cores together.
- The table does not state whether the activation is gated; it is assumed to be.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pyinfercost.hardware.catalog_names import CATALOG
from pyinfercost.hardware.files import read_device

from ..cases import Case, Group
from .graphs import NARROW, OpGraph, quantized_rows
from .routing import routed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import pyinfercost as ic

    from ..measured import Table

_PLAIN = ("bfloat16", "float16")
_FUSED = 10  # major compute capability of devices with fused kernels


def cases(table: Table) -> list[Case]:
    """Return the cases of the table of mixtures of experts; `part` is the routing."""
    measured_s = table.seconds()
    found = []
    for (device, software, dtype, routing), rows in table.groups("device", "software", "dtype", "routing"):
        if dtype not in (*_PLAIN, *NARROW):
            table.problems.add(table.name, "dtype unknown", dtype, len(rows))
            continue
        fused = _is_fused(device)
        columns = _sizes(table, rows, routing, passes_all=dtype in _PLAIN and not fused)
        if columns is None:
            table.problems.add(table.name, "routing unknown", routing, len(rows))
            continue
        group = Group(table.name, device, software, dtype, "cuda_graph", routing)
        # Two graphs: on one rank, the products write all rows.
        parts = columns["elsewhere"] > 0
        for shared in (False, True):
            some = parts == shared
            if not some.any():
                continue
            sizes = {name: values[some] for name, values in columns.items() if shared or name != "elsewhere"}
            graph = layer(dtype, shared, fused)
            found.append(Case(group, graph, "native", "cuda_graph", sizes, measured_s[rows][some], rows[some], routing))
    return found


def _is_fused(device: str) -> bool:
    capability = read_device(CATALOG / f"{device}.toml", cataloged=True).get("compute.compute_capability")
    return capability is not None and int(float(capability)) == _FUSED


def _sizes(
    table: Table, rows: NDArray[np.int64], routing: str, *, passes_all: bool
) -> dict[str, NDArray[np.int64]] | None:
    """Return the symbolic sizes of the graph on the selected rank; None for an unknown routing.

    Args:
        table: The table.
        rows: The selected rows.
        routing: Distribution of tokens over experts.
        passes_all: Whether activation and sum process the rows of all ranks.
    """

    def column(name: str, default: int | None = None) -> NDArray[np.int64]:
        return table.integers(name, default)[rows]

    tokens, top_k, experts = column("tokens"), column("top_k"), column("experts")
    tensor_parallel, ranks = column("tensor_parallel", 1), column("expert_parallel", 1)
    loads = []
    for point in zip(tokens.tolist(), top_k.tolist(), experts.tolist(), ranks.tolist(), strict=True):
        load = routed(routing, *point)
        if load is None:
            return None
        loads.append(load)
    local_rows = np.minimum(np.array([load.rows for load in loads], dtype=np.int64), tokens * top_k)
    return {
        "tokens": tokens,
        "top_k": top_k,
        "hidden": column("hidden"),
        "intermediate": np.maximum(column("intermediate") // tensor_parallel, 1),
        "experts": np.maximum(experts // ranks, 1),
        "rows": local_rows,
        "used": np.array([load.used for load in loads], dtype=np.int64),
        "passed": tokens * top_k if passes_all else local_rows,
        "elsewhere": np.where(ranks > 1, tokens * top_k - local_rows, 0) * int(passes_all),
    }


@cache
def layer(dtype: str, shared: bool, fused: bool = False) -> ic.Graph:
    """Return the kernels of one layer.

    Args:
        dtype: Dtype of the operands.
        shared: Whether other ranks hold other experts.
        fused: Whether the activation and its quantization are part of the products.
    """
    ops = OpGraph("mixture of experts")
    tokens, top_k, hidden, intermediate = (ops.size(name) for name in ("tokens", "top_k", "hidden", "intermediate"))
    experts, rows, used, passed = (ops.size(name) for name in ("experts", "rows", "used", "passed"))
    narrow = NARROW.get(dtype)
    between = "bfloat16" if narrow else dtype
    chosen = ops.given("int32", [tokens, top_k])
    ops.call("aten.sort", {"self": chosen}, "int32", [tokens * top_k])
    ends = ops.given("int32", [experts])

    def product(width: ic.Expr, result: ic.Expr, scale: object) -> None:
        """Add a product of a row of `width` per pair of token and expert with the expert's [width, result]."""
        if narrow:
            arguments = {
                "self": ops.given(narrow.dtype, [rows, narrow.width(width)]),
                "mat2": ops.given(narrow.dtype, [experts, narrow.width(width), result], "parameter"),
                "scale_a": scale,
                "scale_b": ops.given(narrow.scale, [experts, narrow.scales(width), result], "parameter"),
            }
        else:
            arguments = {
                "self": ops.given(dtype, [rows, width]),
                "mat2": ops.given(dtype, [experts, width, result], "parameter"),
            }
        op = "aten._scaled_grouped_mm" if narrow else "aten._grouped_mm"
        ops.call(op, {**arguments, "offs": ends, "groups_used": used}, between, [rows, result])

    elsewhere = ops.size("elsewhere") if shared else None

    def zeros(width: ic.Expr) -> None:
        """Add the zeroing of rows of experts on other ranks."""
        if elsewhere is not None:
            ops.call("aten.fill.Scalar", {"value": 0}, between, [elsewhere, width])

    source, scale = ops.given(between, [tokens, hidden]), None
    if narrow:
        _, scale = quantized_rows(ops, source, tokens, hidden, narrow)
    product(hidden, 2 * intermediate, scale)
    zeros(2 * intermediate)
    if not fused:
        both = ops.given(between, [passed, 2 * intermediate])
        act = ops.call("aten.glu", {"self": both, "dim": -1}, between, [passed, intermediate])
        if narrow:
            _, scale = quantized_rows(ops, act, passed, intermediate, narrow)
    elif narrow:
        scale = ops.given(narrow.scale, [passed, narrow.scales(intermediate)])
    product(intermediate, hidden, scale)
    zeros(hidden)
    parts = ops.given(between, [passed, hidden])
    ops.call("aten.sum.dim_IntList", {"self": parts, "dim": [0]}, between, [tokens, hidden])
    return ops.build()

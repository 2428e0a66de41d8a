"""`moe.csv`: one fused mixture-of-experts layer on one rank: from routed tokens to their weighted sum.

Decisions, and what in the data speaks for them:

- Execution is `replayed`, as in the other tables of this harness.
- The kernels are those of a serving engine's fused layer: places of tokens sorted by expert, grouped product with
  gate and up side by side, gated activation, grouped product down, sum over a token's experts. Tokens are gathered by
  the product itself. The router is not in the rows.
- `tensor_parallel` divides the experts' width. `expert_parallel` divides the experts; `tokens` are those of all
  ranks.
- The activation and the sum go over tokens x top_k rows on *every* rank, and what the products do not write is set to
  zero: at 16,384 tokens of 8 experts out of 128, 2,048 wide, one rank of 128 takes 889 us where its products are 10
  GFLOP (15 us); three passes over all rows are what is left.
- fp8: `aten._scaled_grouped_mm`, and a kernel that quantises rows before each product: the floor is 7 us above the
  one of bf16.
- Routing decides how many rows a rank gets and how many of its experts are read, see `routing.py`. How uneven they
  are among each other is not in the graph: tiles of all experts are dealt to the cores together.
- Whether the activation is gated is not in the table; it is taken to be.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..cases import Case, Group
from .graphs import BYTE_DTYPES, OpGraph, quantised_rows
from .routing import routed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import pyinfercost as ic

    from ..measured import Table

_DTYPES = ("bfloat16", "float16", "fp8")


def cases(table: Table) -> list[Case]:
    """The cases of the table of mixtures of experts; `part` is the routing."""
    measured_s = table.seconds()
    found = []
    for (device, software, dtype, routing), rows in table.groups("device", "software", "dtype", "routing"):
        if dtype not in _DTYPES:
            table.problems.add(table.name, "dtype unknown", dtype, len(rows))
            continue
        columns = _sizes(table, rows, routing)
        if columns is None:
            table.problems.add(table.name, "routing unknown", routing, len(rows))
            continue
        group = Group(table.name, device, software, dtype, "replayed", routing)
        # Two graphs: on one rank there is nothing that the products leave out.
        parts = columns["elsewhere"] > 0
        for shared in (False, True):
            some = parts == shared
            if not some.any():
                continue
            sizes = {name: values[some] for name, values in columns.items() if shared or name != "elsewhere"}
            graph = layer(dtype, shared)
            found.append(Case(group, graph, "native", "replayed", sizes, measured_s[rows][some], rows[some], routing))
    return found


def _sizes(table: Table, rows: NDArray[np.int64], routing: str) -> dict[str, NDArray[np.int64]] | None:
    """The open sizes of the graph on the rank that is looked at, None for a routing that is not known."""

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
        "elsewhere": np.where(ranks > 1, tokens * top_k - local_rows, 0),
    }


@cache
def layer(dtype: str, shared: bool) -> ic.Graph:
    """The kernels of one layer; `shared`: other ranks hold other experts."""
    ops = OpGraph("mixture of experts")
    tokens, top_k, hidden, intermediate = (ops.size(name) for name in ("tokens", "top_k", "hidden", "intermediate"))
    experts, rows, used = ops.size("experts"), ops.size("rows"), ops.size("used")
    between = "bfloat16" if dtype == "fp8" else dtype
    operand = BYTE_DTYPES[dtype]
    chosen = ops.given("int32", [tokens, top_k])
    ops.call("aten.sort", {"self": chosen}, "int32", [tokens * top_k])
    ends = ops.given("int32", [experts])

    def product(left: ic.Expr, width: ic.Expr, result: ic.Expr, source: object, scale: object) -> object:
        """Rows of `source` times their experts' [width, result]; `left` rows of the source are there to be read."""
        arguments = {
            "self": source,
            "mat2": ops.given(operand, [experts, width, result], "parameter"),
            "offs": ends,
            "groups_used": used,
        }
        if dtype == "fp8":
            arguments |= {"scale_a": scale, "scale_b": ops.given("float32", [experts, result], "parameter")}
        op = "aten._scaled_grouped_mm" if dtype == "fp8" else "aten._grouped_mm"
        return ops.call(op, arguments, between, [rows, result])

    def zeros(width: ic.Expr) -> None:
        """The rows of experts that other ranks hold."""
        if shared:
            ops.call("aten.fill.Scalar", {"value": 0}, between, [ops_elsewhere, width])

    ops_elsewhere = ops.size("elsewhere") if shared else None
    source, scale = ops.given(between, [tokens, hidden]), None
    if dtype == "fp8":
        source, scale = quantised_rows(ops, source, tokens, hidden)
    gathered = ops.given(operand, [rows, hidden])
    product(rows, hidden, 2 * intermediate, gathered, scale)
    zeros(2 * intermediate)
    both = ops.given(between, [tokens * top_k, 2 * intermediate])
    act = ops.call("aten.glu", {"self": both, "dim": -1}, between, [tokens * top_k, intermediate])
    if dtype == "fp8":
        _, scale = quantised_rows(ops, act, tokens * top_k, intermediate)
    product(rows, intermediate, hidden, ops.given(operand, [rows, intermediate]), scale)
    zeros(hidden)
    parts = ops.given(between, [tokens, top_k, hidden])
    ops.call("aten.sum.dim_IntList", {"self": parts, "dim": [1]}, between, [tokens, hidden])
    return ops.build()

"""`moe.csv`: one fused mixture-of-experts layer on one rank: from routed tokens to their weighted sum.

Decisions, and what in the data speaks for them:

- Execution is `cuda_graph`, as in the other tables of this harness.
- The kernels are those of a serving engine's fused layer: places of tokens sorted by expert, grouped product with
  gate and up side by side, gated activation, grouped product down, sum over a token's experts. Tokens are gathered by
  the product itself. The router is not in the rows.
- `tensor_parallel` divides the experts' width. `expert_parallel` divides the experts; `tokens` are those of all
  ranks.
- bf16: the activation and the sum go over tokens x top_k rows on *every* rank, and what the products do not write is
  set to zero. At 16,384 tokens of 8 experts out of 128, 2,048 wide, one rank of 128 takes 889 us where its products
  are 10 GFLOP (15 us). With these passes predicted / measured above 1,024 tokens is 0.70 on one rank, 0.75 on 2 to 8,
  0.75 on 16 to 64 and 0.77 on 128 and more; without them it falls to 0.11.
- fp8 rows are another kernel: they scale with a rank's own rows (predicted / measured is 0.21 to 0.23 above 1,024
  tokens at every number of ranks), so that activation and sum go over these. They take four to five times of what
  their FLOPs and bytes need, and twice
  (median) of what bf16 rows of equal sizes take, which nothing on a data sheet explains.
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
from .graphs import NARROW, OpGraph, quantised_rows
from .routing import routed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import pyinfercost as ic

    from ..measured import Table

_PLAIN = ("bfloat16", "float16")


def cases(table: Table) -> list[Case]:
    """The cases of the table of mixtures of experts; `part` is the routing."""
    measured_s = table.seconds()
    found = []
    for (device, software, dtype, routing), rows in table.groups("device", "software", "dtype", "routing"):
        if dtype not in (*_PLAIN, *NARROW):
            table.problems.add(table.name, "dtype unknown", dtype, len(rows))
            continue
        columns = _sizes(table, rows, routing, passes_all=dtype in _PLAIN)
        if columns is None:
            table.problems.add(table.name, "routing unknown", routing, len(rows))
            continue
        group = Group(table.name, device, software, dtype, "cuda_graph", routing)
        # Two graphs: on one rank there is nothing that the products leave out.
        parts = columns["elsewhere"] > 0
        for shared in (False, True):
            some = parts == shared
            if not some.any():
                continue
            sizes = {name: values[some] for name, values in columns.items() if shared or name != "elsewhere"}
            graph = layer(dtype, shared)
            found.append(Case(group, graph, "native", "cuda_graph", sizes, measured_s[rows][some], rows[some], routing))
    return found


def _sizes(
    table: Table, rows: NDArray[np.int64], routing: str, *, passes_all: bool
) -> dict[str, NDArray[np.int64]] | None:
    """The open sizes of the graph on the rank that is looked at, None for a routing that is not known.

    Args:
        table: the table.
        rows: its rows that are meant.
        routing: how tokens are dealt to experts.
        passes_all: whether activation and sum go over the rows of all ranks.
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
def layer(dtype: str, shared: bool) -> ic.Graph:
    """The kernels of one layer; `shared`: other ranks hold other experts."""
    ops = OpGraph("mixture of experts")
    tokens, top_k, hidden, intermediate = (ops.size(name) for name in ("tokens", "top_k", "hidden", "intermediate"))
    experts, rows, used, passed = (ops.size(name) for name in ("experts", "rows", "used", "passed"))
    narrow = NARROW.get(dtype)
    between = "bfloat16" if narrow else dtype
    chosen = ops.given("int32", [tokens, top_k])
    ops.call("aten.sort", {"self": chosen}, "int32", [tokens * top_k])
    ends = ops.given("int32", [experts])

    def product(width: ic.Expr, result: ic.Expr, scale: object) -> None:
        """A row of `width` for each pair of token and expert, times the expert's [width, result]."""
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
        """The rows of experts that other ranks hold."""
        if elsewhere is not None:
            ops.call("aten.fill.Scalar", {"value": 0}, between, [elsewhere, width])

    source, scale = ops.given(between, [tokens, hidden]), None
    if narrow:
        _, scale = quantised_rows(ops, source, tokens, hidden, narrow)
    product(hidden, 2 * intermediate, scale)
    zeros(2 * intermediate)
    both = ops.given(between, [passed, 2 * intermediate])
    act = ops.call("aten.glu", {"self": both, "dim": -1}, between, [passed, intermediate])
    if narrow:
        _, scale = quantised_rows(ops, act, passed, intermediate, narrow)
    product(intermediate, hidden, scale)
    zeros(hidden)
    parts = ops.given(between, [passed, hidden])
    ops.call("aten.sum.dim_IntList", {"self": parts, "dim": [0]}, between, [tokens, hidden])
    return ops.build()

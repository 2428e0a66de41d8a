"""`attention.csv`: one attention kernel of a serving engine.

Decisions, with evidence in the data:

- `aten.scaled_dot_product_attention` with grouped queries; keys and values are a cache of `context_tokens`.
- Execution is `cuda_graph`, as in the tables of products from the same harness.
- `context` (prefill) is causal: counted dense, the best rows would reach 1.6 times the bf16 peak of an H100; counted
  causal they reach 79 % of it, and 68 % on A100. `query_tokens` equals `context_tokens` in all of them.
- `generation` (decode) is one query token with the cache, not causal.
- `kv_dtype` fp8 halves the bytes of the cache but not the arithmetic: such context rows are 1.2 times *slower* than
  bf16 ones at head size 128, while long decode rows take 0.56 to 0.7 of the time. The query stays bf16.
- A kernel that writes the new keys and values into the cache, in its dtype, runs first: among context rows of 16 to
  64 tokens, a megabyte of keys and values takes 1.35 to 1.45 times as long as one of queries, which are read and
  written once as results: three passes instead of two. With an fp8 cache it takes 1.1 times as long: three passes, two
  of them at half the width.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ..cases import Case, Group
from .graphs import BYTE_DTYPES, OpGraph

if TYPE_CHECKING:
    import pyinfercost as ic

    from ..measured import Table

_SIZES = ("batch", "query_tokens", "context_tokens", "heads", "kv_heads", "head_dim")
_PHASES = ("context", "generation")


def cases(table: Table) -> list[Case]:
    """Return the cases of the table of attention kernels; `part` is the phase."""
    sizes = {name: table.integers(name) for name in _SIZES}
    measured_s = table.seconds()
    found = []
    for key, rows in table.groups("device", "software", "phase", "dtype", "kv_dtype"):
        device, software, phase, dtype, kv_dtype = key
        kv_dtype = kv_dtype or dtype
        if phase not in _PHASES or dtype not in BYTE_DTYPES or kv_dtype not in BYTE_DTYPES:
            table.problems.add(table.name, "phase or dtype unknown", f"{phase} {dtype} {kv_dtype}", len(rows))
            continue
        label = dtype if kv_dtype == dtype else f"{dtype}, kv {kv_dtype}"
        graph = attention(phase == "context", BYTE_DTYPES[dtype], BYTE_DTYPES[kv_dtype])
        columns = {name: values[rows] for name, values in sizes.items()}
        group = Group(table.name, device, software, label, "cuda_graph", phase)
        found.append(Case(group, graph, "native", "cuda_graph", columns, measured_s[rows], rows, phase))
    return found


@cache
def attention(causal: bool, dtype: str, kv_dtype: str) -> ic.Graph:
    """Return the graph of attention of `heads` query heads over `kv_heads` cached ones."""
    ops = OpGraph("attention")
    batch, query, context, heads, kv_heads, width = (ops.size(name) for name in _SIZES)
    cached = [batch, kv_heads, context, width]
    arguments = {
        "self": ops.given(kv_dtype, [2, *cached], "kv_cache"),
        "dim": 3,
        "index": ops.given("int64", [query]),
        "source": ops.given(dtype, [2, batch, kv_heads, query, width]),
    }
    ops.call("aten.index_copy_", arguments, kv_dtype, [2, *cached])
    arguments = {
        "query": ops.given(dtype, [batch, heads, query, width]),
        "key": ops.given(kv_dtype, [*cached], "kv_cache"),
        "value": ops.given(kv_dtype, [*cached], "kv_cache"),
        "is_causal": causal,
        "enable_gqa": True,
    }
    ops.call("aten.scaled_dot_product_attention", arguments, dtype, [batch, heads, query, width])
    return ops.build()

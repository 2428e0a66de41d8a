"""`llm_layers.csv`: one operator of a decoder layer on one of several tensor-parallel workers, fp16.

Decisions, with evidence in the data:

- Execution is `cuda_graph`: times are sums over kernels in a profiler's trace, in whole or half us, and the smallest
  (add 1 us, activation 2 us, norm 4 us) leave no room for gaps between launches.
- Shapes: queries, keys and values are one product, of (n_head + 2 n_kv_head) heads divided over the workers; gate and
  up are one product with `use_gated_mlp`: at one token Llama-2-70b on one worker reads 0.94 GB of weights in 580 us, at
  80 % of the bandwidth. Row-parallel products (`attn_post_proj`, `mlp_down_proj`) divide k, column-parallel ones n.
  Norms, residual sums and the embedding's width are not divided; the embedding's vocabulary is.
- The norm is RMSNorm with a gated MLP (the Llama family), else LayerNorm (phi-2).
- phi-2 runs attention and MLP in parallel, with two sums for its residual: 4 us at one token instead of 2.
- Norms, gated activations and the rotary embedding are vLLM's own kernels (`_C.rms_norm`, `_C.silu_and_mul`,
  `_C.rotary_embedding`): their time is that of one thread block for one token, 22 us at one token.
- Rows at equal sizes are repeats and differ by 1 to 2 %.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..cases import Case, Group
from .graphs import OpGraph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import pyinfercost as ic

    from ..measured import Table

_DTYPE = "float16"
_POSITIONS = 4096  # rows of the table of angles; the number does not affect the time
_PRODUCTS = ("attn_pre_proj", "attn_post_proj", "mlp_up_proj", "mlp_down_proj")
_NORMS = ("input_layernorm", "post_attention_layernorm")

Columns = dict[str, "NDArray[np.int64]"]


def cases(table: Table) -> list[Case]:
    """Return the cases of the table of layers; `part` is the operator."""
    measured_s = table.seconds()
    found = []
    for (device, software, precision, op, gated), rows in table.groups(
        "device", "software", "precision", "op", "use_gated_mlp"
    ):
        graph = layer_op(op, gated == "True")
        if graph is None:
            table.problems.add(table.name, "op unknown", op, len(rows))
            continue
        columns = _sizes(table, op, rows, gated=gated == "True")
        group = Group(table.name, device, software, precision or "fp16", "cuda_graph", op)
        found.append(Case(group, graph, precision or "native", "cuda_graph", columns, measured_s[rows], rows, op))
    return found


def _sizes(table: Table, op: str, rows: NDArray[np.int64], *, gated: bool) -> Columns:
    """Return the symbolic sizes of an operator's graph on one worker."""

    def column(name: str) -> NDArray[np.int64]:
        return table.integers(name)[rows]

    tokens, workers, width = column("num_tokens"), column("num_tensor_parallel_workers"), column("n_embd")
    head_width = width // column("n_head")
    heads = column("n_head") // workers
    kv_heads = np.maximum(column("n_kv_head") // workers, 1)
    hidden = column("n_expanded_embd") // workers
    if op == "attn_pre_proj":
        return {"m": tokens, "n": (heads + 2 * kv_heads) * head_width, "k": width}
    if op == "attn_post_proj":
        return {"m": tokens, "n": width, "k": heads * head_width}
    if op == "mlp_up_proj":
        return {"m": tokens, "n": hidden * (2 if gated else 1), "k": width}
    if op == "mlp_down_proj":
        return {"m": tokens, "n": width, "k": hidden}
    if op == "mlp_act":
        return {"tokens": tokens, "width": hidden}
    if op == "attn_rope":
        return {"tokens": tokens, "heads": heads + kv_heads, "head_width": head_width}
    if op == "emb":
        return {"tokens": tokens, "width": width, "vocabulary": -(-column("vocab_size") // workers)}
    return {"tokens": tokens, "width": width}


@cache
def layer_op(op: str, gated: bool) -> ic.Graph | None:
    """Return the graph of one operator of a layer; None for an unknown one."""
    ops = OpGraph(op)
    if op in _PRODUCTS:
        m, n, k = (ops.size(name) for name in ("m", "n", "k"))
        arguments = {"input": ops.given(_DTYPE, [m, k]), "weight": ops.given(_DTYPE, [n, k], "parameter")}
        ops.call("aten.linear", arguments, _DTYPE, [m, n])
        return ops.build()
    tokens = ops.size("tokens")
    if op == "attn_rope":
        heads, head_width = ops.size("heads"), ops.size("head_width")
        arguments = {
            "positions": ops.given("int64", [tokens]),
            "query": ops.given(_DTYPE, [tokens, heads, head_width]),
            "cos_sin_cache": ops.given(_DTYPE, [_POSITIONS, head_width]),
        }
        ops.call("_C.rotary_embedding", arguments, _DTYPE, [tokens, heads, head_width])
        return ops.build()
    width = ops.size("width")
    result = [tokens, width]
    if op == "add":
        total = ops.given(_DTYPE, [*result])
        for _ in range(1 if gated else 2):
            total = ops.call("aten.add.Tensor", {"self": total, "other": ops.given(_DTYPE, [*result])}, _DTYPE, result)
    elif op == "mlp_act":
        if gated:
            ops.call("_C.silu_and_mul", {"input": ops.given(_DTYPE, [tokens, 2 * width])}, _DTYPE, result)
        else:
            ops.call("_C.gelu_new", {"input": ops.given(_DTYPE, [*result])}, _DTYPE, result)
    elif op == "emb":
        vocabulary = ops.size("vocabulary")
        weight = ops.given(_DTYPE, [vocabulary, width], "parameter")
        arguments = {"weight": weight, "indices": ops.given("int64", [tokens])}
        ops.call("aten.embedding", arguments, _DTYPE, result)
    elif op in _NORMS:
        arguments = {
            "input": ops.given(_DTYPE, [*result]),
            "weight": ops.given(_DTYPE, [width], "parameter"),
        }
        if gated:
            ops.call("_C.rms_norm", arguments, _DTYPE, result)
        else:
            arguments["bias"] = ops.given(_DTYPE, [width], "parameter")
            ops.call("aten.layer_norm", {**arguments, "normalized_shape": [width]}, _DTYPE, result)
    else:
        return None
    return ops.build()

"""`tpu_layers.csv`: one layer of a language model at `tokens` tokens on one chip, bf16, compiled.

Decisions, with evidence in the data:

- Shapes are those of the model's config in `recipes/transformers_models.json`. `q_proj` is the product of the queries
  alone: at 2 tokens it takes 22.6 us, and its 34 MB of weights at the data sheet's bandwidth 20.5 us; with keys and
  values they would take 30.7 us. `gate_proj`, `up_proj`, `down_proj` and `lm_head` are their products alone.
- Times are of a profiler on the device, so the execution is `compiled`, without host time.
- Norms and `rope` below 0.6 us are left out: the compiler fused them into another kernel, and what remains is less than
  the time of any kernel of their size. So are `post_layernorm` and `final_layernorm` if they usually take less than
  half of `input_layernorm`, which has their shape: `final_layernorm` takes 1.03 us at 256 and at 2,048 tokens, and
  `input_layernorm` 1.33 and 7.1 us.
- `o_proj` takes 5.3 us up to 17 tokens, a quarter of the time in which its weights can be read: they stay in VMEM.
  These rows are judged.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cases import Case, Group
from ..recipes import config_of
from .graphs import OpGraph

if TYPE_CHECKING:
    import pyinfercost as ic

    from ..measured import Table

_DTYPE = "bfloat16"
_FUSED_S = 0.6e-6
_FUSED_SHARE = 0.5
_LIKE_INPUT = ("post_layernorm", "final_layernorm")
_FUSIBLE = ("input_layernorm", "post_layernorm", "final_layernorm", "rope", "act_fn")


def cases(table: Table) -> list[Case]:
    """Return the cases of the table of layers; `part` is the layer."""
    tokens, measured_s = table.integers("tokens"), table.seconds()
    found = []
    input_s = {
        (device, software, model, int(tokens[row])): measured_s[row]
        for (device, software, model, layer), rows in table.groups("device", "software", "model", "layer")
        if layer == "input_layernorm"
        for row in rows
    }
    for (device, software, model, layer), rows in table.groups("device", "software", "model", "layer"):
        config = config_of(model)
        if config is None:
            table.problems.add(table.name, "it has no config", model, len(rows))
            continue
        widths = _widths(config).get(layer)
        if widths is None:
            table.problems.add(table.name, "layer unknown", layer, len(rows))
            continue
        kept = rows[measured_s[rows] >= _FUSED_S] if layer in _FUSIBLE else rows
        if layer in _LIKE_INPUT:
            alike_s = [input_s.get((device, software, model, int(tokens[row])), np.nan) for row in kept]
            ratios = measured_s[kept] / alike_s
            known = ratios[np.isfinite(ratios)]
            if len(known) and np.median(known) < _FUSED_SHARE:
                kept = kept[:0]
        if len(kept) < len(rows):
            table.problems.add(table.name, "fused into another kernel", layer, len(rows) - len(kept))
        if len(kept):
            group = Group(table.name, device, software, "bf16", "compiled", layer)
            sizes = {"tokens": tokens[kept]}
            found.append(
                Case(group, layer_graph(layer, *widths), "native", "compiled", sizes, measured_s[kept], kept, layer)
            )
    return found


def _widths(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Return the two widths of every layer: of the input and the result of a product, else of what it works on."""
    hidden, inner, heads = (config[name] for name in ("hidden_size", "intermediate_size", "num_attention_heads"))
    head = config.get("head_dim") or hidden // heads
    norms = dict.fromkeys(("input_layernorm", "post_layernorm", "final_layernorm"), (hidden, hidden))
    return {
        **norms,
        "embedding": (config["vocab_size"], hidden),
        "rope": (heads + config["num_key_value_heads"], head),
        "q_proj": (hidden, heads * head),
        "o_proj": (heads * head, hidden),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "act_fn": (inner, inner),
        "down_proj": (inner, hidden),
        "lm_head": (hidden, config["vocab_size"]),
    }


@cache
def layer_graph(layer: str, first: int, second: int) -> ic.Graph:
    """Return the graph of a layer of two widths, see `_widths`."""
    ops = OpGraph(layer)
    tokens = ops.size("tokens")
    result: list[int | ic.Expr] = [tokens, second]
    if layer.endswith(("_proj", "lm_head")):
        arguments = {
            "input": ops.given(_DTYPE, [tokens, first]),
            "weight": ops.given(_DTYPE, [second, first], "parameter"),
        }
        ops.call("aten.linear", arguments, _DTYPE, result)
    elif layer == "embedding":
        weight = ops.given(_DTYPE, [first, second], "parameter")
        ops.call("aten.embedding", {"weight": weight, "indices": ops.given("int32", [tokens])}, _DTYPE, result)
    elif layer == "rope":
        values, rotated = (ops.given(_DTYPE, [tokens, first, second]) for _ in range(2))
        angles = [ops.given(_DTYPE, [tokens, 1, second]) for _ in range(2)]
        parts = [
            ops.call("aten.mul.Tensor", {"self": value, "other": angle}, _DTYPE, [tokens, first, second])
            for value, angle in zip((values, rotated), angles, strict=True)
        ]
        ops.call("aten.add.Tensor", {"self": parts[0], "other": parts[1]}, _DTYPE, [tokens, first, second])
    elif layer == "act_fn":
        act = ops.call("aten.silu", {"self": ops.given(_DTYPE, [*result])}, _DTYPE, result)
        ops.call("aten.mul.Tensor", {"self": act, "other": ops.given(_DTYPE, [*result])}, _DTYPE, result)
    else:
        arguments = {
            "input": ops.given(_DTYPE, [*result]),
            "normalized_shape": [second],
            "weight": ops.given(_DTYPE, [second], "parameter"),
        }
        ops.call("aten.rms_norm", arguments, _DTYPE, result)
    return ops.build()

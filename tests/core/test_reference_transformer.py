"""Attention and encoder layers, flex attention, lists of tensors, compared with counting definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.reference import Array, Tally, apply, attention, numbers
from support.reference_elements import POINTWISE
from support.reference_rows import layer_norm
from support.reference_special import SPECIAL
from support.single_node import FLOAT32, T, work_of

from pyinfercost import _core

BATCH, LENGTH, KEYS, WIDTH, HEADS, HIDDEN = 2, 3, 5, 4, 2, 7


def project(tally: Tally, x: Array, width: int, outputs: int) -> Array:
    with tally.part("contraction"):
        result = np.matmul(x, numbers(tally, (width, outputs)))
    return result + numbers(tally, (outputs,))


def split(x: Array) -> Array:
    batch, length, width = x.shape
    return x.reshape(batch, length, HEADS, width // HEADS).transpose(0, 2, 1, 3)


def attend(tally: Tally, x: Array, keys: Array, masked: bool) -> Array:
    """Projections, attention, and the projection of its result."""
    query, key, value = (split(project(tally, t, WIDTH, WIDTH)) for t in (x, keys, keys))
    mask = numbers(tally, (x.shape[1], keys.shape[1])) if masked else None
    with tally.part("contraction"):
        result = attention(query, key, value, mask=mask)
    return project(tally, result.transpose(0, 2, 1, 3).reshape(x.shape), WIDTH, WIDTH)


WEIGHTS = {
    "qkv_weight": T((3 * WIDTH, WIDTH)),
    "qkv_bias": T((3 * WIDTH,)),
    "proj_weight": T((WIDTH, WIDTH)),
    "proj_bias": T((WIDTH,)),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("keys", [LENGTH, KEYS])
def test_attention_layer(keys: int, masked: bool) -> None:
    tally = Tally()
    attend(tally, numbers(tally, (BATCH, LENGTH, WIDTH)), numbers(tally, (BATCH, keys, WIDTH), 1), masked)
    memory = T((BATCH, keys, WIDTH))
    given: dict[str, Any] = {"query": T((BATCH, LENGTH, WIDTH)), "key": memory, "value": memory, "num_head": HEADS}
    given |= WEIGHTS | ({"mask": T((LENGTH, keys))} if masked else {}) | {"need_weights": False}
    work = work_of("aten._native_multi_head_attention", given, T((BATCH, LENGTH, WIDTH)))
    assert (work.contraction_flops, work.pointwise_flops) == (2 * tally.multiplications, tally.pointwise)
    # Projections, scores before and after the softmax, and the heads' results are written and read between kernels.
    between = BATCH * (2 * LENGTH + 2 * keys) * WIDTH + 2 * BATCH * HEADS * LENGTH * keys
    weights = 4 * WIDTH * WIDTH + 4 * WIDTH
    mask = LENGTH * keys if masked else 0
    assert work.bytes_read == FLOAT32 * (BATCH * (LENGTH + 2 * keys) * WIDTH + weights + mask + between)
    assert work.bytes_written == FLOAT32 * (BATCH * LENGTH * WIDTH + between)


@pytest.mark.parametrize("gelu", [False, True])
def test_encoder_layer(gelu: bool) -> None:
    tally = Tally()
    x = numbers(tally, (BATCH, LENGTH, WIDTH))
    x = x + attend(tally, x, x, masked=False)
    rows = [layer_norm(list(row), row, row) for row in x.reshape(-1, WIDTH)]
    hidden = project(tally, np.array(rows, dtype=object), WIDTH, HIDDEN)
    for value in hidden.flat:
        _ = 0.5 * (value * (1 + apply("erf", value * 0.7071))) if gelu else apply("maximum", value, 0.0)
    result = np.array(rows, dtype=object) + project(tally, hidden, HIDDEN, WIDTH)
    for row in result:
        layer_norm(list(row), row, row)
    given: dict[str, Any] = {"src": T((BATCH, LENGTH, WIDTH)), "num_heads": HEADS, "use_gelu": gelu} | WEIGHTS
    given |= {f"norm_{kind}_{i}": T((WIDTH,)) for i in (1, 2) for kind in ("weight", "bias")}
    given |= {"ffn_weight_1": T((HIDDEN, WIDTH)), "ffn_bias_1": T((HIDDEN,))}
    given |= {"ffn_weight_2": T((WIDTH, HIDDEN)), "ffn_bias_2": T((WIDTH,))}
    work = work_of("aten._transformer_encoder_layer_fwd", given, T((BATCH, LENGTH, WIDTH)))
    assert (work.contraction_flops, work.pointwise_flops) == (2 * tally.multiplications, tally.pointwise)


def test_flex_attention() -> None:
    tally, seen = Tally("contraction"), Tally("contraction")
    shapes = [(1, 4, 4, 3), (1, 2, 6, 3), (1, 2, 6, 5)]
    attention(*(numbers(tally, s) for s in shapes))
    # Blocks of 2 x 2: the last two of the first row of blocks are left out.
    attention(*(numbers(seen, s) for s in shapes), seen=lambda row, column: row >= 2 or column < 2)
    given: dict[str, Any] = {name: T(s) for name, s in zip(("query", "key", "value"), shapes, strict=True)}
    work = work_of("higher_order.flex_attention", given, T((1, 4, 4, 5)), T((1, 4, 4)))
    assert work.contraction_flops == work.causal_flops == 2 * tally.multiplications
    assert work.pointwise_flops == tally.pointwise
    masked = work_of("higher_order.flex_attention", given | {"seen_scores": 4 * 4}, T((1, 4, 4, 5)), T((1, 4, 4)))
    assert (masked.contraction_flops, masked.causal_flops) == (work.contraction_flops, 2 * seen.multiplications)


# ---- lists -----------------------------------------------------------------------------------------------------------

LISTS = [rule.op for rule in _core.rules() if rule.family == "foreach"]
MOVING = {f"aten._foreach_{name}" for name in ("zero", "copy", "clone")}
REDUCING = {"aten._foreach_norm": 2, "aten._foreach_max": 1}


@pytest.mark.parametrize("op", [op for op in LISTS if op not in MOVING | set(REDUCING)])
def test_each_tensor_of_a_list(op: str) -> None:
    definition = next(
        d for d in (*POINTWISE, *SPECIAL) if d.op == op.replace("_foreach_", "") and "rounding_mode" not in d.attributes
    )
    tally = Tally()
    definition(*(numbers(tally, (1,), i)[0] for i in range(len(definition.tensors))))
    shapes = [T((2, 3)), T((4,))]
    given: dict[str, Any] = {name: list(shapes) for name in definition.tensors}
    work = work_of(op, given, *shapes)
    assert work.pointwise_flops == 10 * tally.pointwise > 0
    assert (work.bytes_read, work.bytes_written) == (FLOAT32 * 10 * len(definition.tensors), FLOAT32 * 10)
    assert work_of(f"{op}_", given, *shapes).pointwise_flops == work.pointwise_flops


@pytest.mark.parametrize("op", sorted(MOVING))
def test_lists_that_only_move(op: str) -> None:
    given: dict[str, Any] = {"self": [T((2, 3)), T((4,))]}
    given |= {"src": [T((2, 3)), T((4,))]} if "copy" in op else {}
    work = work_of(op, given, T((2, 3)), T((4,)))
    assert (work.pointwise_flops, work.bytes_written) == (0, FLOAT32 * 10)
    assert work.bytes_read == (0 if "zero" in op else FLOAT32 * 10)


@pytest.mark.parametrize("op", REDUCING)
def test_reductions_of_lists(op: str) -> None:
    assert work_of(op, {"self": [T((2, 3)), T((4,))]}, T(()), T(())).pointwise_flops == 10 * REDUCING[op]


def test_every_row_is_among_the_cases() -> None:
    rows = {rule.op for rule in _core.rules() if rule.family == "transformer"}
    layers = {f"aten.{name}" for name in ("_native_multi_head_attention", "_transformer_encoder_layer_fwd")}
    assert rows == layers | {"higher_order.flex_attention"}

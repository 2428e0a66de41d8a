"""All attention operators compared with their definition: 2 FLOPs per multiplication."""

from __future__ import annotations

from typing import Any

import pytest
from support.reference import Tally, attention, numbers
from support.single_node import T, work_of

from pyinfercost import _core


def operands_of(tally: Tally, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    return {name: numbers(tally, shape) for name, shape in shapes.items()}


LENGTH_FIRST = ["aten._flash_attention_forward", "aten._efficient_attention_forward"]
ATTENTION = [rule.op for rule in _core.rules() if rule.family == "attention" and rule.op not in LENGTH_FIRST]


@pytest.mark.parametrize(
    ("heads", "key_heads", "rows", "columns", "width", "value_width"),
    [(2, 2, 4, 4, 3, 3), (4, 2, 3, 5, 2, 2), (4, 1, 1, 6, 3, 3), (2, 2, 5, 3, 2, 4)],
    ids=["self", "grouped-query", "one-row-multi-query", "wide-value"],
)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("op", ATTENTION)
def test_attention(
    op: str, masked: bool, heads: int, key_heads: int, rows: int, columns: int, width: int, value_width: int
) -> None:
    tally = Tally("contraction")
    shapes = {
        "query": (2, heads, rows, width),
        "key": (2, key_heads, columns, width),
        "value": (2, key_heads, columns, value_width),
    }
    operands = operands_of(tally, shapes)
    mask = numbers(tally, (rows, columns)) if masked else None
    result = attention(*operands.values(), mask=mask)
    given: dict[str, Any] = {name: T(shape) for name, shape in shapes.items()} | {"enable_gqa": heads != key_heads}
    work = work_of(op, given | ({"attn_mask": T((rows, columns))} if masked else {}), T(result.shape))
    assert work.contraction_flops == work.causal_flops == 2 * tally.multiplications > 0
    assert work.pointwise_flops == tally.pointwise
    # A row sees the columns up to its own number; what is skipped is a figure of its own.
    seen = Tally("contraction")
    attention(*operands_of(seen, shapes).values(), seen=lambda row, column: column <= row)
    causal = work_of(op, given | {"is_causal": True}, T(result.shape))
    assert causal.contraction_flops == work.contraction_flops
    assert causal.causal_flops == 2 * seen.multiplications < work.contraction_flops


HEADS, WIDTH = 2, 3


@pytest.mark.parametrize("op", LENGTH_FIRST)
def test_lengths_before_heads(op: str) -> None:
    """[batch, length, heads, width], and all sequences in one row with their bounds: two of four tokens each."""
    tally, seen, last = Tally("contraction"), Tally("contraction"), Tally("contraction")
    shapes = {name: (2, HEADS, 4, WIDTH) for name in ("query", "key", "value")}
    attention(*operands_of(tally, shapes).values())
    attention(*operands_of(seen, shapes).values(), seen=lambda row, column: column <= row)
    laid_out = {name: T((2, 4, HEADS, WIDTH)) for name in shapes}
    work = work_of(op, laid_out, T((2, 4, HEADS, WIDTH)))
    assert work.contraction_flops == work.causal_flops == 2 * tally.multiplications
    bounds = "cum_seq_q" if "flash" in op else "cu_seqlens_q"
    packed = {name: T((8, HEADS, WIDTH)) for name in shapes} | {bounds: T((3,), "int32")}
    same = work_of(op, packed, T((8, HEADS, WIDTH)))
    assert same.contraction_flops == work.contraction_flops
    causal: dict[str, Any] = {"is_causal": True} if "flash" in op else {"custom_mask_type": 1}
    assert work_of(op, packed | causal, T((8, HEADS, WIDTH))).causal_flops == 2 * seen.multiplications
    if "efficient" in op:
        # Two queries at the end of six keys: the last one sees all.
        short = {name: (1, HEADS, 2 if name == "query" else 6, WIDTH) for name in shapes}
        attention(*operands_of(last, short).values(), seen=lambda row, column: column <= row + 4)
        given = {name: T((1, s[2], HEADS, WIDTH)) for name, s in short.items()}
        work = work_of(op, given | {"custom_mask_type": 2}, T((1, 2, HEADS, WIDTH)))
        assert work.causal_flops == 2 * last.multiplications


def test_dropout_of_the_shares() -> None:
    shapes = {name: T((2, HEADS, 4, WIDTH)) for name in ("query", "key", "value")}
    plain = work_of("aten.scaled_dot_product_attention", shapes | {"dropout_p": 0.0}, T((2, HEADS, 4, WIDTH)))
    dropped = work_of("aten.scaled_dot_product_attention", shapes | {"dropout_p": 0.1}, T((2, HEADS, 4, WIDTH)))
    # Drawn and compared, masked, and made up for: 3 per score.
    assert dropped.pointwise_flops - plain.pointwise_flops == 3 * 2 * HEADS * 4 * 4

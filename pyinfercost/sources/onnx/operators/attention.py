"""Attention: ONNX's operator and the fused ones of ONNX Runtime, as projections, embeddings, caches and kernels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ..op import CONTRIB, Op, Result, handles
from ..shapes import plain
from ..stored import OnnxError
from ..values import Size, Value
from .contractions import multiplied
from .elementwise import of_two, with_bias
from .movement import joined, part_of, permuted, reshaped

_HEADS_APART = 4  # dimensions of [batch, heads, length, width]


def heads_of(op: Op, x: Value, heads: int) -> Value:
    """Return [batch, length, heads * width] as [batch, heads, length, width]."""
    if heads < 1:
        raise OnnxError(f"has {heads} heads; expected 1 or more")
    batch, length, width = x.shape
    apart = reshaped(op, x, [batch, length, heads, plain(width // heads)], inner=True)
    return permuted(op, apart, [0, 2, 1, 3], inner=True)


def joined_heads(op: Op, x: Value) -> Value:
    """Return [batch, heads, length, width] as [batch, length, heads * width]."""
    batch, heads, length, width = x.shape
    moved = permuted(op, x, [0, 2, 1, 3], inner=True)
    return reshaped(op, moved, [batch, length, plain(heads * width)])


def attend(
    op: Op, q: Value, k: Value, v: Value, *, mask: Value | None = None, causal: bool = False, window: int = 0
) -> Value:
    """Emit the kernel of attention: q [batch, heads, length, width], k and v with as many heads or fewer."""
    arguments: dict[str, Any] = {"query": q, "key": k, "value": v}
    if mask is not None:
        arguments["attn_mask"] = mask
    if causal and q.shape[2] == k.shape[2]:
        arguments["is_causal"] = True
    elif causal:
        arguments["custom_mask_type"] = 2  # the last row attends to all keys
    if causal and window > 0:
        arguments["window"] = window
    if q.shape[1] != k.shape[1]:
        arguments["enable_gqa"] = True
    shape = (*q.shape[:3], v.shape[3])
    return op.inner("aten.scaled_dot_product_attention.default", arguments, q.dtype, shape)


def cached(op: Op, past: Value | None, new: Value, place: int, length: Size | None = None) -> Value:
    """Return the keys or values after the entries of a cache, [batch, heads, length, width].

    Args:
        op: The operator.
        past: The cache.
        new: Keys or values of the new tokens.
        place: Which result of the operator they are.
        length: Length of the result where cache and result share their memory; the new ones are written into it.
    """
    if past is None:
        return new
    if length is not None and length == past.shape[2]:
        result = op.result(past.dtype, past.shape, place=place)
        return op.emit("aten.slice_scatter.default", {"self": past, "src": new, "dim": 2}, result)
    return joined(op, [past, new], 2, place=place)


@handles("Attention")
def attention(op: Op) -> Sequence[Result]:
    q, k, v = op[0], op[1], op[2]
    flat = q.rank != _HEADS_APART
    if flat:
        q = heads_of(op, q, op.integer("q_num_heads"))
        k, v = (heads_of(op, x, op.integer("kv_num_heads")) for x in (k, v))
    for x in (q, k, v):
        if x.rank != _HEADS_APART:
            raise OnnxError(f"has an operand of {x.rank} dimensions; expected 3 or 4")
    k, v = (cached(op, op.get(4 + i), x, 1 + i) for i, x in enumerate((k, v)))
    if op.wants(3):
        result, scores = with_scores(op, q, k, v, op.get(3), op.integer("qk_matmul_output_mode"))
    else:
        result, scores = attend(op, q, k, v, mask=op.get(3), causal=bool(op.integer("is_causal"))), None
    results: list[Result] = [joined_heads(op, result) if flat else result, k, v, scores]
    return results[: max(1, len(op.output_names))]


_SCORES_AS_MULTIPLIED, _SCORES_AFTER_MASK, _SCORES_AFTER_SOFTMAX = 0, 1, 3


def with_scores(op: Op, q: Value, k: Value, v: Value, mask: Value | None, mode: int) -> tuple[Value, Value]:
    """Emit attention whose scores are a result, too: as two products and a softmax, since no kernel returns them.

    Args:
        op: The operator.
        q: [batch, heads, length, width].
        k: [batch, heads or fewer, length of keys, width].
        v: [batch, as many heads, length of keys, width].
        mask: Addend of scores; None for nothing.
        mode: Which scores are returned: 0 as they are multiplied, 3 after the softmax, else before it.

    Returns:
        The result and the scores.
    """
    if q.shape[1] != k.shape[1]:
        repeats = plain(q.shape[1] // k.shape[1])
        k, v = (
            op.inner(
                "aten.repeat_interleave.self_int", {"self": x, "repeats": repeats, "dim": 1}, x.dtype,
                (x.shape[0], q.shape[1], *x.shape[2:]),
            )
            for x in (k, v)
        )  # fmt: skip
    shape = (*q.shape[:3], k.shape[2])
    if mode not in (_SCORES_AS_MULTIPLIED, _SCORES_AFTER_SOFTMAX):
        mode = _SCORES_AS_MULTIPLIED if mask is None else _SCORES_AFTER_MASK

    def made(step: int, name: str, arguments: dict[str, Any]) -> Value:
        returned = step == mode
        return op.emit(name, arguments, op.result(q.dtype, shape, place=3) if returned else Value(q.dtype, shape))

    turned = permuted(op, k, [0, 1, 3, 2], inner=True)
    scores = made(_SCORES_AS_MULTIPLIED, "aten.matmul.default", {"self": q, "other": turned})
    masked = scores if mask is None else made(_SCORES_AFTER_MASK, "aten.add.Tensor", {"self": scores, "other": mask})
    shares = made(_SCORES_AFTER_SOFTMAX, "aten.softmax.int", {"self": masked, "dim": -1})
    result = op.inner("aten.matmul.default", {"self": shares, "other": v}, q.dtype, (*q.shape[:3], v.shape[3]))
    return result, {_SCORES_AS_MULTIPLIED: scores, _SCORES_AFTER_SOFTMAX: shares}.get(mode, masked)


@handles("Attention", "QAttention", domain=CONTRIB)
def contrib_attention(op: Op) -> Sequence[Result]:
    x, weight, bias = op[0], op[1], op.get(2)
    quantized = op.type == "QAttention"
    past, mask = (op.get(8), op.get(5)) if quantized else (op.get(4), op.get(5))
    heads = op.integer("num_heads")
    widths: list[Size] = [*(op.integers("qkv_hidden_sizes") or [])] or [plain(weight.shape[1] // 3)] * 3
    if quantized:
        if weight.stored is None:
            raise OnnxError("has no stored weight")
        arguments: dict[str, Any] = {"X": x, "weight": op.walker.emitter.linear_weight(weight)}
        if bias is not None:
            arguments["bias"] = bias
        shape = (*x.shape[:2], weight.shape[1])
        all_three = op.inner("quantized.linear.default", arguments, op[3].dtype, shape)
    elif bias is not None and weight.is_weight:
        arguments = {"input": x, "weight": op.walker.emitter.linear_weight(weight), "bias": bias}
        all_three = op.inner("aten.linear.default", arguments, x.dtype, (*x.shape[:2], weight.shape[1]))
    else:
        all_three = with_bias(op, multiplied(op, x, weight), bias)
    start: Size = 0
    parts = []
    for width in widths:
        parts.append(heads_of(op, part_of(op, all_three, 2, start, width), heads))
        start = plain(start + width)
    q, k, v = parts
    present: Result = None
    if past is not None:
        old = []
        for place in range(2):
            shape = past.shape[1:]
            old.append(op.emit("aten.select.int", {"self": past, "dim": 0, "index": place}, Value(past.dtype, shape)))
        k, v = (joined(op, [was, now], 2, inner=True) for was, now in zip(old, (k, v), strict=True))
    if op.wants(1):
        made = op.result(x.dtype, (2, *k.shape), place=1)
        present = op.emit("aten.stack.default", {"tensors": [k, v], "dim": 0}, made)
    result = attend(op, q, k, v, mask=mask, causal=bool(op.integer("unidirectional")))
    return [joined_heads(op, result), present][: max(1, len(op.output_names))]


@handles("MultiHeadAttention", "DecoderMaskedMultiHeadAttention", domain=CONTRIB)
def multi_head_attention(op: Op) -> Sequence[Result]:
    query, key, value = op[0], op.get(1), op.get(2)
    heads = op.integer("num_heads")
    fused = op.type == "MultiHeadAttention"
    bias, past_k, past_v = (op.get(3), op.get(6), op.get(7)) if fused else (op.get(10), op.get(5), op.get(6))
    mask = op.get(5) if fused else op.get(4)
    if heads < 1:
        raise OnnxError(f"has {heads} heads; expected 1 or more")
    if bias is not None and query.rank == 3 and key is not None and key.rank == 3:
        widths = [query.shape[-1], key.shape[-1]]
        pieces = [part_of(op, bias, 0, 0, widths[0]), part_of(op, bias, 0, widths[0], widths[1])]
        query, key = (of_two(op, "add", x, piece) for x, piece in zip((query, key), pieces, strict=True))
        if value is not None and value.rank == 3:
            start = plain(widths[0] + widths[1])
            value = of_two(op, "add", value, part_of(op, bias, 0, start, value.shape[-1]))
    if query.rank == 5:
        # [batch, length, heads, 3, width]
        batch, length, count, _, width = query.shape
        parts = []
        for place in range(3):
            made = Value(query.dtype, (batch, length, count, width))
            op.emit("aten.select.int", {"self": query, "dim": 3, "index": place}, made)
            parts.append(permuted(op, made, [0, 2, 1, 3], inner=True))
        q, k, v = parts
    else:
        q = heads_of(op, query, heads)
        if key is None:
            raise OnnxError("has no keys")
        if key.rank == 5:
            batch, length, count, _, width = key.shape
            pair = []
            for place in range(2):
                made = Value(key.dtype, (batch, length, count, width))
                op.emit("aten.select.int", {"self": key, "dim": 3, "index": place}, made)
                pair.append(permuted(op, made, [0, 2, 1, 3], inner=True))
            k, v = pair
        else:
            # Keys of another model's tokens may come with their heads apart.
            k = key if key.rank == _HEADS_APART else heads_of(op, key, heads)
            if value is None:
                raise OnnxError("has no values")
            v = value if value.rank == _HEADS_APART else heads_of(op, value, heads)
    shared = bool(op.integer("past_present_share_buffer"))
    k = cached(op, past_k, k, 1, past_k.shape[2] if shared and past_k is not None else None)
    v = cached(op, past_v, v, 2, past_v.shape[2] if shared and past_v is not None else None)
    result = attend(op, q, k, v, mask=mask, causal=bool(op.integer("unidirectional")))
    return [joined_heads(op, result), k, v][: max(1, len(op.output_names))]


@handles("GroupQueryAttention", domain=CONTRIB)
def group_query_attention(op: Op) -> Sequence[Result]:
    query, key, value = op[0], op.get(1), op.get(2)
    heads, groups = op.integer("num_heads"), op.integer("kv_num_heads")
    if heads < 1 or groups < 1:
        raise OnnxError(f"has {heads} heads and {groups} heads of keys; expected 1 or more")
    if key is None or value is None:
        # One tensor of queries, keys and values.
        width = plain(query.shape[-1] // (heads + 2 * groups))
        ends = [0, plain(heads * width), plain((heads + groups) * width), plain((heads + 2 * groups) * width)]
        query, key, value = (part_of(op, query, 2, start, plain(end - start)) for start, end in pairwise(ends))
    q, k, v = heads_of(op, query, heads), heads_of(op, key, groups), heads_of(op, value, groups)
    if op.integer("do_rotary"):
        cos, sin = op[7], op[8]
        positions = op.inner("aten.arange.default", {"end": q.shape[2]}, "int64", (q.shape[2],))
        q, k = (rotated(op, x, cos, sin, positions) for x in (q, k))
    past_k, past_v = op.get(3), op.get(4)
    total = op[6].scalar() if op.get(6) is not None else None
    length = op.declared(1, known=True)
    new: Size | None = total if isinstance(total, int) and total > 0 else None
    if past_k is not None and length is not None and len(length) == _HEADS_APART and length[2] == past_k.shape[2]:
        new = past_k.shape[2]
    if past_k is not None and past_k.shape[2] == 0:
        past_k = past_v = None
    k = cached(op, past_k, k, 1, new)
    v = cached(op, past_v, v, 2, new)
    result = attend(op, q, k, v, mask=op.get(10), causal=True, window=op.integer("local_window_size", -1))
    return [joined_heads(op, result), k, v][: max(1, len(op.output_names))]


def rotated(op: Op, x: Value, cos: Value, sin: Value, positions: Value | None) -> Value:
    """Emit rotary embeddings as torch's models write them: `x * cos + rotate_half(x) * sin`.

    Args:
        op: The operator.
        x: [batch, heads, length, width].
        cos: Table of cosines of half the width, or of all tokens.
        sin: The same of sines.
        positions: Rows of the tables; None if they have the rows of the tokens.
    """
    tables = []
    for table in (cos, sin):
        found = table
        if positions is not None:
            shape = (*positions.shape, *table.shape[1:])
            arguments = {"self": table, "dim": 0, "index": positions}
            found = op.inner("aten.index_select.default", arguments, table.dtype, shape)
        both = joined(op, [found, found], found.rank - 1, inner=True)
        if both.rank == 3:
            both = reshaped(op, both, [both.shape[0], 1, *both.shape[1:]], inner=True)
        tables.append(both)
    width = x.shape[-1]
    turned_width = tables[0].shape[-1]
    rest: Value | None = None
    kept = x
    if turned_width != width and isinstance(turned_width, int) and isinstance(width, int) and turned_width < width:
        kept = part_of(op, x, x.rank - 1, 0, turned_width)
        rest = part_of(op, x, x.rank - 1, turned_width, width - turned_width)
    half = plain(kept.shape[-1] // 2)
    left, right = (part_of(op, kept, kept.rank - 1, start, half) for start in (0, half))
    negative = op.inner("aten.neg.default", {"self": right}, x.dtype, right.shape)
    turned = joined(op, [negative, left], kept.rank - 1, inner=True)
    a = op.inner("aten.mul.Tensor", {"self": kept, "other": tables[0]}, x.dtype, kept.shape)
    b = op.inner("aten.mul.Tensor", {"self": turned, "other": tables[1]}, x.dtype, kept.shape)
    result = op.inner("aten.add.Tensor", {"self": a, "other": b}, x.dtype, kept.shape)
    return result if rest is None else joined(op, [result, rest], x.rank - 1, inner=True)


@handles("RotaryEmbedding")
@handles("RotaryEmbedding", "GemmaRotaryEmbedding", domain=CONTRIB)
def rotary_embedding(op: Op) -> Result | Sequence[Result]:
    x = op[0]
    if op.type == "GemmaRotaryEmbedding":
        raise OnnxError("has the tables of Gemma's rotary embedding, which are not read")
    if op.domain == CONTRIB:
        positions, cos, sin = op.get(1), op[2], op[3]
    else:
        cos, sin, positions = op[1], op[2], op.get(3)
    heads = op.integer("num_heads")
    flat = x.rank != _HEADS_APART
    if flat:
        if not heads:
            width = plain(cos.shape[-1] * 2)
            count = plain(x.shape[-1] // width)
            heads = count if isinstance(count, int) and count > 0 else 1
        x = heads_of(op, x, heads)
    if positions is not None and positions.shape in ((1,), ()):
        # The position of the first token; the others follow.
        positions = op.inner("aten.arange.default", {"end": x.shape[2]}, "int64", (x.shape[2],))
    result = rotated(op, x, cos, sin, positions)
    return joined_heads(op, result) if flat else result

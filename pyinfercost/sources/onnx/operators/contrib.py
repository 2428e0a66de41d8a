"""Other operators of ONNX Runtime: mixtures of experts."""

from __future__ import annotations

from typing import Any

from ..op import CONTRIB, Op, Result, handles
from ..shapes import plain, product
from ..stored import OnnxError
from ..values import Size, Value
from .elementwise import gated
from .movement import reshaped


@handles("MoE", "QMoE", domain=CONTRIB)
def mixture(op: Op) -> Result:
    x, router = op[0], op[1]
    quantized = op.type == "QMoE"
    step = 3 if quantized else 2
    bits = op.integer("expert_weight_bits", 4) if quantized else 0
    k = op.integer("k", 1)
    width = x.shape[-1]
    tokens = product(x.shape[:-1])
    flat = reshaped(op, x, [tokens, width], inner=True)
    weights = op.inner("aten.softmax.int", {"self": router, "dim": -1}, router.dtype, router.shape)
    chosen = [Value(router.dtype, (tokens, k)), Value("int64", (tokens, k))]
    op.emit("aten.topk.default", {"self": weights, "k": k, "dim": -1}, *chosen)
    rows = plain(tokens * k)
    sent = op.inner("aten.index_select.default", {"self": flat, "dim": 0, "index": chosen[1]}, x.dtype, (rows, width))
    inner = _experts(op, sent, 2, step, quantized=quantized, bits=bits)
    if op.text("activation_type", "relu") == "swiglu":
        inner = gated(op, inner)
    else:
        name = {"gelu": "gelu", "silu": "silu", "relu": "relu"}.get(op.text("activation_type", "relu"))
        if name is not None:
            inner = op.inner(f"aten.{name}.default", {"self": inner}, x.dtype, inner.shape)
    third = 2 + 2 * step
    if op.get(third) is not None:
        up = _experts(op, sent, third, step, quantized=quantized, bits=bits)
        inner = op.inner("aten.mul.Tensor", {"self": inner, "other": up}, x.dtype, inner.shape)
    out = _experts(op, inner, 2 + step, step, quantized=quantized, bits=bits)
    share = reshaped(op, chosen[0], [rows, 1], inner=True)
    scaled = op.inner("aten.mul.Tensor", {"self": out, "other": share}, x.dtype, out.shape)
    apart = reshaped(op, scaled, [tokens, k, width], inner=True)
    total = op.inner("aten.sum.dim_IntList", {"self": apart, "dim": [1]}, x.dtype, (tokens, width))
    return reshaped(op, total, x.shape)


def _experts(op: Op, x: Value, place: int, step: int, *, quantized: bool, bits: int) -> Value:
    """Emit a product of rows, sorted by expert, with the matrices [experts, ...] of one layer."""
    stack = op[place]
    experts, width = stack.shape[0], x.shape[-1]
    if not isinstance(experts, int) or not isinstance(width, int) or experts < 1 or width < 1:
        raise OnnxError("has experts whose number or width is not known")
    elements = product(stack.shape)
    if quantized:
        elements = plain(elements * 8 // max(bits, 1))
    outputs: Size = plain(elements // (experts * width))
    emitter = op.walker.emitter
    logical = int(elements) if quantized and isinstance(elements, int) else None
    weight: Any = emitter.tensor(stack, role="parameter", logical=logical) if stack.is_weight else stack
    arguments: dict[str, Any] = {"input": x, "weight": weight}
    if quantized:
        scale = op[place + 1]
        arguments["scale"] = emitter.tensor(scale, role="parameter", logical=0) if scale.is_weight else scale
        arguments["group_size"] = op.integer("block_size") or None
    bias = op.get(place + step - 1)
    shape = (x.shape[0], outputs)
    name = "pyinfercost.grouped_weight_only" if quantized else "transformers.grouped_mm_fallback"
    result = op.inner(f"{name}.default", arguments, x.dtype, shape)
    if bias is None:
        return result
    added = op.inner("aten.index_select.default", {"self": bias, "dim": 0}, bias.dtype, shape)
    return op.inner("aten.add.Tensor", {"self": result, "other": added}, x.dtype, shape)

"""Quantizing and dequantizing operators, and ONNX Runtime's operators on integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..op import CONTRIB, Op, Result, handles
from ..products import Quantized, requantized
from ..shapes import axis_of, broadcast, plain
from ..stored import OnnxError
from ..values import Size, Value
from .contractions import conv_shape, convolved, product_shape
from .pooling import pooled
from .reductions import reduced


def read_as_floats(
    op: Op, stored: Value, scale: Value, zero: Value | None, *, dtype: str, axis: int, block: int
) -> Value:
    """Return a quantized tensor as floats; the conversion is written if something other than a product reads it."""
    whole = not scale.shape or (scale.rank == 1 and scale.shape[0] == 1 and not block)
    value = op.result(dtype, stored.shape, strides=stored.strides)
    value.source = Quantized(stored, scale, zero, None if whole else axis, block)
    value.make = value.source.reading(op, value)
    return value


@handles("DequantizeLinear")
@handles("DequantizeLinear", domain=CONTRIB)
def dequantize(op: Op) -> Result:
    stored, scale = op[0], op[1]
    dtype = scale.dtype if not op.integer("output_dtype") else op.dtype_attribute("output_dtype")
    axis = axis_of(op.integer("axis", 1), stored.rank) if stored.rank > 1 else 0
    return read_as_floats(op, stored, scale, op.get(2), dtype=dtype, axis=axis, block=op.integer("block_size"))


@handles("QuantizeLinear")
@handles("QuantizeLinear", domain=CONTRIB)
def quantize(op: Op) -> Result:
    x, scale, zero = op[0], op[1], op.get(2)
    dtype = zero.dtype if zero is not None else "uint8"
    if op.integer("output_dtype"):
        dtype = op.dtype_attribute("output_dtype")
    source = x.source
    if source is not None and source.scale is scale and source.stored.dtype == dtype:
        stored: Value = source.stored  # nothing happened between: the same integers
        return stored
    form = Quantized(x, scale, zero, None if not scale.shape or scale.shape == (1,) else 0, op.integer("block_size"))
    parameters = form.parameters(op)
    done = requantized(op, x, dtype, parameters)
    if done is not None:
        return done
    how = "per_tensor" if form.is_whole else "per_channel_group" if form.block else "per_channel"
    return op.new(f"quantized_decomposed.quantize_{how}.default", {"input": x, **parameters}, dtype, x.shape)


@handles("DynamicQuantizeLinear")
def dynamic_quantize(op: Op) -> Sequence[Result]:
    x = op[0]
    results = [op.result("float32", (), place=1), op.result("uint8", (), place=2)]
    op.emit("quantized_decomposed.choose_qparams.tensor", {"input": x}, *results)
    arguments = {"input": x, "scale": results[0], "zero_point": results[1]}
    y = op.new("quantized_decomposed.quantize_per_tensor.tensor", arguments, "uint8", x.shape)
    return [y, *results]


def _source(op: Op, stored: Value, scale: int, zero: int) -> Value:
    value = Value("float32", stored.shape, strides=stored.strides)
    scales = op[scale]
    whole = not scales.shape or scales.shape == (1,)
    value.source = Quantized(stored, scales, op.get(zero), None if whole else 0)
    value.make = value.source.reading(op, value)
    return value


@handles("QLinearConv")
@handles("QLinearConv", domain=CONTRIB)
def qlinear_conv(op: Op) -> Result:
    if op.integer("channels_last"):
        raise OnnxError("has its channels last; expected a model before the optimizations of ONNX Runtime")
    x, weight = _source(op, op[0], 1, 2), _source(op, op[3], 4, 5)
    zero = op.get(7)
    dtype = op[0].dtype if zero is None else zero.dtype
    shape, _ = conv_shape(op, x, weight)
    result = op.result(dtype, shape)
    return convolved(op, x, weight, op.get(8), result)


@handles("QLinearMatMul")
def qlinear_matmul(op: Op) -> Result:
    a, b = op[0], op[3]
    zero = op.get(7)
    return _of_integers(op, a, b, zero.dtype if zero is not None else a.dtype)


def _of_integers(op: Op, a: Value, b: Value, dtype: str, bias: Value | None = None) -> Value:
    shape = product_shape(op, a.shape, b.shape)
    result = op.result(dtype, shape)
    if b.stored is not None and b.rank == 2:
        arguments: dict[str, Any] = {"X": a, "weight": op.walker.emitter.linear_weight(b)}
        if bias is not None:
            arguments["bias"] = bias
        return op.emit("quantized.linear.default", arguments, result)
    return op.emit("quantized.matmul.default", {"qa": a, "qb": b}, result)


@handles("QGemm", domain=CONTRIB)
def qgemm(op: Op) -> Result:
    a, b, bias, zero = op[0], op[3], op.get(6), op.get(8)
    if op.integer("transA"):
        raise OnnxError("has a transposed left operand; expected an activation as it lies")
    dtype = "float32" if op.get(7) is None else a.dtype if zero is None else zero.dtype
    if op.integer("transB"):
        weight = op.walker.emitter.tensor(b, role="parameter" if b.is_weight else None)
        arguments: dict[str, Any] = {"X": a, "weight": weight} | ({} if bias is None else {"bias": bias})
        return op.emit("quantized.linear.default", arguments, op.result(dtype, (a.shape[0], b.shape[0])))
    return _of_integers(op, a, b, dtype, bias)


@handles("MatMulIntegerToFloat", domain=CONTRIB)
def matmul_integer_to_float(op: Op) -> Result:
    return _of_integers(op, op[0], op[1], op[2].dtype, op.get(6))


@handles("DynamicQuantizeMatMul", domain=CONTRIB)
def dynamic_quantize_matmul(op: Op) -> Result:
    x, b, bias = op[0], op[1], op.get(4)
    shape = product_shape(op, x.shape, b.shape)
    if b.stored is None or b.rank != 2:
        raise OnnxError("multiplies by no stored matrix; expected one")
    arguments: dict[str, Any] = {"X": x, "W": op.walker.emitter.linear_weight(b)}
    if bias is not None:
        arguments["bias"] = bias
    return op.new("quantized.linear_dynamic.default", arguments, x.dtype, shape)


@handles("QLinearAdd", "QLinearMul", domain=CONTRIB)
def qlinear_binary(op: Op) -> Result:
    name = "add" if op.type == "QLinearAdd" else "mul"
    shape = broadcast([op[0].shape, op[3].shape], op.guard)
    return op.new(f"quantized.{name}.default", {"qa": op[0], "qb": op[3]}, op[0].dtype, shape)


@handles("QLinearSigmoid", "QLinearLeakyRelu", domain=CONTRIB)
def qlinear_unary(op: Op) -> Result:
    name = "sigmoid" if op.type == "QLinearSigmoid" else "leaky_relu"
    return op.new(f"quantized.{name}.default", {"qx": op[0]}, op[0].dtype, op[0].shape)


@handles("QLinearSoftmax", domain=CONTRIB)
def qlinear_softmax(op: Op) -> Result:
    axis = axis_of(op.integer("axis", -1), op[0].rank)
    return op.new("quantized.softmax.default", {"qx": op[0], "dim": axis}, op[0].dtype, op[0].shape)


@handles("QLinearConcat", domain=CONTRIB)
def qlinear_concat(op: Op) -> Result:
    values = [op[place] for place in range(2, len(op.inputs), 3)]
    axis = axis_of(op.integer("axis"), values[0].rank)
    if len(values) == 1:
        return values[0]
    shape = list(values[0].shape)
    shape[axis] = 0
    for value in values:
        shape[axis] = plain(shape[axis] + value.shape[axis])
    return op.new("quantized.cat.default", {"qx": values, "dim": axis}, values[0].dtype, shape)


@handles("QLinearWhere", domain=CONTRIB)
def qlinear_where(op: Op) -> Result:
    shape = broadcast([op[0].shape, op[1].shape, op[4].shape], op.guard)
    return op.new("aten.where.self", {"condition": op[0], "self": op[1], "other": op[4]}, op[1].dtype, shape)


@handles("QLinearAveragePool", "QLinearGlobalAveragePool", domain=CONTRIB)
def qlinear_pool(op: Op) -> Result:
    x = op[0]
    if op.integer("channels_last"):
        raise OnnxError("has its channels last; expected a model before the optimizations of ONNX Runtime")
    kernel: list[Size] = list(op.integers("kernel_shape") or x.shape[2:])
    return pooled(op, x, kernel, "avg", whole=op.type == "QLinearGlobalAveragePool")


@handles("QLinearReduceMean", domain=CONTRIB)
def qlinear_reduce(op: Op) -> Result:
    return reduced(op, op[0], "mean", op.integers("axes"))


def packed_linear(op: Op, x: Value, *, block: int, outputs: int, inputs: int, bias: Value | None) -> Value:
    """Emit a product with a weight of a few bits, packed in bytes [outputs, blocks, bytes of a block]."""
    emitter = op.walker.emitter
    weight = emitter.tensor(op[1], role="parameter", logical=outputs * inputs)
    arguments: dict[str, Any] = {"input": x, "weight": weight, "group_size": block}
    for place, name in ((2, "scale"), (3, "zero_point")):
        value = op.get(place)
        if value is not None:
            arguments[name] = emitter.tensor(value, role="parameter", logical=0) if value.is_weight else value
    if bias is not None:
        arguments["bias"] = bias
    return op.new("pyinfercost.linear_weight_only.default", arguments, x.dtype, (*x.shape[:-1], outputs))


@handles("MatMulNBits", domain=CONTRIB)
def matmul_nbits(op: Op) -> Result:
    k, n = op.integer("K"), op.integer("N")
    bits, block = op.integer("bits", 4), op.integer("block_size", 32)
    if min(k, n, block) < 1 or bits not in range(1, 9):
        raise OnnxError(f"has K={k}, N={n}, bits={bits}, block_size={block}; expected positive numbers, bits to 8")
    return packed_linear(op, op[0], block=block, outputs=n, inputs=k, bias=op.get(5))


@handles("MatMulBnb4", domain=CONTRIB)
def matmul_bnb4(op: Op) -> Result:
    k, n, block = op.integer("K"), op.integer("N"), op.integer("block_size", 64)
    if min(k, n, block) < 1:
        raise OnnxError(f"has K={k}, N={n}, block_size={block}; expected positive numbers")
    return packed_linear(op, op[0], block=block, outputs=n, inputs=k, bias=None)


@handles("GatherBlockQuantized", domain=CONTRIB)
def gather_block_quantized(op: Op) -> Result:
    table, indices = op[0], op[1]
    axis = op.axis(0, table.rank)
    role = "parameter" if table.is_weight else None
    shape = [*table.shape[:axis], *indices.shape, *table.shape[axis + 1 :]]
    bits = op.integer("bits", 4)
    if table.dtype == "uint8" and bits in (2, 4):
        shape[-1] = plain(shape[-1] * (8 // bits))
    weight = op.walker.emitter.tensor(table, role=role)
    return op.new("quantized.embedding_4bit.default", {"weight": weight, "indices": indices}, op[2].dtype, shape)

"""Matrix products and convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..op import CONTRIB, Op, Result, handles
from ..products import Product, product
from ..shapes import broadcast, ceil_div, plain, same, window_length
from ..stored import OnnxError
from ..values import Shape, Size, Value
from .elementwise import of_one, of_two
from .movement import permuted, reshaped

_INTEGERS = ("int8", "uint8", "int4", "uint4", "int2", "uint2", "int16", "uint16")
_LARGEST_RANK = 3  # spatial dimensions of torch's convolutions


def product_shape(op: Op, a: Shape, b: Shape) -> Shape:
    """Return the shape of numpy's matmul."""
    if not a or not b:
        raise OnnxError("multiplies a scalar; expected tensors of at least one dimension")
    same(a[-1], b[-2] if len(b) > 1 else b[0], op.guard)
    batch = broadcast([a[:-2], b[:-2]], op.guard)
    return (*batch, *(a[-2:-1]), *(b[-1:] if len(b) > 1 else ()))


def multiplied(op: Op, a: Value, b: Value, *, dtype: str = "") -> Value:
    """Emit a product of two tensors; one with a stored matrix is a linear layer."""
    shape = product_shape(op, a.shape, b.shape)
    result = op.result(dtype or a.dtype, shape)
    if a.source is not None and b.source is not None and _is_integer(a) and _is_integer(b):
        return _of_integers(op, a, b, result)
    if b.source is not None and b.source.stored.is_weight and b.rank == 2:
        return _weight_only(op, a, b, result)
    weight = linear_weight(op, b)
    if weight is not None:
        made = Product("aten.linear", {"input": a, "weight": weight}, shape[-1], op.walker.emitter.place)
        return product(op, made, result)
    return op.emit("aten.matmul.default", {"self": a, "other": b}, result)


def linear_weight(op: Op, b: Value) -> Any:
    """Return the weight [outputs, inputs] of a product with a stored matrix; None for other operands."""
    if b.base is not None and b.rank == 2:
        return b.base
    if b.stored is not None and b.rank == 2:
        return op.walker.emitter.linear_weight(b)
    return None


def _is_integer(value: Value) -> bool:
    dtype: str = value.source.stored.dtype
    return dtype in _INTEGERS


def _of_integers(op: Op, a: Value, b: Value, result: Value) -> Value:
    scales = {f"weight_{name}": value for name, value in b.source.parameters(op).items()}
    place = op.walker.emitter.place
    if b.source.stored.is_weight and b.rank == 2:
        weight = op.walker.emitter.linear_weight(b.source.stored)
        arguments = {"X": a.source.stored, "weight": weight, **scales}
        made = Product("quantized.linear", arguments, result.shape[-1], place, quantized=True)
        return product(op, made, result)
    arguments = {"qa": a.source.stored, "qb": b.source.stored}
    return product(op, Product("quantized.matmul", arguments, 0, place, quantized=True), result)


def _weight_only(op: Op, a: Value, b: Value, result: Value) -> Value:
    arguments: dict[str, Any] = {
        "input": a,
        "weight": op.walker.emitter.linear_weight(b.source.stored),
        **b.source.parameters(op),
    }
    if b.source.block:
        arguments["group_size"] = b.source.block
    made = Product("pyinfercost.linear_weight_only", arguments, result.shape[-1], op.walker.emitter.place)
    return product(op, made, result)


def last_two_exchanged(op: Op, x: Value) -> Value:
    """Emit the transpose of the last two dimensions."""
    if x.rank < 2:
        return x
    return permuted(op, x, [*range(x.rank - 2), x.rank - 1, x.rank - 2], inner=True)


@handles("MatMul")
def matmul(op: Op) -> Result:
    return multiplied(op, op[0], op[1])


@handles("FusedMatMul", "TransposeMatMul", "FusedMatMulActivation", domain=CONTRIB)
def fused_matmul(op: Op) -> Result:
    a, b = op[0], op[1]
    for side, letter in ((0, "A"), (1, "B")):
        value = (a, b)[side]
        if op.integer(f"transBatch{letter}") and value.rank > 2:
            value = permuted(op, value, [*range(1, value.rank - 1), 0, value.rank - 1], inner=True)
        if op.integer(f"trans{letter}"):
            value = last_two_exchanged(op, value)
        a, b = (value, b) if side == 0 else (a, value)
    # The scale is one operation for each result.
    result = scaled(op, multiplied(op, a, b), op.real("alpha", 1.0))
    activation = op.text("activation")
    return activated(op, result, activation) if activation else result


def scaled(op: Op, x: Value, factor: float) -> Value:
    """Emit a multiplication by a number other than 1."""
    if factor == 1.0:
        return x
    return op.inner("aten.mul.Scalar", {"self": x, "other": factor}, x.dtype, x.shape)


_ACTIVATIONS = {
    "Relu": "relu",
    "LeakyRelu": "leaky_relu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "hardsigmoid",
    "Clip": "hardtanh",
    "Gelu": "gelu",
}


def activated(op: Op, x: Value, name: str) -> Value:
    """Emit an activation that ONNX Runtime has joined with a product."""
    if name not in _ACTIVATIONS:
        raise OnnxError(f"has the activation {name!r}; expected one of {', '.join(_ACTIVATIONS)}")
    return of_one(op, _ACTIVATIONS[name], x)


@handles("Gemm")
def gemm(op: Op) -> Result:
    return general_product(op)


def general_product(op: Op) -> Value:
    """Emit `alpha * a @ b + beta * c`, with transposed operands."""
    a, b, c = op[0], op[1], op.get(2)
    if a.rank != 2 or b.rank != 2:
        raise OnnxError(f"multiplies tensors of {a.rank} and {b.rank} dimensions; expected 2 and 2")
    if op.integer("transA"):
        a = permuted(op, a, [1, 0], inner=True)
    if op.integer("transB"):
        if b.source is not None and b.source.stored.is_weight:
            return _quantized_gemm(op, a, b, c)
        b = permuted(op, b, [1, 0], inner=True)
    shape = product_shape(op, a.shape, b.shape)
    alpha, beta = op.real("alpha", 1.0), op.real("beta", 1.0)
    if alpha == 1.0 and beta == 1.0 and b.source is None:
        weight = linear_weight(op, b)
        if weight is not None and (c is None or (c.rank == 1 and c.shape[0] == shape[1])):
            arguments = {"input": a, "weight": weight} | ({} if c is None else {"bias": c})
            return op.new("aten.linear.default", arguments, a.dtype, shape)
        if c is not None and weight is None:
            return op.new("aten.addmm.default", {"self": c, "mat1": a, "mat2": b}, a.dtype, shape)
    result = scaled(op, multiplied(op, a, b), alpha)
    return result if c is None else of_two(op, "add", result, scaled(op, c, beta))


def _quantized_gemm(op: Op, a: Value, b: Value, c: Value | None) -> Value:
    shape = (a.shape[0], b.shape[0])
    stored = b.source.stored
    weight = op.walker.emitter.tensor(stored, role="parameter")
    scales = b.source.parameters(op)
    place = op.walker.emitter.place
    bias: dict[str, Any] = {}
    if c is not None:
        bias["bias"] = bias_of(op, c)
    if a.source is not None and _is_integer(a):
        named = {f"weight_{name}": value for name, value in scales.items()}
        arguments = {"X": a.source.stored, "weight": weight, **bias, **named}
        made = Product("quantized.linear", arguments, 0, place, quantized=True, bias=bool(bias))
    else:
        arguments = {"input": a, "weight": weight, **bias, **scales}
        if b.source.block:
            arguments["group_size"] = b.source.block
        made = Product("pyinfercost.linear_weight_only", arguments, 0, place, bias=bool(bias))
    return product(op, made, op.result(a.dtype, shape))


def bias_of(op: Op, value: Value) -> Any:
    """Return a bias as it is stored: of a quantized layer in int32."""
    return value if value.source is None else value.source.tensor(op)


def windows(op: Op, length: Shape, kernel: Sequence[Size], *, ceil: bool = False) -> tuple[Shape, dict[str, Any]]:
    """Return the numbers of windows of a convolution or pooling, and its steps, margins and dilations.

    Args:
        op: The operator.
        length: Spatial lengths of the input.
        kernel: Lengths of a window.
        ceil: As for `window_length`.
    """
    rank = len(length)
    strides = op.integers("strides") or [1] * rank
    dilations = op.integers("dilations") or [1] * rank
    pads = op.integers("pads") or [0] * (2 * rank)
    if not len(strides) == len(dilations) == len(kernel) == rank or len(pads) != 2 * rank:
        raise OnnxError(f"has strides {strides}, dilations {dilations} and pads {pads} for {rank} dimensions")
    if min(pads, default=0) < -(2**31) or max(strides + dilations, default=1) > 2**31:
        raise OnnxError("has a stride, dilation or margin out of range")
    if min((*strides, *dilations, *(size for size in kernel if isinstance(size, int))), default=1) < 1:
        raise OnnxError(
            f"has windows of {list(kernel)}, strides {strides} and dilations {dilations}; expected 1 or more"
        )
    auto = op.text("auto_pad", "NOTSET")
    found: list[Size] = []
    for axis in range(rank):
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            found.append(ceil_div(length[axis], strides[axis]))
            needed = (dilations[axis] * (kernel[axis] - 1) + 1) - strides[axis]
            pads[axis] = max(needed // 2, 0) if isinstance(needed, int) else 0
            continue
        margin = 0 if auto == "VALID" else pads[axis] + pads[axis + rank]
        count = window_length(length[axis], kernel[axis], strides[axis], dilations[axis], margin, ceil=ceil)
        whole = length[axis]
        if ceil and isinstance(count, int) and isinstance(whole, int):
            # The last window starts within the axis or its first margin.
            start = whole + (0 if auto == "VALID" else pads[axis])
            count -= int((count - 1) * strides[axis] >= start)
        found.append(count)
    return tuple(found), {"stride": strides, "padding": pads[:rank], "dilation": dilations}


@handles("Conv")
def conv(op: Op) -> Result:
    return convolved(op, op[0], op[1], op.get(2), op.result(op[0].dtype, conv_shape(op, op[0], op[1])[0]))


def conv_shape(op: Op, x: Value, weight: Value) -> tuple[Shape, dict[str, Any]]:
    """Return the shape of a convolution's result, and its steps, margins, dilations and groups."""
    if x.rank != weight.rank or x.rank < 3:
        raise OnnxError(f"convolves a tensor of {x.rank} dimensions with a filter of {weight.rank}")
    groups = op.integer("group", 1)
    channels, filters = plain(weight.shape[1] * groups), weight.shape[0]
    if isinstance(channels, int) and x.shape[1] != channels and isinstance(x.shape[1], int):
        raise OnnxError(f"convolves {x.shape[1]} channels with filters of {weight.shape[1]} and {groups} groups")
    if groups < 1 or (isinstance(filters, int) and filters % groups):
        raise OnnxError(f"has {filters} filters in {groups} groups; expected a multiple")
    spatial, details = windows(op, x.shape[2:], weight.shape[2:])
    return (x.shape[0], weight.shape[0], *spatial), {**details, "groups": groups}


def convolved(op: Op, x: Value, weight: Value, bias: Value | None, result: Value) -> Value:
    """Emit a convolution; one of integers if both operands are read from integers."""
    _, details = conv_shape(op, x, weight)
    rank = weight.rank - 2
    if x.source is not None and weight.source is not None and rank <= _LARGEST_RANK:
        scales = {f"weight_{name}": value for name, value in weight.source.parameters(op).items()}
        arguments: dict[str, Any] = {"qx": x.source.stored, "weight": weight.source.tensor(op), **scales, **details}
        if bias is not None:
            arguments["bias"] = bias_of(op, bias)
        made = Product(
            f"quantized.conv{rank}d", arguments, 0, op.walker.emitter.place, quantized=True, bias=bias is not None
        )
        return product(op, made, result)
    name = f"conv{rank}d" if rank <= _LARGEST_RANK else "convolution"
    operands = {"input": x, "weight": weight} | ({} if bias is None else {"bias": bias})
    return op.emit(f"aten.{name}.default", {**operands, **details}, result)


@handles("FusedConv", domain=CONTRIB)
def fused_conv(op: Op) -> Result:
    shape, _ = conv_shape(op, op[0], op[1])
    result: Value = convolved(op, op[0], op[1], op.get(2), Value(op[0].dtype, shape))
    added = op.get(3)
    if added is not None:
        result = of_two(op, "add", result, added)
    activation = op.text("activation")
    return activated(op, result, activation) if activation else result


@handles("FusedGemm", "GemmFastGelu", domain=CONTRIB)
def fused_gemm(op: Op) -> Result:
    if op.type == "GemmFastGelu":
        result = multiplied(op, op[0], op[1])
        bias = op.get(2)
        result = result if bias is None else of_two(op, "add", result, bias)
        return of_one(op, "gelu", result, approximate="tanh")
    made = general_product(op)
    activation = op.text("activation")
    return activated(op, made, activation) if activation else made


@handles("ConvTranspose")
def conv_transpose(op: Op) -> Result:
    x, weight, bias = op[0], op[1], op.get(2)
    rank = weight.rank - 2
    if x.rank != weight.rank or rank < 1:
        raise OnnxError(f"convolves a tensor of {x.rank} dimensions with a filter of {weight.rank}")
    groups = op.integer("group", 1)
    strides = op.integers("strides") or [1] * rank
    dilations = op.integers("dilations") or [1] * rank
    pads = op.integers("pads") or [0] * (2 * rank)
    extra = op.integers("output_padding") or [0] * rank
    given = op.integers("output_shape")
    if not len(strides) == len(dilations) == len(extra) == rank or len(pads) != 2 * rank:
        raise OnnxError(f"has strides {strides}, dilations {dilations} and pads {pads} for {rank} dimensions")
    auto = op.text("auto_pad", "NOTSET")
    spatial: list[Size] = []
    for axis in range(rank):
        length, kernel = x.shape[axis + 2], weight.shape[axis + 2]
        if given is not None:
            spatial.append(given[axis - rank])
        elif auto in ("SAME_UPPER", "SAME_LOWER"):
            spatial.append(plain(length * strides[axis]))
        else:
            margin = 0 if auto == "VALID" else pads[axis] + pads[axis + rank]
            reach = (kernel - 1) * dilations[axis] + 1
            spatial.append(plain((length - 1) * strides[axis] + reach + extra[axis] - margin))
    shape = (x.shape[0], plain(weight.shape[1] * groups), *spatial)
    operands: dict[str, Any] = {"input": x, "weight": weight} | ({} if bias is None else {"bias": bias})
    details = {"stride": strides, "padding": pads[:rank], "dilation": dilations, "groups": groups}
    if rank > _LARGEST_RANK:
        return op.new("aten.convolution.default", {**operands, **details, "transposed": True}, x.dtype, shape)
    return op.new(f"aten.conv_transpose{rank}d.default", {**operands, **details}, x.dtype, shape)


@handles("DeformConv")
def deform_conv(op: Op) -> Result:
    shape, details = conv_shape(op, op[0], op[1])
    mask = op.get(4)
    arguments: dict[str, Any] = {
        "input": op[0],
        "weight": op[1],
        "offset": op[2],
        "bias": op.get(3),
        "mask": mask,
        "use_mask": mask is not None,
        "groups": details["groups"],
    }
    return op.new("torchvision.deform_conv2d.default", arguments, op[0].dtype, shape)


@handles("Einsum")
def einsum(op: Op) -> Result:
    equation = op.text("equation").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    values = op.all()
    if len(terms) != len(values):
        raise OnnxError(f"has the equation {equation!r} and {len(values)} operands")
    lengths: dict[str, Size] = {}
    dots: Shape = ()
    for term, value in zip(terms, values, strict=True):
        letters = term.replace("...", "")
        hidden = value.rank - len(letters)
        if hidden < 0 or (hidden and "..." not in term):
            raise OnnxError(f"has the equation {equation!r} for an operand of {value.rank} dimensions")
        before = len(term.partition("...")[0])
        for place, letter in enumerate(letters):
            length = value.shape[place if place < before or "..." not in term else place + hidden]
            known = lengths.get(letter, length)
            lengths[letter] = length if known == 1 else known
        if "..." in term:
            dots = broadcast([dots, value.shape[before : before + hidden]], op.guard)
    if not arrow:
        counts = {letter: left.count(letter) for letter in sorted(lengths)}
        right = ("..." if "..." in left else "") + "".join(letter for letter, n in counts.items() if n == 1)
    shape: list[Size] = []
    for piece in right.replace("...", "."):
        shape += dots if piece == "." else [lengths[piece]]
    return op.new("aten.einsum.default", {"equation": equation, "tensors": values}, values[0].dtype, shape)


@handles("MatMulInteger")
def matmul_integer(op: Op) -> Result:
    a, b = op[0], op[1]
    shape = product_shape(op, a.shape, b.shape)
    if b.stored is not None and b.rank == 2:
        weight = op.walker.emitter.linear_weight(b)
        rows = [plain(_rows(a)), a.shape[-1]]
        flat = reshaped(op, a, rows, inner=True) if a.rank != 2 else a
        return _int_mm(op, flat, weight, shape)
    return op.new("aten.matmul.default", {"self": a, "other": b}, "int32", shape)


def _rows(a: Value) -> Size:
    rows: Size = 1
    for length in a.shape[:-1]:
        rows = rows * length
    return rows


def _int_mm(op: Op, a: Value, weight: Any, shape: Shape) -> Value:
    result = Value("int32", (a.shape[0], shape[-1]))
    op.emit("aten._int_mm.default", {"self": a, "mat2": weight}, result)
    return reshaped(op, result, shape)


@handles("ConvInteger")
def conv_integer(op: Op) -> Result:
    x, weight = op[0], op[1]
    shape, details = conv_shape(op, x, weight)
    if weight.is_weight:
        op.walker.emitter.tensor(weight, role="parameter")
    name = f"conv{weight.rank - 2}d" if weight.rank - 2 <= _LARGEST_RANK else "convolution"
    return op.new(f"aten.{name}.default", {"input": x, "weight": weight, **details}, "int32", shape)

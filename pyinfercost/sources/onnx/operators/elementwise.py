"""Elementwise operators and casts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyinfercost._core import Expr

from ..op import CONTRIB, Op, Result, handles
from ..products import biased, rectified, summed
from ..shapes import axis_of, broadcast, plain
from ..values import Shape, Value
from .movement import part_of, reshaped

_UNARY: Mapping[str, str] = {
    "Abs": "abs",
    "Acos": "acos",
    "Acosh": "acosh",
    "Asin": "asin",
    "Asinh": "asinh",
    "Atan": "atan",
    "Atanh": "atanh",
    "BitwiseNot": "bitwise_not",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "HardSwish": "hardswish",
    "Log": "log",
    "Mish": "mish",
    "Neg": "neg",
    "Reciprocal": "reciprocal",
    "Round": "round",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Softplus": "softplus",
    "Sqrt": "sqrt",
    "Tan": "tan",
    "Tanh": "tanh",
    "HardSigmoid": "hardsigmoid",
    "ThresholdedRelu": "threshold",
}
_NUMPY_RULES = 7  # operator set since which tensors broadcast by numpy's rules
_PREDICATES = {"Not": "logical_not", "IsNaN": "isnan", "IsInf": "isinf"}
_BINARY: Mapping[str, str] = {
    "Add": "add",
    "Sub": "sub",
    "Mul": "mul",
    "Div": "div",
    "BitwiseAnd": "bitwise_and",
    "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor",
}
_COMMUTATIVE = ("add", "mul")
_COMPARISONS: Mapping[str, str] = {
    "Equal": "eq",
    "Less": "lt",
    "LessOrEqual": "le",
    "Greater": "gt",
    "GreaterOrEqual": "ge",
    "And": "logical_and",
    "Or": "logical_or",
    "Xor": "logical_xor",
}


def of_one(op: Op, name: str, x: Value, *, dtype: str = "", **arguments: Any) -> Value:
    """Emit an elementwise operator of one operand."""
    return op.new(f"aten.{name}.default", {"self": x, **arguments}, dtype or x.dtype, x.shape)


def of_two(op: Op, name: str, a: Value, b: Value, *, dtype: str = "", **arguments: Any) -> Value:
    """Emit an elementwise operator of two operands; a known scalar becomes a number."""
    shape = broadcast([a.shape, b.shape], op.guard)
    scalar = _number(b)
    if scalar is None and name in _COMMUTATIVE and not arguments and (first := _number(a)) is not None:
        a, b, scalar = b, a, first
    if scalar is not None and shape == a.shape:
        return op.new(f"aten.{name}.Scalar", {"self": a, "other": scalar, **arguments}, dtype or a.dtype, shape)
    return op.new(f"aten.{name}.Tensor", {"self": a, "other": b, **arguments}, dtype or a.dtype, shape)


def _aligned(op: Op, a: Value, b: Value) -> Value:
    """Return the second operand as numpy's rules broadcast it: before operator set 7, an attribute places it."""
    if op.domain or op.version >= _NUMPY_RULES or not op.has("axis") or b.rank == a.rank:
        return b
    axis = axis_of(op.integer("axis"), a.rank)
    return reshaped(op, b, [*b.shape, *([1] * (a.rank - axis - b.rank))], inner=True)


def _number(value: Value) -> int | float | bool | None:
    if value.stored is not None and value.stored.kind == "PARAMETER":
        return None
    number = value.scalar()
    return None if isinstance(number, Expr) else number


@handles(*_UNARY)
def unary(op: Op) -> Result:
    return of_one(op, _UNARY[op.type], op[0])


@handles("Relu")
def relu(op: Op) -> Result:
    return rectified(op, op[0]) or of_one(op, "relu", op[0])


@handles(*_PREDICATES)
def predicate(op: Op) -> Result:
    return of_one(op, _PREDICATES[op.type], op[0], dtype="bool")


@handles("Identity", "Optional")
def identity(op: Op) -> Result:
    return op.inputs[0] if op.inputs else None


@handles("Dropout")
def dropout(op: Op) -> Sequence[Result]:
    x = op[0]
    training = op.get(2)
    if training is not None and training.scalar():
        results = [op.result(x.dtype, x.shape)] + ([op.result("bool", x.shape, place=1)] if op.wants(1) else [])
        op.emit("aten.native_dropout.default", {"input": x, "p": 0.5, "train": True}, *results)
        return list(results)
    mask: list[Result] = []
    if op.wants(1):
        mask = [op.emit("aten.ones.default", {"size": list(x.shape)}, op.result("bool", x.shape, place=1))]
    return [x, *mask]


@handles("Cast", "CastLike", "BitCast")
def cast(op: Op) -> Result:
    x = op[0]
    dtype = op[1].dtype if op.type == "CastLike" else op.dtype_attribute("to")
    if dtype == x.dtype:
        return x
    if op.type == "BitCast":
        return op.new("aten.view.dtype", {"self": x, "dtype": dtype}, dtype, x.shape)
    return op.new("aten._to_copy.default", {"self": x, "dtype": dtype}, dtype, x.shape)


@handles("Add")
def add(op: Op) -> Result:
    joined = biased(op, op[0], op[1]) or summed(op, op[0], op[1])
    return joined or of_two(op, "add", op[0], _aligned(op, op[0], op[1]))


@handles(*(name for name in _BINARY if name != "Add"))
def binary(op: Op) -> Result:
    return of_two(op, _BINARY[op.type], op[0], _aligned(op, op[0], op[1]))


@handles(*_COMPARISONS)
def comparison(op: Op) -> Result:
    return of_two(op, _COMPARISONS[op.type], op[0], _aligned(op, op[0], op[1]), dtype="bool")


@handles("Pow")
def power(op: Op) -> Result:
    shape = broadcast([op[0].shape, op[1].shape], op.guard)
    number = _number(op[1])
    exponent: Any = op[1] if number is None else number
    form = "Tensor_Tensor" if number is None else "Tensor_Scalar"
    return op.new(f"aten.pow.{form}", {"self": op[0], "exponent": exponent}, op[0].dtype, shape)


@handles("Mod")
def modulo(op: Op) -> Result:
    return of_two(op, "fmod" if op.integer("fmod") else "remainder", op[0], op[1])


@handles("BitShift")
def shift(op: Op) -> Result:
    side = "left" if op.text("direction") == "LEFT" else "right"
    return of_two(op, f"bitwise_{side}_shift", op[0], op[1])


@handles("Max", "Min")
def extreme(op: Op) -> Result:
    return _chain(op, "maximum" if op.type == "Max" else "minimum", op.all())


@handles("Sum")
def total(op: Op) -> Result:
    return _chain(op, "add", op.all())


@handles("Mean")
def mean(op: Op) -> Result:
    values = op.all()
    summed = _chain(op, "add", values)
    count = len(values)
    return op.new("aten.div.Scalar", {"self": summed, "other": float(count)}, summed.dtype, summed.shape)


def _chain(op: Op, name: str, values: Sequence[Value]) -> Value:
    result = values[0]
    for value in values[1:]:
        result = of_two(op, name, result, value)
    return result


@handles("Where")
def where(op: Op) -> Result:
    shape = broadcast([value.shape for value in op.all()], op.guard)
    return op.new("aten.where.self", {"condition": op[0], "self": op[1], "other": op[2]}, op[1].dtype, shape)


@handles("Clip")
def clip(op: Op) -> Result:
    bounds: dict[str, Any] = {}
    for place, name in ((1, "min"), (2, "max")):
        if op.version < 11 and not op.domain:
            if op.has(name):
                bounds[name] = op.real(name)
        elif (given := op.get(place)) is not None:
            number = given.scalar()
            bounds[name] = given if number is None or isinstance(number, Expr) else number
    return op.new("aten.clamp.default", {"self": op[0], **bounds}, op[0].dtype, op[0].shape)


@handles("PRelu")
def prelu(op: Op) -> Result:
    return op.new("aten.prelu.default", {"self": op[0], "weight": op[1]}, op[0].dtype, op[0].shape)


@handles("LeakyRelu")
def leaky_relu(op: Op) -> Result:
    return of_one(op, "leaky_relu", op[0], negative_slope=op.real("alpha", 0.01))


@handles("Elu", "Celu")
def elu(op: Op) -> Result:
    return of_one(op, op.type.lower(), op[0], alpha=op.real("alpha", 1.0))


@handles("Shrink")
def shrink(op: Op) -> Result:
    name = "softshrink" if op.real("bias") else "hardshrink"
    return of_one(op, name, op[0], lambd=op.real("lambd", 0.5))


@handles("Softsign")
def softsign(op: Op) -> Result:
    x = op[0]
    size = op.inner("aten.abs.default", {"self": x}, x.dtype, x.shape)
    divisor = op.inner("aten.add.Scalar", {"self": size, "other": 1}, x.dtype, x.shape)
    return op.new("aten.div.Tensor", {"self": x, "other": divisor}, x.dtype, x.shape)


def gelu_of(op: Op, x: Value, *, tanh: bool) -> Value:
    """Emit a GELU, exact or by tanh."""
    return of_one(op, "gelu", x, approximate="tanh" if tanh else "none")


@handles("Gelu")
def gelu(op: Op) -> Result:
    return gelu_of(op, op[0], tanh=op.text("approximate") == "tanh")


@handles("Swish")
def swish(op: Op) -> Result:
    if op.real("alpha", 1.0) == 1.0:
        return of_one(op, "silu", op[0])
    return scaled_swish(op, op[0])


def scaled_swish(op: Op, x: Value) -> Value:
    """Emit `x * sigmoid(alpha * x)`."""
    scaled = op.inner("aten.mul.Scalar", {"self": x, "other": op.real("alpha", 1.0)}, x.dtype, x.shape)
    gate = op.inner("aten.sigmoid.default", {"self": scaled}, x.dtype, x.shape)
    return op.new("aten.mul.Tensor", {"self": x, "other": gate}, x.dtype, x.shape)


@handles("Gelu", "FastGelu", "BiasGelu", domain=CONTRIB)
def contrib_gelu(op: Op) -> Result:
    return gelu_of(op, with_bias(op, op[0], op.get(1)), tanh=op.type == "FastGelu")


@handles("QuickGelu", domain=CONTRIB)
def quick_gelu(op: Op) -> Result:
    return scaled_swish(op, op[0])


def with_bias(op: Op, x: Value, bias: Value | None) -> Value:
    """Emit the addition of a bias, if there is one."""
    if bias is None:
        return x
    shape: Shape = broadcast([x.shape, bias.shape], op.guard)
    return op.inner("aten.add.Tensor", {"self": x, "other": bias}, x.dtype, shape)


@handles("SwiGLU")
def swiglu(op: Op) -> Result:
    active = scaled_swish(op, op[0]) if op.real("alpha", 1.0) != 1.0 else of_one(op, "silu", op[0])
    return of_two(op, "mul", active, op[1])


def gated(op: Op, x: Value, axis: int = -1) -> Value:
    """Emit the product of one half and the SiLU of the other."""

    place = axis_of(axis, x.rank)
    shape = list(x.shape)
    shape[place] = plain(shape[place] // 2)

    gate, up = (part_of(op, x, place, start, shape[place]) for start in (0, shape[place]))
    active = op.inner("aten.silu.default", {"self": gate}, x.dtype, shape)
    return op.new("aten.mul.Tensor", {"self": active, "other": up}, x.dtype, shape)

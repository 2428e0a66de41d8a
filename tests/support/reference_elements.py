"""Definitions of elementwise operators; see reference.py.

Parameters of a definition are named as in the operator's schema. Those with a value in `attributes` are numbers, the
others are tensors, of which the definition gets one element.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from inspect import signature
from typing import Any, NamedTuple

from support.reference import Scalar, apply


class Definition(NamedTuple):
    """An operator with fixed values for its numbers."""

    op: str
    function: Callable[..., Any]
    attributes: dict[str, Any]

    @property
    def tensors(self) -> list[str]:
        """Names of the tensor parameters."""
        return [name for name in signature(self.function).parameters if name not in self.attributes]

    def __call__(self, *tensors: Any) -> Any:
        given = {name: self.attributes[name] for name in signature(self.function).parameters if name in self.attributes}
        return self.function(**dict(zip(self.tensors, tensors, strict=True)), **given)


def define(op: str, function: Callable[..., Any], **attributes: Any) -> Definition:
    """Return a definition of `aten.<op>`."""
    return Definition(f"aten.{op}", function, attributes)


def one(operation: str) -> Callable[[Any], Any]:
    """Return an operation that is elementary itself."""
    return lambda self: apply(operation, self)


def sigmoid(self: Scalar) -> Scalar:
    return 1 / (1 + apply("exp", -self))


def hardsigmoid(self: Scalar) -> Scalar:
    return apply("minimum", apply("maximum", self + 3, 0.0), 6.0) / 6


def elu(self: Scalar, alpha: float) -> Scalar:
    return apply("select", self > 0, self, alpha * (apply("exp", self) - 1))


def gelu_tanh(self: Scalar) -> Scalar:
    inner = math.sqrt(2 / math.pi) * (self + 0.044715 * (self * (self * self)))
    return 0.5 * (self * (1 + apply("tanh", inner)))


def nan_to_num(self: Scalar) -> Scalar:
    x = self
    for test, replacement in ((math.nan, 0.0), (math.inf, 1e30), (-math.inf, -1e30)):
        found = apply("isnan", x) if math.isnan(test) else x.equals(test)
        x = apply("select", found, replacement, x)
    return x


def add(self: Scalar, other: Scalar) -> Scalar:
    return self + other


def multiply(self: Scalar, other: Scalar) -> Scalar:
    return self * other


def divide(self: Scalar, other: Scalar) -> Scalar:
    return self / other


def clamp(self: Scalar, min: float, max: float) -> Scalar:
    return apply("minimum", apply("maximum", self, min), max)


def subtract(self: Scalar, other: Scalar) -> Scalar:
    return self - other


def logical(operation: str) -> Callable[[Any, Any], Any]:
    return lambda self, other: apply(operation, self, other)


def leaky(self: Scalar, negative_slope: float) -> Scalar:
    return apply("select", self > 0, self, self * negative_slope)


_SAME = {
    **{
        name: name
        for name in [
            "abs",
            "sqrt",
            "exp",
            "exp2",
            "expm1",
            "log",
            "log2",
            "log10",
            "log1p",
            "sin",
            "cos",
            "tan",
            "asin",
            "acos",
            "atan",
            "sinh",
            "cosh",
            "tanh",
        ]
    },
    **{
        name: name
        for name in ["erf", "erfinv", "floor", "ceil", "round", "trunc", "sign", "isnan", "isinf", "isfinite"]
    },
    "sgn": "sign",
    "logical_not": "not",
}
_TWO = {
    **dict.fromkeys(("maximum", "fmax", "max.other"), "maximum"),
    **dict.fromkeys(("minimum", "fmin", "min.other"), "minimum"),
    **dict.fromkeys(("logical_and", "bitwise_and", "__and__", "__iand__"), "and"),
    **dict.fromkeys(("logical_or", "bitwise_or", "__or__", "__ior__"), "or"),
    **dict.fromkeys(("logical_xor", "bitwise_xor", "__xor__", "__ixor__"), "xor"),
    "atan2": "atan2",
}

POINTWISE: list[Definition] = [
    *(define(op, one(operation)) for op, operation in _SAME.items()),
    *(define(op, logical(operation)) for op, operation in _TWO.items()),
    define("add", add),
    *(define(op, subtract) for op in ("sub", "subtract")),
    define("rsub", lambda self, other: other - self),
    *(define(op, multiply) for op in ("mul", "multiply")),
    *(define(op, divide) for op in ("div", "divide", "true_divide")),
    define("div", lambda self, other: apply("floor", self / other), rounding_mode="floor"),
    define("divide", lambda self, other: apply("trunc", self / other), rounding_mode="trunc"),
    define("floor_divide", lambda self, other: apply("floor", self / other)),
    define("remainder", lambda self, other: self - other * apply("floor", self / other)),
    define("fmod", lambda self, other: self - other * apply("trunc", self / other)),
    define("addcmul", lambda self, tensor1, tensor2, value: self + value * (tensor1 * tensor2), value=0.5),
    define("addcdiv", lambda self, tensor1, tensor2, value: self + value * (tensor1 / tensor2), value=0.5),
    define("lerp", lambda self, end, weight: self + weight * (end - self)),
    *(define(op, lambda self, exponent: apply("pow", self, exponent)) for op in ("pow", "float_power")),
    define("square", lambda self: self * self),
    define("neg", lambda self: -self),
    define("bitwise_not", one("not")),
    define("reciprocal", lambda self: 1 / self),
    define("rsqrt", lambda self: 1 / apply("sqrt", self)),
    define("frac", lambda self: self - apply("trunc", self)),
    *(define(op, clamp, min=0.3, max=0.6) for op in ("clamp", "clip")),
    *(define(op, lambda self, min: apply("maximum", self, min), min=0.3) for op in ("clamp", "clip", "clamp_min")),
    *(define(op, lambda self, max: apply("minimum", self, max), max=0.6) for op in ("clamp", "clip", "clamp_max")),
    define("nan_to_num", nan_to_num),
    define("eq", lambda self, other: self.equals(other)),
    *(define(op, lambda self, other: self._with("compare", lambda a, b: a != b, other)) for op in ("ne", "not_equal")),
    define("lt", lambda self, other: self < other),
    *(define(op, lambda self, other: self <= other) for op in ("le", "less_equal")),
    define("gt", lambda self, other: self > other),
    *(define(op, lambda self, other: self >= other) for op in ("ge", "greater_equal")),
    define("where", lambda condition, self, other: apply("select", condition, self, other)),
    define("masked_fill", lambda self, mask, value: apply("select", mask, value, self), value=0.5),
    define("relu", lambda self: apply("maximum", self, 0.0)),
    define("relu6", lambda self: apply("minimum", apply("maximum", self, 0.0), 6.0)),
    define("hardtanh", lambda self: apply("minimum", apply("maximum", self, -1.0), 1.0)),
    define(
        "threshold",
        lambda self, threshold, value: apply("select", self > threshold, self, value),
        threshold=0.5,
        value=0.1,
    ),
    define("leaky_relu", leaky, negative_slope=0.2),
    *(
        define(op, lambda self, weight: apply("select", self > 0, self, self * weight))
        for op in ("prelu", "_prelu_kernel")
    ),
    define("elu", elu, alpha=1.5),
    define(
        "celu", lambda self, alpha: apply("select", self > 0, self, alpha * (apply("exp", self / alpha) - 1)), alpha=1.5
    ),
    define("selu", lambda self: 1.0507009873554805 * elu(self, 1.6732632423543772)),
    define("sigmoid", sigmoid),
    define("log_sigmoid", lambda self: -apply("log", 1 + apply("exp", -self))),
    define("silu", lambda self: self * sigmoid(self)),
    define("gelu", lambda self: 0.5 * (self * (1 + apply("erf", self * math.sqrt(0.5))))),
    define("gelu", gelu_tanh, approximate="tanh"),
    define("hardsigmoid", hardsigmoid),
    define("hardswish", lambda self: self * hardsigmoid(self)),
    define("softplus", lambda self, beta: apply("log", 1 + apply("exp", self * beta)) / beta, beta=2.0),
    define("mish", lambda self: self * apply("tanh", apply("log", 1 + apply("exp", self)))),
    # One half of the operand each.
    define("glu", lambda self, gate: self * sigmoid(gate)),
    # A random number between 0 and 1 per element: compared, masked, and rescaled.
    *(
        define(op, lambda self, draw, p: self * (draw >= p) * (1 / (1 - p)), p=0.5, train=True)
        for op in ("dropout", "native_dropout", "feature_dropout", "alpha_dropout")
    ),
    # The same random number, compared with the probability.
    define("bernoulli", lambda self, draw: draw < self),
]

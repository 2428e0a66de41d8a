"""Definitions of the gradients of operators in counting numbers; see reference.py and reference_elements.py.

`g` is an element of the gradient of the result. Values saved by autograd in the forward are given, all others are
computed from them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from support.reference import Array, Scalar, apply
from support.reference_elements import Definition, define, sigmoid
from support.reference_rows import Row, total


def gelu_exact(grad_output: Scalar, self: Scalar) -> Scalar:
    below = 0.5 * (1 + apply("erf", self * math.sqrt(0.5)))
    density = apply("exp", self * self * -0.5) * (1 / math.sqrt(2 * math.pi))
    return grad_output * (below + self * density)


def gelu_tanh(grad_output: Scalar, self: Scalar) -> Scalar:
    """The product rule over 0.5 x * (1 + tanh(inner)), as torch's kernels write it."""
    square = self * self
    inner = math.sqrt(2 / math.pi) * (self + 0.044715 * (square * self))
    bent = apply("tanh", inner)
    left, right = 0.5 * self, 1 + bent
    slope_of_inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * square)
    return grad_output * (0.5 * right + left * (1 - bent * bent) * slope_of_inner)


def silu(grad_output: Scalar, self: Scalar) -> Scalar:
    s = sigmoid(self)
    return grad_output * s * (1 + self * (1 - s))


def mish(grad_output: Scalar, self: Scalar) -> Scalar:
    s = sigmoid(self)
    t = apply("tanh", apply("log", 1 + apply("exp", self)))
    return grad_output * (t + self * s * (1 - t * t))


def between(self: Scalar, low: float, high: float) -> Scalar:
    return apply("and", self >= low, self <= high)


def hardswish(grad_output: Scalar, self: Scalar) -> Scalar:
    middle = grad_output * (self / 3 + 0.5)
    return apply("select", self < -3, 0.0, apply("select", self <= 3, middle, grad_output))


def elu_of_operand(grad_output: Scalar, self_or_result: Scalar, alpha: float, is_result: bool) -> Scalar:
    del is_result
    return apply("select", self_or_result > 0, grad_output, grad_output * alpha * apply("exp", self_or_result))


def elu_of_result(grad_output: Scalar, self_or_result: Scalar, alpha: float, is_result: bool) -> Scalar:
    del is_result
    return apply("select", self_or_result > 0, grad_output, grad_output * (self_or_result + alpha))


def softplus(grad_output: Scalar, self: Scalar, beta: float) -> Scalar:
    grown = apply("exp", self * beta)
    return grad_output * grown / (grown + 1)


def prelu(grad_output: Scalar, self: Scalar, weight: Scalar) -> tuple[Scalar, Scalar]:
    positive = self > 0
    return (
        apply("select", positive, grad_output, weight * grad_output),
        apply("select", positive, 0.0, self * grad_output),
    )


def clamped(x: Scalar, low: float, high: float) -> Scalar:
    return apply("minimum", apply("maximum", x, low), high)


def cross_entropy(grad_output: Scalar, self: Scalar, target: Scalar) -> Scalar:
    return grad_output * (self - target) / apply("maximum", self * (1 - self), 1e-12)


MEAN = 1 / 6  # of a loss that is a mean over six elements

ACTIVATIONS: list[Definition] = [
    define("gelu_backward", gelu_exact),
    define("gelu_backward", gelu_tanh, approximate="tanh"),
    define("silu_backward", silu),
    define("mish_backward", mish),
    define("sigmoid_backward", lambda grad_output, output: grad_output * (1 - output) * output),
    define("tanh_backward", lambda grad_output, output: grad_output * (1 - output * output)),
    define(
        "threshold_backward",
        lambda grad_output, self, threshold: apply("select", self > threshold, grad_output, 0.0),
        threshold=0.0,
    ),
    define(
        "hardtanh_backward",
        lambda grad_output, self: apply("select", apply("or", self <= -1.0, self >= 1.0), 0.0, grad_output),
    ),
    define("hardswish_backward", hardswish),
    define(
        "hardsigmoid_backward",
        lambda grad_output, self: apply("select", between(self, -3.0, 3.0), grad_output * (1 / 6), 0.0),
    ),
    define(
        "leaky_relu_backward",
        lambda grad_output, self, slope: apply("select", self > 0, grad_output, grad_output * slope),
        slope=0.2,
    ),
    define("rrelu_with_noise_backward", lambda grad_output, noise: grad_output * noise),
    define("_prelu_kernel_backward", prelu),
    define("elu_backward", elu_of_operand, alpha=1.5, is_result=False),
    define("elu_backward", elu_of_result, alpha=1.5, is_result=True),
    define("softplus_backward", softplus, beta=2.0),
    *(
        define(
            op,
            lambda grad_output, self, lambd: apply("select", between(self, -lambd, lambd), 0.0, grad_output),
            lambd=0.5,
        )
        for op in ("softshrink_backward", "hardshrink_backward")
    ),
    define("log_sigmoid_backward", lambda grad_output, self: grad_output * (1 / (1 + apply("exp", self)))),
    define("logit_backward", lambda grad_output, self: grad_output / (self * (1 - self))),
    define("native_dropout_backward", lambda grad_output, mask, scale: grad_output * mask * scale, scale=2.0),
    define("mse_loss_backward", lambda grad_output, self, target: (self - target) * (2 * MEAN) * grad_output),
    define(
        "smooth_l1_loss_backward",
        lambda grad_output, self, target, beta: clamped((self - target) / beta, -1.0, 1.0) * MEAN * grad_output,
        beta=0.5,
    ),
    define(
        "huber_loss_backward",
        lambda grad_output, self, target, delta: clamped(self - target, -delta, delta) * MEAN * grad_output,
        delta=0.5,
    ),
    define("binary_cross_entropy_backward", cross_entropy),
    define(
        "binary_cross_entropy_backward",
        lambda grad_output, self, target, weight: cross_entropy(grad_output, self, target) * weight,
    ),
]


def glu(g: Scalar, a: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    s = sigmoid(b)
    of_a = g * s
    return of_a, (1 - s) * of_a * a


# ---- rows ------------------------------------------------------------------------------------------------------------


def softmax(g: Row, y: Row) -> list[Scalar]:
    weighted = [a * b for a, b in zip(g, y, strict=True)]
    shift = total(weighted)
    return [w - b * shift for w, b in zip(weighted, y, strict=True)]


def log_softmax(g: Row, y: Row) -> list[Scalar]:
    shift = total(g)
    return [a - apply("exp", b) * shift for a, b in zip(g, y, strict=True)]


def layer_norm(
    g: Row, x: Row, weight: Row | None, mean: float = 0.5, rstd: float = 2.0, mask: Sequence[bool] = (True,) * 3
) -> None:
    """One row; the gradients of weight and bias are sums over rows, to which each row adds one term per element."""
    n = len(x)
    if mask[0] or mask[1]:
        normal = [(a - mean) * rstd for a in x]
    if mask[0]:
        scaled = g if weight is None else [a * w for a, w in zip(g, weight, strict=True)]
        first = total(scaled)
        second = total([a * b for a, b in zip(scaled, normal, strict=True)])
        with second.tally.part("row"):
            first, second = first / n, second / n
        for a, b in zip(scaled, normal, strict=True):
            rstd * (a - first - b * second)
    if mask[1]:
        total([a * b for a, b in zip(g, normal, strict=True)])
    if mask[2]:
        total(g)


def rms_norm_backward(g: Row, x: Row, weight: Row | None, mask: Sequence[bool] = (True, True)) -> None:
    rstd, n = 2.0, len(x)
    normal = [a * rstd for a in x]
    if mask[0]:
        scaled = g if weight is None else [a * w for a, w in zip(g, weight, strict=True)]
        shift = total([a * b for a, b in zip(scaled, normal, strict=True)])
        with shift.tally.part("row"):
            shift = shift / n
        for a, b in zip(scaled, normal, strict=True):
            rstd * (a - b * shift)
    if mask[1]:
        total([a * b for a, b in zip(g, normal, strict=True)])


def batch_norm(g: Row, x: Row, weight: Scalar, *, train: bool, mask: Sequence[bool] = (True,) * 3) -> None:
    """One channel. In training, the gradients of weight and bias are also needed for that of the input."""
    mean, rstd, n = 0.5, 2.0, len(x)
    if (train and mask[0]) or mask[1]:
        normal = [(a - mean) * rstd for a in x]
    if mask[1] or (train and mask[0]):
        of_weight = total([a * b for a, b in zip(g, normal, strict=True)])
    if mask[2] or (train and mask[0]):
        of_bias = total(g)
    if not mask[0]:
        return
    with weight.tally.part("row"):
        scale = weight * rstd
    if not train:
        for a in g:
            a * scale
        return
    with weight.tally.part("row"):
        first, second = of_bias / n, of_weight / n
    for a, b in zip(g, normal, strict=True):
        scale * (a - first - b * second)


# ---- products --------------------------------------------------------------------------------------------------------


def attention_backward(g: Array, query: Array, key: Array, value: Array, result: Array, *, masked: bool) -> None:
    """Fused attention for [heads, length, width] with one saved number per row of scores, their sum."""
    tally = query.flat[0].tally
    heads, rows, width = query.shape
    columns = key.shape[1]
    for h, i in itertools.product(range(heads), range(rows)):
        with tally.part("pointwise"):
            of_row = Scalar(0.0, tally)
            for a, b in zip(g[h, i], result[h, i], strict=True):
                of_row = of_row + a * b
        for j in range(columns):
            score = np.matmul(query[h, i], key[h, j])
            of_share = np.matmul(g[h, i], value[h, j])
            with tally.part("pointwise"):
                score = score * (1 / math.sqrt(width))
                score = score + 0.5 if masked else score
                share = apply("exp", score - 0.25)
                of_score = share * (of_share - of_row) * (1 / math.sqrt(width))
            for column in range(width):
                of_score * key[h, j, column]  # for the gradient of the query
                of_score * query[h, i, column]  # for that of the key
            for a in g[h, i]:
                share * a  # for that of the value


def spread_over(window: int) -> Callable[[Scalar, list[Scalar]], None]:
    """Return a function that adds a share of the gradient to every element of a window."""

    def spread(g: Scalar, places: list[Scalar]) -> None:
        share = g / window
        for place in places[:window]:
            place + share

    return spread

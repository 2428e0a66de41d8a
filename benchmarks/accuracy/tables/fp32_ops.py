"""`fp32_*.csv`: one operator in fp32 on SIMT units (TF32 off), eager, the best of 25 runs timed on the device.

Decisions, with evidence in the data:

- Execution is `eager`. The smallest row is 34 us, so the host's time is hidden behind earlier launches and an
  estimate's floor of a few us hardly matters; nothing is fused.
- Elementwise operators with two tensors move three times their size; those with a `u` at the end, whose other operand
  is a number, move it twice: 3.3 and 2.2 passes at the data sheet's bandwidth on V100. relu, gelu and tanh are not in
  place (2.2).
- softmax and layer_norm reduce rows; layer_norm has weight and bias, as in the models that these tables are for.
- linear has a bias, as `nn.Linear` has.
- bmm is `[batch, m, k] @ [batch, k, n]`: the FLOP rates 2*batch*m*n*k / latency stay below the fp32 peak of each
  card.
- conv2d has no bias. It ran with cuDNN's autotuning: on V100 half of the rows exceed 60 % of the fp32 peak and the best
  reaches twice the peak, which is Winograd; the choice of algorithm for a 3x3 convolution is left to pyinfercost.
  Latencies grow with a row's number in the table, by 0.1 (V100), 0.2 (T4) and 0.3 us (P100) per row, for small and
  large convolutions alike: every call searches one more choice of the autotuner. A forward of one model has no such
  overhead, and it is not predicted row by row; its average over the three cards' first halves is added to all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from ..cases import Case, Group
from .graphs import OpGraph

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    import pyinfercost as ic

    from ..measured import Table

AUTOTUNED_S = 100e-6
"""Additional host time of a convolution after the autotuner has chosen for a thousand others."""
_DTYPE = "float32"
_ROWS = ("rows", "columns")
_PRODUCT = ("batch", "m", "n", "k")
_CONVOLUTION = ("batch", "in_channels", "out_channels", "image_size")


def cases(table: Table) -> list[Case]:
    """Return the cases of one of the tables of fp32 operators; `op` is the operator."""
    measured_s = table.seconds()
    found = []
    for key, rows in table.groups("device", "software", "op", "precision", "kernel", "stride", "padding"):
        device, software, op, precision, kernel, stride, padding = key
        recipe = _RECIPES.get(op)
        if recipe is None:
            table.problems.add(table.name, "op unknown", op, len(rows))
            continue
        names, build = recipe
        columns: dict[str, NDArray[np.int64]] = {name: table.integers(name)[rows] for name in names}
        window = op in ("conv", "conv2d")
        graph = convolution(int(kernel), int(stride or 1), int(padding or 0)) if window else build(op)
        group = Group(table.name, device, software, precision or "fp32", "eager", op)
        host_s = AUTOTUNED_S if window else 0.0
        found.append(
            Case(group, graph, precision or "fp32", "eager", columns, measured_s[rows], rows, op, host_s=host_s)
        )
    return found


@cache
def elementwise(op: str) -> ic.Graph:
    """Return the graph of an operator of two tensors, of a tensor and a number (`addu`), or of one tensor."""
    ops = OpGraph(op)
    shape = [ops.size(name) for name in _ROWS]
    arguments = {"self": ops.given(_DTYPE, [*shape])}
    name = f"aten.{op.removesuffix('u') if op in _WITH_NUMBER else op}"
    if op in _WITH_TENSOR:
        arguments["other" if op != "pow" else "exponent"] = ops.given(_DTYPE, [*shape])
        name += ".Tensor_Tensor" if op == "pow" else ".Tensor"
    elif op in _WITH_NUMBER:
        name += ".Tensor_Scalar" if op == "powu" else ".Scalar"
    ops.call(name, arguments, _DTYPE, [*shape])
    return ops.build()


@cache
def along_rows(op: str) -> ic.Graph:
    """Return the graph of a softmax or a normalization of rows."""
    ops = OpGraph(op)
    rows, columns = (ops.size(name) for name in _ROWS)
    operand = ops.given(_DTYPE, [rows, columns])
    if op == "softmax":
        ops.call("aten.softmax.int", {"self": operand, "dim": -1}, _DTYPE, [rows, columns])
    else:
        arguments = {
            "input": operand,
            "normalized_shape": [columns],
            "weight": ops.given(_DTYPE, [columns], "parameter"),
            "bias": ops.given(_DTYPE, [columns], "parameter"),
        }
        ops.call("aten.layer_norm", arguments, _DTYPE, [rows, columns])
    return ops.build()


@cache
def product(op: str) -> ic.Graph:
    """Return the graph of a linear layer or a batch of products."""
    ops = OpGraph(op)
    batch, m, n, k = (ops.size(name) for name in _PRODUCT)
    left = ops.given(_DTYPE, [batch, m, k])
    if op == "linear":
        arguments = {
            "input": left,
            "weight": ops.given(_DTYPE, [n, k], "parameter"),
            "bias": ops.given(_DTYPE, [n], "parameter"),
        }
        ops.call("aten.linear", arguments, _DTYPE, [batch, m, n])
    else:
        ops.call("aten.bmm", {"self": left, "mat2": ops.given(_DTYPE, [batch, k, n])}, _DTYPE, [batch, m, n])
    return ops.build()


@cache
def convolution(kernel: int, stride: int, padding: int) -> ic.Graph:
    """Return the graph of a convolution over square images."""
    ops = OpGraph("conv2d")
    batch, channels, filters, image = (ops.size(name) for name in _CONVOLUTION)
    side = (image + 2 * padding - kernel) // stride + 1
    arguments = {
        "input": ops.given(_DTYPE, [batch, channels, image, image]),
        "weight": ops.given(_DTYPE, [filters, channels, kernel, kernel], "parameter"),
        "stride": [stride, stride],
        "padding": [padding, padding],
        "dilation": [1, 1],
        "groups": 1,
    }
    ops.call("aten.conv2d", arguments, _DTYPE, [batch, filters, side, side])
    return ops.build()


def _of_convolution(op: str) -> ic.Graph:
    raise AssertionError(f"{op} is built from its window")


_WITH_TENSOR = ("add", "sub", "mul", "div", "pow")
_WITH_NUMBER = tuple(f"{op}u" for op in _WITH_TENSOR)
_RECIPES: dict[str, tuple[tuple[str, ...], Callable[[str], ic.Graph]]] = {
    **dict.fromkeys((*_WITH_TENSOR, *_WITH_NUMBER, "relu", "gelu", "tanh", "sigmoid", "silu"), (_ROWS, elementwise)),
    **dict.fromkeys(("softmax", "ln", "layernorm", "layer_norm"), (_ROWS, along_rows)),
    **dict.fromkeys(("linear", "bmm"), (_PRODUCT, product)),
    **dict.fromkeys(("conv", "conv2d"), (_CONVOLUTION, _of_convolution)),
}

"""`apple_ops.csv`: one operator in fp32 on an Apple machine, eager, by MLX or torch.

Decisions, with evidence in the data:

- `mlx_gpu` and `mps` are judged on the GPU, which is what the catalog describes under the name of the chip. Rows of the
  CPU are counted and left out.
- Shapes are those of the inputs, channels last. Convolutions have stride 1, no padding, and kernels as [filters,
  window, channels]. `Linear` has weights as [in, out] and a bias; `Conv` and `MatMul` have none.
- Rows contain the dispatch of the call from Python, 0.03 to 0.5 ms, which is not predicted. Small shapes measure it.
- `Gather` writes one row of the source for every index: a million rows of 256 numbers, 1 GB, take 11.6 ms in MLX on an
  M1 Max of 400 GB/s. In torch the indices are repeated for every column. `Scatter` writes as many rows back.
- `ScatterSum` and `ScatterMax` of MLX take 0.05 ms for 10 and for a million indices: nothing was evaluated. They are
  left out.
- `BCE` is `aten.binary_cross_entropy` with a mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pyinfercost as ic

from ..cases import Case, Group
from .graphs import OpGraph

if TYPE_CHECKING:
    from ..measured import Table

_DTYPE = "float32"
_GPU = ("mlx_gpu", "mps")
_NOT_EVALUATED = ("ScatterSum", "ScatterMax")
Shape = tuple[int, ...]


def named(table: Table) -> Table:
    """Return the table with the catalog's names of chips that were sold with different numbers of cores."""
    known = set(ic.hardware.names())
    ids = [
        f"{device}-{cores}-core"
        for device, cores in zip(table.text("device"), table.text("gpu_cores", ""), strict=True)
    ]
    devices = [own if own in known else device for own, device in zip(ids, table.text("device"), strict=True)]
    return replace(table, columns={**table.columns, "device": devices})


def cases(table: Table) -> list[Case]:
    """Return the cases of the table of operators; `software` is the backend and `part` the operator."""
    measured_s = table.seconds()
    found = []
    for (device, backend, op, shapes), rows in table.groups("device", "backend", "op", "shapes"):
        reason = _reason(backend, op)
        graph = None if reason else operator(backend, op, shapes)
        if graph is None:
            table.problems.add(table.name, reason or "op or shapes unknown", f"{device} {backend} {op}", len(rows))
            continue
        group = Group(table.name, device, backend, "fp32", "eager", op)
        found.append(Case(group, graph, "fp32", "eager", {}, measured_s[rows], rows, op))
    return found


def _reason(backend: str, op: str) -> str:
    if backend not in _GPU:
        return "the catalog describes the GPU of this chip only" if backend == "cpu" else "backend unknown"
    return "nothing was evaluated in its time" if op in _NOT_EVALUATED else ""


@cache
def operator(backend: str, op: str, shapes: str) -> ic.Graph | None:
    """Return the graph of an operator of inputs such as `dim=64x128 dim=128x32 axi=1`; None for an unknown one."""
    inputs = [tuple(int(length) for length in text.split("x")) for text in re.findall(r"dim=([\dx]+)", shapes)]
    axis = re.search(r"axi=(-?\d+)", shapes)
    build = _BUILDERS.get(op)
    if build is None or not inputs:
        return None
    ops = OpGraph(f"{op} {shapes}")
    build(ops, inputs, int(axis[1]) if axis else -1, backend)
    return ops.build()


Build = Callable[[OpGraph, list[Shape], int, str], None]


def _elementwise(name: str, **attributes: Any) -> Build:
    def build(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
        ops.call(name, {"self": ops.given(_DTYPE, inputs[0]), **attributes}, _DTYPE, inputs[0])

    return build


def _prelu(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
    arguments = {"self": ops.given(_DTYPE, inputs[0]), "weight": ops.given(_DTYPE, inputs[1], "parameter")}
    ops.call("aten.prelu", arguments, _DTYPE, inputs[0])


def _along(name: str) -> Build:
    def build(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
        ops.call(name, {"self": ops.given(_DTYPE, inputs[0]), "dim": axis}, _DTYPE, inputs[0])

    return build


def _reduced(name: str, dtype: str = _DTYPE) -> Build:
    def build(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
        (shape,) = inputs
        kept = [length for place, length in enumerate(shape) if place != axis % len(shape)]
        dim: Any = [axis] if name == "aten.sum.dim_IntList" else axis
        ops.call(name, {"self": ops.given(_DTYPE, shape), "dim": dim}, dtype, kept)

    return build


def _sum_all(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
    ops.call("aten.sum", {"self": ops.given(_DTYPE, inputs[0])}, _DTYPE, [])


def _cross_entropy(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
    arguments = {"self": ops.given(_DTYPE, inputs[0]), "target": ops.given(_DTYPE, inputs[1]), "reduction": 1}
    ops.call("aten.binary_cross_entropy", arguments, _DTYPE, [])


def _concatenation(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
    result = list(inputs[0])
    result[axis] = sum(shape[axis] for shape in inputs)
    ops.call("aten.cat", {"tensors": [ops.given(_DTYPE, shape) for shape in inputs], "dim": axis}, _DTYPE, result)


def _convolution(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
    (batch, *sides, channels), (filters, *window, _) = inputs
    outer = [side - kernel + 1 for side, kernel in zip(sides, window, strict=True)]
    each = len(sides)
    arguments = {
        "input": ops.given(_DTYPE, [batch, channels, *sides]),
        "weight": ops.given(_DTYPE, [filters, channels, *window], "parameter"),
        "stride": [1] * each,
        "padding": [0] * each,
        "dilation": [1] * each,
        "groups": 1,
    }
    ops.call(f"aten.conv{each}d", arguments, _DTYPE, [batch, filters, *outer])


def _linear(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
    rows, (width, result), _ = inputs
    arguments = {
        "input": ops.given(_DTYPE, rows),
        "weight": ops.given(_DTYPE, [result, width], "parameter"),
        "bias": ops.given(_DTYPE, [result], "parameter"),
    }
    ops.call("aten.linear", arguments, _DTYPE, [*rows[:-1], result])


def _product(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
    left, right = inputs
    arguments = {"self": ops.given(_DTYPE, left), "other": ops.given(_DTYPE, right)}
    ops.call("aten.matmul", arguments, _DTYPE, [*left[:-1], right[-1]])


def _attention(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
    query, key, value = (ops.given(_DTYPE, shape) for shape in inputs)
    arguments = {"query": query, "key": key, "value": value}
    ops.call("aten.scaled_dot_product_attention", arguments, _DTYPE, [*inputs[0][:-1], inputs[2][-1]])


def _layer_norm(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
    width = inputs[0][-1]
    arguments = {
        "input": ops.given(_DTYPE, inputs[0]),
        "normalized_shape": [width],
        "weight": ops.given(_DTYPE, [width], "parameter"),
        "bias": ops.given(_DTYPE, [width], "parameter"),
    }
    ops.call("aten.layer_norm", arguments, _DTYPE, inputs[0])


def _gather(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
    source, (count,) = inputs
    result = [count, *source[1:]]
    if backend == "mps":
        arguments = {"self": ops.given(_DTYPE, source), "dim": 0, "index": ops.given("int64", result)}
        ops.call("aten.gather", arguments, _DTYPE, result)
    else:
        arguments = {"self": ops.given(_DTYPE, source), "dim": 0, "index": ops.given("int32", [count])}
        ops.call("aten.index_select", arguments, _DTYPE, result)


def _scatter(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
    target, (count,) = inputs
    values = [count, *target[1:]]
    arguments: dict[str, Any] = {"self": ops.given(_DTYPE, target), "dim": 0}
    if backend == "mps":
        arguments |= {"index": ops.given("int64", values), "src": ops.given(_DTYPE, values)}
        ops.call("aten.scatter.src", arguments, _DTYPE, target)
    else:
        arguments |= {"index": ops.given("int32", [count]), "source": ops.given(_DTYPE, values)}
        ops.call("aten.index_copy", arguments, _DTYPE, target)


def _sorted(ops: OpGraph, inputs: list[Shape], axis: int, backend: str) -> None:
    ops.call("aten.sort", {"self": ops.given(_DTYPE, inputs[0]), "dim": axis}, _DTYPE, inputs[0])


_BUILDERS: dict[str, Build] = {
    "ReLU": _elementwise("aten.relu"),
    "LeakyReLU": _elementwise("aten.leaky_relu"),
    "SeLU": _elementwise("aten.selu"),
    "Sigmoid": _elementwise("aten.sigmoid"),
    "Softplus": _elementwise("aten.softplus"),
    "PReLU": _prelu,
    "Softmax": _along("aten.softmax.int"),
    "Sort": _sorted,
    "Argmax": _reduced("aten.argmax", "int64"),
    "Sum": _reduced("aten.sum.dim_IntList"),
    "SumAll": _sum_all,
    "BCE": _cross_entropy,
    "Concat": _concatenation,
    "Conv1d": _convolution,
    "Conv2d": _convolution,
    "Linear": _linear,
    "MatMul": _product,
    "ScaledDotProductAttention": _attention,
    "LayerNorm": _layer_norm,
    "Gather": _gather,
    "Scatter": _scatter,
}

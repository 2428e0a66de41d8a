"""Reductions, scans and sorts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..op import CONTRIB, NotKnownError, Op, Result, handles
from ..shapes import axis_of, product
from ..values import Size, Value

_NAMES = {
    "ReduceSum": "sum.dim_IntList",
    "ReduceMean": "mean.dim",
    "ReduceMax": "amax.default",
    "ReduceMin": "amin.default",
    "ReduceProd": "prod.dim_int",
    "ReduceL1": "norm.ScalarOpt_dim",
    "ReduceL2": "linalg_vector_norm.default",
    "ReduceLogSumExp": "logsumexp.default",
}


def reduced(op: Op, x: Value, name: str, axes: Sequence[int] | None, *, inner: bool = False) -> Value:
    """Emit a reduction over axes, or over all dimensions."""
    places = range(x.rank) if axes is None else {axis_of(axis, x.rank) for axis in axes}
    keep = bool(op.integer("keepdims", 1))
    shape: list[Size] = []
    for place, length in enumerate(x.shape):
        if place not in places:
            shape.append(length)
        elif keep:
            shape.append(1)
    full = name if "." in name else f"{name}.dim"
    arguments = {"self": x, "dim": sorted(places), "keepdim": keep}
    make = op.inner if inner else op.new
    return make(f"aten.{full}", arguments, x.dtype, shape)


def _axes(op: Op, x: Value) -> list[int] | None:
    axes = op.axes(1, x.rank)
    return axes or None


@handles(*_NAMES, "ReduceLogSum", "ReduceSumSquare")
def reduce(op: Op) -> Result:
    x = op[0]
    axes = _axes(op, x)
    if axes is None and op.integer("noop_with_empty_axes"):
        return x
    if op.type == "ReduceSumSquare":
        squares = op.inner("aten.mul.Tensor", {"self": x, "other": x}, x.dtype, x.shape)
        return reduced(op, squares, "sum.dim_IntList", axes)
    if op.type == "ReduceLogSum":
        total = reduced(op, x, "sum.dim_IntList", axes, inner=True)
        return op.new("aten.log.default", {"self": total}, x.dtype, total.shape)
    return reduced(op, x, _NAMES[op.type], axes)


@handles("ReduceSumInteger", domain=CONTRIB)
def reduce_sum_integer(op: Op) -> Result:
    return reduced(op, op[0], "sum.dim_IntList", op.integers("axes"))


@handles("ArgMax", "ArgMin")
def argmax(op: Op) -> Result:
    x = op[0]
    axis = op.axis(0, x.rank)
    shape: list[Size] = list(x.shape)
    if op.integer("keepdims", 1):
        shape[axis] = 1
    else:
        del shape[axis]
    return op.new(f"aten.{op.type.lower()}.default", {"self": x, "dim": axis}, "int64", shape)


@handles("CumSum", "CumProd")
def cumulative(op: Op) -> Result:
    x = op[0]
    return op.new(f"aten.{op.type.lower()}.default", {"self": x, "dim": 0}, x.dtype, x.shape)


@handles("TopK")
def top_k(op: Op) -> Sequence[Result]:
    x = op[0]
    axis = op.axis(-1, x.rank)
    try:
        k: Size = op.integer("k") if op.version < 10 else op.sizes(1)[0]
    except NotKnownError:
        k = op.length_of_data("topk", "elements that a selection of the largest keeps", x.shape[axis])
    shape = list(x.shape)
    shape[axis] = k
    results = [op.result(x.dtype, shape), op.result("int64", shape, place=1)]
    op.emit("aten.topk.default", {"self": x, "k": k, "dim": axis}, *results)
    return list(results)


@handles("Unique")
@handles("Unique", domain=CONTRIB)
def unique(op: Op) -> Sequence[Result]:
    x = op[0]
    axis = op.integer("axis") if op.has("axis") else None
    bound = product(x.shape) if axis is None else x.shape[axis_of(axis, x.rank)]
    count = op.length_of_data("unique", "different values of a tensor", bound)
    shape: list[Size] = [count]
    if axis is not None:
        shape = list(x.shape)
        shape[axis_of(axis, x.rank)] = count
    # Results: values, their first places, the place of each input, counts.
    results = [
        op.result(x.dtype, shape),
        op.result("int64", (count,), place=1),
        op.result("int64", (bound,), place=2),
        op.result("int64", (count,), place=3),
    ]
    used = results[: max(1, len(op.output_names))]
    arguments: dict[str, Any] = {"self": x}
    op.emit("aten._unique2.default", arguments, *used)
    return list(used)


@handles("Det")
def determinant(op: Op) -> Result:
    return op.new("aten.linalg_det.default", {"A": op[0]}, op[0].dtype, op[0].shape[:-2])


@handles("Inverse", domain=CONTRIB)
def inverse(op: Op) -> Result:
    return op.new("aten.linalg_inv.default", {"A": op[0]}, op[0].dtype, op[0].shape)


@handles("CDist", domain=CONTRIB)
def cdist(op: Op) -> Result:
    shape = (op[0].shape[0], op[1].shape[0])
    return op.new("aten.cdist.default", {"x1": op[0], "x2": op[1], "p": 2.0}, op[0].dtype, shape)

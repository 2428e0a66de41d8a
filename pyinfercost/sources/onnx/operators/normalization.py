"""Norms and softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..op import CONTRIB, Op, Result, handles
from ..shapes import axis_of, product
from ..stored import OnnxError
from ..values import Size, Value
from .elementwise import of_two, with_bias
from .movement import part_of, permuted, reshaped


@handles("BatchNormalization")
def batch_norm(op: Op) -> Sequence[Result]:
    x = op[0]
    emitter = op.walker.emitter
    statistics = [emitter.tensor(op[place], role="buffer") if op[place].is_weight else op[place] for place in (3, 4)]
    training = bool(op.integer("training_mode"))
    arguments: dict[str, Any] = {
        "input": x,
        "weight": op[1],
        "bias": op[2],
        "running_mean": statistics[0],
        "running_var": statistics[1],
        "training": training,
    }
    result = op.new("aten.batch_norm.default", arguments, x.dtype, x.shape)
    others = [op.result(op[3].dtype, op[3].shape, place=place) for place in range(1, len(op.output_names))]
    if training and others:
        sums = {"self": x, "dim": [0, *range(2, x.rank)]}
        op.emit("aten.var_mean.correction", sums, *others)
    return [result, *others]


def layer_normed(op: Op, x: Value, weight: Value | None, bias: Value | None, axis: int, *, rms: bool = False) -> Value:
    """Emit a layer norm, or a norm by the root mean square, over the dimensions from an axis."""
    lengths = list(x.shape[axis:])
    arguments: dict[str, Any] = {"input": x, "normalized_shape": lengths}
    if weight is not None:
        arguments["weight"] = weight
    if bias is not None:
        arguments["bias"] = bias
    return op.new(f"aten.{'rms' if rms else 'layer'}_norm.default", arguments, x.dtype, x.shape)


def _statistics(op: Op, x: Value, axis: int, places: range) -> Sequence[Result]:
    shape = [*x.shape[:axis], *([1] * (x.rank - axis))]
    wanted: list[Result] = []
    for place in places:
        if op.wants(place):
            made = op.result("float32", shape, place=place)
            dims = list(range(axis, x.rank))
            wanted.append(op.emit("aten.mean.dim", {"self": x, "dim": dims, "keepdim": True}, made))
        else:
            wanted.append(None)
    return wanted


@handles("LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization")
@handles("LayerNormalization", "SimplifiedLayerNormalization", domain=CONTRIB)
def layer_norm(op: Op) -> Sequence[Result]:
    x = op[0]
    axis = op.axis(-1, x.rank)
    rms = op.type != "LayerNormalization"
    result = layer_normed(op, x, op.get(1), None if rms else op.get(2), axis, rms=rms)
    return [result, *_statistics(op, x, axis, range(1, len(op.output_names)))]


@handles("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=CONTRIB)
def skip_layer_norm(op: Op) -> Sequence[Result]:
    rms = op.type.startswith("SkipSimplified")
    beta, bias = (None, op.get(3)) if rms else (op.get(3), op.get(4))
    x = of_two(op, "add", with_bias(op, op[0], bias), op[1])
    result = layer_normed(op, x, op.get(2), beta, x.rank - 1, rms=rms)
    # Mean and variance are for training; the fourth result is the sum.
    return [result, None, None, x][: max(1, len(op.output_names))]


@handles("EmbedLayerNormalization", domain=CONTRIB)
def embed_layer_norm(op: Op) -> Sequence[Result]:
    ids, segments = op[0], op.get(1)
    width = op[2].shape[-1]
    shape = (*ids.shape, width)
    words = op.inner("aten.embedding.default", {"weight": op[2], "indices": ids}, op[2].dtype, shape)
    positions = op.get(8)
    if positions is None:
        positions = op.inner("aten.arange.default", {"end": ids.shape[-1]}, "int64", (ids.shape[-1],))
    placed = (*positions.shape, width)
    table = op.inner("aten.embedding.default", {"weight": op[3], "indices": positions}, op[3].dtype, placed)
    total = of_two(op, "add", words, table)
    if segments is not None and op.get(4) is not None:
        found = op.inner("aten.embedding.default", {"weight": op[4], "indices": segments}, op[4].dtype, shape)
        total = of_two(op, "add", total, found)
    result = layer_normed(op, total, op.get(5), op.get(6), total.rank - 1)
    mask = op.get(7)
    index: Result = None
    if op.wants(1):
        made = op.result("int32", (ids.shape[0],), place=1)
        source = ids if mask is None else mask
        index = op.emit("aten.sum.dim_IntList", {"self": source, "dim": [1]}, made)
    return [result, index, total][: max(1, len(op.output_names))]


@handles("GroupNormalization")
def group_norm(op: Op) -> Result:
    return _grouped(op, op[0], op.integer("num_groups", 1), op.get(1), op.get(2))


@handles("InstanceNormalization")
def instance_norm(op: Op) -> Result:
    groups = op[0].shape[1] if op[0].rank > 1 else 1
    return _grouped(op, op[0], groups, op.get(1), op.get(2))


def _grouped(op: Op, x: Value, groups: Size, weight: Value | None, bias: Value | None) -> Value:
    arguments: dict[str, Any] = {"input": x, "num_groups": groups}
    if weight is not None:
        arguments["weight"] = weight
    if bias is not None:
        arguments["bias"] = bias
    return op.new("aten.group_norm.default", arguments, x.dtype, x.shape)


@handles("GroupNorm", "SkipGroupNorm", domain=CONTRIB)
def contrib_group_norm(op: Op) -> Sequence[Result]:
    x = op[0]
    total = x
    if op.type == "SkipGroupNorm":
        total = of_two(op, "add", with_bias(op, x, op.get(4)), op[3])
    groups = op.integer("groups", 1)
    # Channels are last; each group of them is normalized over all positions.
    result = _grouped(op, total, groups, op.get(1), op.get(2))
    if op.integer("activation"):
        result = op.inner("aten.silu.default", {"self": result}, x.dtype, x.shape)
    return [result, total][: max(1, len(op.output_names))]


@handles("LpNormalization")
def lp_norm(op: Op) -> Result:
    x = op[0]
    axis = op.axis(-1, x.rank)
    shape = list(x.shape)
    shape[axis] = 1
    norm = op.inner("aten.linalg_vector_norm.default", {"self": x, "dim": [axis]}, x.dtype, shape)
    return op.new("aten.div.Tensor", {"self": x, "other": norm}, x.dtype, x.shape)


@handles("MeanVarianceNormalization")
def mean_variance_norm(op: Op) -> Result:
    x = op[0]
    axes = [axis_of(axis, x.rank) for axis in op.integers("axes") or [0, 2, 3]]
    kept = [place for place in range(x.rank) if place not in axes]

    moved = permuted(op, x, [*kept, *axes], inner=True)
    normed = layer_normed(op, moved, None, None, len(kept))
    back = [[*kept, *axes].index(place) for place in range(x.rank)]
    return permuted(op, normed, back)


@handles("LRN")
def local_response_norm(op: Op) -> Result:
    x = op[0]
    size = op.integer("size", 1)
    squares = op.inner("aten.mul.Tensor", {"self": x, "other": x}, x.dtype, x.shape)
    pooled = op.inner("aten.avg_pool1d.default", {"self": squares, "kernel_size": [size]}, x.dtype, x.shape)
    scaled = op.inner("aten.mul.Scalar", {"self": pooled, "other": op.real("alpha", 1e-4)}, x.dtype, x.shape)
    moved = op.inner("aten.add.Scalar", {"self": scaled, "other": op.real("bias", 1.0)}, x.dtype, x.shape)
    power = op.inner("aten.pow.Tensor_Scalar", {"self": moved, "exponent": op.real("beta", 0.75)}, x.dtype, x.shape)
    return op.new("aten.div.Tensor", {"self": x, "other": power}, x.dtype, x.shape)


@handles("Softmax", "LogSoftmax")
def softmax(op: Op) -> Result:
    x = op[0]
    name = "log_softmax" if op.type == "LogSoftmax" else "softmax"
    if op.version >= 13:
        axis = op.axis(-1, x.rank)
        return op.new(f"aten.{name}.int", {"self": x, "dim": axis}, x.dtype, x.shape)
    # Before operator set 13 all dimensions from the axis are one.
    axis = op.axis(1, x.rank) if x.rank > 1 else 0
    if axis == x.rank - 1:
        return op.new(f"aten.{name}.int", {"self": x, "dim": axis}, x.dtype, x.shape)
    flat = reshaped(op, x, [product(x.shape[:axis]), product(x.shape[axis:])], inner=True)
    result = op.inner(f"aten.{name}.int", {"self": flat, "dim": 1}, x.dtype, flat.shape)
    return reshaped(op, result, x.shape)


@handles("Hardmax")
def hardmax(op: Op) -> Result:
    x = op[0]
    axis = op.axis(-1, x.rank)
    shape = [*x.shape[:axis], *x.shape[axis + 1 :]]
    found = op.inner("aten.argmax.default", {"self": x, "dim": axis}, "int64", shape)
    return op.new("aten.one_hot.default", {"self": found}, x.dtype, x.shape)


@handles("BiasSoftmax", domain=CONTRIB)
def bias_softmax(op: Op) -> Result:
    total = of_two(op, "add", op[0], op[1])
    return op.new("aten.softmax.int", {"self": total, "dim": op.axis(1, total.rank)}, total.dtype, total.shape)


@handles("BiasAdd", domain=CONTRIB)
def bias_add(op: Op) -> Result:
    return of_two(op, "add", of_two(op, "add", op[0], op[1]), op[2])


@handles("BiasSplitGelu", domain=CONTRIB)
def bias_split_gelu(op: Op) -> Result:

    x = of_two(op, "add", op[0], op[1])
    half = x.shape[-1] // 2
    if isinstance(half, int) and half < 1:
        raise OnnxError("splits a row of fewer than 2 elements")
    left, right = (part_of(op, x, x.rank - 1, start, half) for start in (0, half))
    active = op.inner("aten.gelu.default", {"self": right}, x.dtype, right.shape)
    return op.new("aten.mul.Tensor", {"self": left, "other": active}, x.dtype, left.shape)

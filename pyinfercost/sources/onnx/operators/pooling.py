"""Pooling and resampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from pyinfercost._core import Expr

from ..op import CONTRIB, NotKnownError, Op, Result, handles
from ..shapes import axis_of, plain
from ..small_tensors import Ratio
from ..stored import OnnxError
from ..values import Shape, Size, Value
from .contractions import windows

_LARGEST_RANK = 3


def pooled(op: Op, x: Value, kernel: Sequence[Size], kind: str, *, whole: bool = False) -> Value:
    """Emit a pooling over windows, or over all positions."""
    rank = x.rank - 2
    if rank < 1 or rank > _LARGEST_RANK or len(kernel) != rank:
        raise OnnxError(f"pools a tensor of {x.rank} dimensions by windows of {len(kernel)}; expected 3 to 5")
    if whole:
        ones: list[Size] = [1] * rank
        name = f"aten.adaptive_{kind}_pool{rank}d.default"
        return op.new(name, {"self": x, "output_size": ones}, x.dtype, (*x.shape[:2], *ones))
    lengths, details = windows(op, x.shape[2:], kernel, ceil=bool(op.integer("ceil_mode")))
    details["kernel_size"] = list(kernel)
    return op.new(f"aten.{kind}_pool{rank}d.default", {"self": x, **details}, x.dtype, (*x.shape[:2], *lengths))


@handles("AveragePool")
def average_pool(op: Op) -> Result:
    return pooled(op, op[0], list(op.integers("kernel_shape") or []), "avg")


@handles("MaxPool")
def max_pool(op: Op) -> Sequence[Result]:
    x = op[0]
    kernel: list[Size] = list(op.integers("kernel_shape") or [])
    if x.source is not None and x.source.is_whole:
        # The largest integer represents the largest float.
        stored = pooled(op, x.source.stored, kernel, "max")
        result = op.result(x.dtype, stored.shape)
        result.source = x.source.of(stored)
        result.make = result.source.reading(op, result)
        return [result]
    result = pooled(op, x, kernel, "max")
    if not op.wants(1):
        return [result]
    # The kernel writes positions as well as results.
    indices = op.result("int64", result.shape, place=1)
    op.emit("aten.empty.memory_format", {"size": list(result.shape)}, indices)
    return [result, indices]


@handles("GlobalAveragePool", "GlobalMaxPool")
def global_pool(op: Op) -> Result:
    x = op[0]
    kind = "avg" if op.type == "GlobalAveragePool" else "max"
    if x.rank - 2 in range(1, _LARGEST_RANK + 1):
        return pooled(op, x, x.shape[2:], kind, whole=True)
    shape: Shape = (*x.shape[:2], *([1] * (x.rank - 2)))
    name = "mean.dim" if kind == "avg" else "amax.default"
    return op.new(f"aten.{name}", {"self": x, "dim": list(range(2, x.rank)), "keepdim": True}, x.dtype, shape)


@handles("LpPool", "GlobalLpPool")
def lp_pool(op: Op) -> Result:
    x = op[0]
    powers = op.inner("aten.pow.Tensor_Scalar", {"self": x, "exponent": op.integer("p", 2)}, x.dtype, x.shape)
    kernel: list[Size] = list(op.integers("kernel_shape") or x.shape[2:])
    sums = pooled(op, powers, kernel, "avg", whole=op.type == "GlobalLpPool")
    return op.new("aten.pow.Tensor_Scalar", {"self": sums, "exponent": 0.5}, x.dtype, sums.shape)


@handles("MaxUnpool")
def max_unpool(op: Op) -> Result:
    x = op[0]
    shape: list[Size] = list(x.shape)
    if op.get(2) is not None:
        shape = op.sizes(2)
    else:
        kernel = op.integers("kernel_shape") or []
        strides = op.integers("strides") or [1] * len(kernel)
        pads = op.integers("pads") or [0] * 2 * len(kernel)
        for axis, window in enumerate(kernel):
            margin = pads[axis] + pads[axis + len(kernel)]
            shape[axis + 2] = plain((x.shape[axis + 2] - 1) * strides[axis] + window - margin)
    return op.new("aten.max_unpool2d.default", {"self": x, "indices": op[1]}, x.dtype, shape)


@handles("MaxRoiPool")
def roi_pool(op: Op) -> Result:
    height, width = op.integers("pooled_shape") or [1, 1]
    shape = (op[1].shape[0], op[0].shape[1], height, width)
    return op.new("torchvision.roi_pool.default", {"input": op[0], "rois": op[1]}, op[0].dtype, shape)


@handles("RoiAlign")
def roi_align(op: Op) -> Result:
    height, width = op.integer("output_height", 1), op.integer("output_width", 1)
    shape = (op[1].shape[0], op[0].shape[1], height, width)
    arguments = {"input": op[0], "rois": op[1], "sampling_ratio": op.integer("sampling_ratio")}
    return op.new("torchvision.roi_align.default", arguments, op[0].dtype, shape)


@handles("Resize", "Upsample")
def resize(op: Op) -> Result:
    x = op[0]
    lengths = _resized(op, x)
    mode = op.text("mode", "nearest")
    changed = [length for length, old in zip(lengths, x.shape, strict=True) if length != old]
    if not changed:
        return x
    axes = max(1, min(_LARGEST_RANK, x.rank - 2))
    if mode in ("linear", "bilinear"):
        name = {1: "upsample_linear1d", 2: "upsample_bilinear2d", 3: "upsample_trilinear3d"}[axes]
    elif mode == "cubic":
        name = "upsample_bicubic2d"
    else:
        name = f"upsample_nearest{axes}d"
    if op.integer("antialias") and axes == 2 and mode in ("linear", "cubic"):
        name = f"_{name}_aa"
    return op.new(f"aten.{name}.default", {"self": x, "output_size": lengths[2:]}, x.dtype, lengths)


def _resized(op: Op, x: Value) -> list[Size]:
    try:
        return _target(op, x)
    except NotKnownError:
        declared = op.declared(0)
        if declared is None:
            raise
        return list(declared)


def _target(op: Op, x: Value) -> list[Size]:
    axes = op.integers("axes")
    places = list(range(x.rank)) if axes is None else [axis_of(axis, x.rank) for axis in axes]
    result = list(x.shape)
    new = op.type == "Resize" and op.version >= 11
    given = op.get(3) if new else None
    if given is not None and given.shape != (0,):
        for place, length in zip(places, op.sizes(3), strict=True):
            result[place] = length
        if op.text("keep_aspect_ratio_policy", "stretch") != "stretch":
            return _keeping_aspect(op, x, places, result)
        return result
    if op.has("scales"):
        factors: list[Any] = list(op.attributes()["scales"].floats)
    else:
        data = op[2 if new else 1].data
        if data is None:
            raise NotKnownError
        factors = data.reshape(-1).tolist()
    for place, factor in zip(places, factors, strict=True):
        result[place] = _scaled(x.shape[place], factor)
    return result


def _keeping_aspect(op: Op, x: Value, places: Sequence[int], target: list[Size]) -> list[Size]:
    lengths = [(x.shape[place], target[place]) for place in places]
    if not all(isinstance(old, int) and isinstance(new, int) and old for old, new in lengths):
        return target
    factors = [int(new) / int(old) for old, new in lengths]
    larger = op.text("keep_aspect_ratio_policy") == "not_larger"
    factor = min(factors) if larger else max(factors)
    for place in places:
        target[place] = math.floor(int(x.shape[place]) * factor + 0.5)
    return target


def _scaled(length: Size, factor: Any) -> Size:
    if isinstance(factor, Ratio):
        raise NotKnownError
    if isinstance(factor, Expr):
        return plain(length * factor)
    if isinstance(length, int):
        if not math.isfinite(factor) or factor < 0:
            raise OnnxError(f"scales by {factor}; expected a number of at least 0")
        return math.floor(length * float(factor))
    if float(factor).is_integer():
        return plain(length * int(factor))

    fraction = Fraction(factor).limit_denominator(10**6)
    return plain(length * fraction.numerator // fraction.denominator)


@handles("CropAndResize", domain=CONTRIB)
def crop_and_resize(op: Op) -> Result:
    size = op.sizes(3)
    shape = (op[1].shape[0], op[0].shape[1], *size)
    return op.new("torchvision.roi_align.default", {"input": op[0], "rois": op[1]}, op[0].dtype, shape)


@handles("GridSample")
@handles("GridSample", domain=CONTRIB)
def grid_sample(op: Op) -> Result:
    x, grid = op[0], op[1]
    rank = x.rank - 2
    shape = (*x.shape[:2], *grid.shape[1:-1])
    modes = {"nearest": 1, "cubic": 2, "bicubic": 2}
    mode = modes.get(op.text("mode", "linear"), 0)
    name = f"aten.grid_sampler_{3 if rank == 3 else 2}d.default"
    return op.new(name, {"input": x, "grid": grid, "interpolation_mode": mode}, x.dtype, shape)


@handles("AffineGrid")
def affine_grid(op: Op) -> Result:
    size = op.sizes(1)
    shape = (size[0], *size[2:], len(size) - 2)
    return op.new("aten.affine_grid_generator.default", {"theta": op[0], "size": size}, op[0].dtype, shape)

"""Gathers and scatters."""

from __future__ import annotations

from typing import Any

from ..op import CONTRIB, Op, Result, handles
from ..shapes import product, smaller
from ..stored import OnnxError
from ..values import Size, Value
from .movement import strides_of


@handles("Gather")
def gather(op: Op) -> Result:
    table, indices = op[0], op[1]
    axis = op.axis(0, table.rank)
    shape = (*table.shape[:axis], *indices.shape, *table.shape[axis + 1 :])
    if table.source is not None and table.source.stored.is_weight and axis == 0 and table.rank == 2:
        weight = table.source.tensor(op)
        arguments: dict[str, Any] = {"weight": weight, "indices": indices}
        return op.new("quantized.embedding_byte.default", arguments, table.dtype, shape)
    if not indices.shape and indices.scalar() is not None:
        strides = strides_of(table)
        kept = [step for place, step in enumerate(strides) if place != axis]
        result = op.result(table.dtype, shape, strides=kept)
        return op.emit("aten.select.int", {"self": table, "dim": axis, "index": indices.scalar()}, result)
    if axis == 0 and table.is_weight and table.rank == 2:
        # Rows of bytes are from a quantized table, and are dequantized after they are read.
        role = "parameter" if table.dtype in ("int8", "uint8") else None
        weight = op.walker.emitter.tensor(table, role=role)
        return op.new("aten.embedding.default", {"weight": weight, "indices": indices}, table.dtype, shape)
    return op.new("aten.index_select.default", {"self": table, "dim": axis, "index": indices}, table.dtype, shape)


@handles("TorchEmbedding", domain=CONTRIB)
def torch_embedding(op: Op) -> Result:
    shape = (*op[1].shape, *op[0].shape[1:])
    return op.new("aten.embedding.default", {"weight": op[0], "indices": op[1]}, op[0].dtype, shape)


@handles("GatherElements")
def gather_elements(op: Op) -> Result:
    axis = op.axis(0, op[0].rank)
    return op.new("aten.gather.default", {"self": op[0], "dim": axis, "index": op[1]}, op[0].dtype, op[1].shape)


@handles("GatherND")
@handles("GatherND", domain=CONTRIB)
def gather_nd(op: Op) -> Result:
    table, indices = op[0], op[1]
    batch = op.integer("batch_dims")
    depth = indices.shape[-1] if indices.shape else 1
    if not isinstance(depth, int) or depth < 1 or batch + depth > table.rank:
        raise OnnxError(f"has indices of {depth} numbers into a tensor of {table.rank} dimensions")
    shape = (*indices.shape[:-1], *table.shape[batch + depth :])
    return op.new("aten.index.Tensor", {"self": table, "index": indices}, table.dtype, shape)


@handles("ScatterElements", "Scatter")
def scatter_elements(op: Op) -> Result:
    axis = op.axis(0, op[0].rank)
    name = {"add": "scatter_add.default", "none": "scatter.src"}.get(op.text("reduction", "none"), "scatter_reduce.two")
    arguments = {"self": op[0], "dim": axis, "index": op[1], "src": op[2]}
    if name == "scatter_reduce.two":
        arguments["reduce"] = op.text("reduction")
    return op.new(f"aten.{name}", arguments, op[0].dtype, op[0].shape)


@handles("ScatterND")
def scatter_nd(op: Op) -> Result:
    adds = op.text("reduction", "none") != "none"
    arguments = {"self": op[0], "indices": [op[1]], "values": op[2], "accumulate": adds}
    return op.new("aten.index_put.default", arguments, op[0].dtype, op[0].shape)


@handles("TensorScatter")
def tensor_scatter(op: Op) -> Result:
    arguments = {"self": op[0], "src": op[1]}
    return op.new("aten.slice_scatter.default", arguments, op[0].dtype, op[0].shape)


@handles("OneHot")
def one_hot(op: Op) -> Result:
    indices, values = op[0], op[2]
    depth: Size
    sizes = op[1].sizes()
    depth = op.length_of_data("one_hot", "classes of a one-hot code", None) if sizes is None else sizes[0]
    axis = op.integer("axis", -1)
    place = axis + indices.rank + 1 if axis < 0 else axis
    shape = [*indices.shape[:place], depth, *indices.shape[place:]]
    return op.new("aten.one_hot.default", {"self": indices}, values.dtype, shape)


@handles("NonZero")
def nonzero(op: Op) -> Result:
    count = op.length_of_data("nonzero", "elements of a mask that are true", product(op[0].shape))
    found = op.inner("aten.nonzero.default", {"self": op[0]}, "int64", (count, op[0].rank))
    result = op.result("int64", (op[0].rank, count), strides=(1, op[0].rank))
    return op.emit("aten.t.default", {"self": found}, result)


@handles("Compress")
def compress(op: Op) -> Result:
    x, mask = op[0], op[1]
    if op.has("axis"):
        axis = op.axis(0, x.rank)
        shape = list(x.shape)
        shape[axis] = op.length_of_data(
            "nonzero", "elements of a mask that are true", smaller(mask.shape[0], x.shape[axis])
        )
    else:
        shape = [op.length_of_data("nonzero", "elements of a mask that are true", mask.shape[0])]
    return op.new("aten.masked_select.default", {"self": x, "mask": mask}, x.dtype, shape)


@handles("NonMaxSuppression")
def non_max_suppression(op: Op) -> Result:
    boxes, scores = op[0], op[1]
    most: Size = scores.shape[-1]
    limit = op.get(2)
    numbers = None if limit is None else limit.numbers()
    if numbers:
        most = smaller(most, numbers[0])
    classes = scores.shape[0] * scores.shape[1]
    kept = op.length_of_data("nms", "boxes that non-maximum suppression keeps", classes * most)
    # Each class of each image compares all its boxes.
    flat = Value(boxes.dtype, (boxes.shape[1], 4))
    op.emit("aten.select.int", {"self": boxes, "dim": 0, "index": 0}, flat)
    each = op.result("int64", (kept, 3))
    return op.emit("torchvision.nms.default", {"dets": flat, "scores": scores}, each)

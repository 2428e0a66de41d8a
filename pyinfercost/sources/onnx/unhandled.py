"""Nodes of operators without a handler, or whose results have lengths that depend on data."""

from __future__ import annotations

from .inference import inferred
from .op import Op, Result
from .values import Value

# Operators whose work does not need the content of their other operands, once the shape of the result is known.
_OF_CONTENT = {
    "AffineGrid": "aten.empty.memory_format",
    "CenterCropPad": "aten.constant_pad_nd.default",
    "Col2Im": "aten.col2im.default",
    "MaxUnpool": "aten.max_unpool2d.default",
    "MelWeightMatrix": "aten.full.default",
    "Pad": "aten.constant_pad_nd.default",
    "ReduceL1": "aten.norm.ScalarOpt_dim",
    "ReduceL2": "aten.linalg_vector_norm.default",
    "ReduceLogSum": "aten.logsumexp.default",
    "ReduceLogSumExp": "aten.logsumexp.default",
    "ReduceMax": "aten.amax.default",
    "ReduceMean": "aten.mean.dim",
    "ReduceMin": "aten.amin.default",
    "ReduceProd": "aten.prod.dim_int",
    "ReduceSum": "aten.sum.dim_IntList",
    "ReduceSumSquare": "aten.norm.ScalarOpt_dim",
    "Slice": "aten.slice.Tensor",
    "Split": "aten.split_with_sizes.default",
    "Squeeze": "aten.reshape.default",
    "Tile": "aten.repeat.default",
    "Unsqueeze": "aten.reshape.default",
}

_OF_SAME_RANK = frozenset({"Pad", "Slice", "CenterCropPad", "Tile"})


def of_unknown_content(op: Op) -> list[Result]:
    """Emit an operator whose result has a shape that follows from data, such as the ends of a slice."""
    name = _OF_CONTENT.get(op.type, "")
    x = op.get(0)
    if op.domain or not name or x is None:
        return unmodelled(op)
    shapes = [op.declared(place) for place in range(len(op.output_names))]
    for place, (_, shape) in enumerate(inferred(op)):
        if shapes[place] is None:
            shapes[place] = shape
    results = []
    for place, shape in enumerate(shapes):
        if shape is None:
            rank = _rank_of_unknown(op, x)
            if rank is None:
                return unmodelled(op)
            shape = op.shape_of_data(op.type.lower(), rank)  # noqa: PLW2901
        results.append(op.result(x.dtype, shape, place=place))
    op.emit(name, {"self": x}, *results)
    return list(results)


def unmodelled(op: Op) -> list[Result]:
    """Emit a node for an operator without a row: the ledger lists it."""
    described = inferred(op)
    results: list[Value] = []
    for place, name in enumerate(op.output_names):
        declared = op.declared(place)
        dtype, guess = described[place] if place < len(described) else ("", None)
        if not dtype:
            dtype = next((v.dtype for v in op.inputs if isinstance(v, Value)), "float32")
        shape = declared if declared is not None else guess
        if shape is None:
            # Most operators of other libraries keep the shape; the ledger lists this one as unknown.
            shape = next((v.shape for v in op.inputs if isinstance(v, Value)), None)
        if shape is None:
            shape = (op.length_of_data(op.type, "elements of a result whose shape is not stated", None),)
        if name or place == 0:
            results.append(op.result(op.walker.declared.dtype(name) or dtype, shape, place=place))
    tensors = {f"input_{i}": v for i, v in enumerate(op.inputs) if isinstance(v, Value)}
    space = _clean_domain(op.domain)
    if results:
        op.emit(f"{space}.{op.type}", tensors, *results)
    return list(results)


def _rank_of_unknown(op: Op, x: Value) -> int | None:
    """Return the number of dimensions of a result whose lengths depend on data; None if that does, too."""
    if op.type in _OF_SAME_RANK or (op.type.startswith("Reduce") and op.integer("keepdims", 1)):
        return x.rank
    axes = op.get(1)
    count = axes.shape[0] if axes is not None and axes.rank == 1 else None
    return x.rank - count if op.type.startswith("Reduce") and isinstance(count, int) else None


def _clean_domain(domain: str) -> str:
    name = "".join(c if c.isalnum() and c.isascii() else "_" for c in domain)
    return name or "onnx"

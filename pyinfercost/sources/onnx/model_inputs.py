"""Inputs of an ONNX model as inputs of the Graph."""

from __future__ import annotations

from typing import Any

from pyinfercost._checks import shown

from .graph_writer import Emitter
from .names import Sizes, cache_name
from .op import Result
from .stored import OnnxError, dtype_of
from .values import Sequenced, Value

_CACHES = ("past",)
_FEWEST_OF_CACHE = 2  # dimensions


def input_of(info: Any, sizes: Sizes, emitter: Emitter) -> Result:
    """Declare an input of the Graph and return its value.

    Args:
        info: The `ValueInfoProto`.
        sizes: Named sizes.
        emitter: Where inputs go.
    """
    kind = info.type
    if not kind.HasField("tensor_type"):
        return _sequence(kind, info.name, emitter)
    if not kind.tensor_type.HasField("shape"):
        raise OnnxError(f"input {shown(info.name)} has no shape; expected one, with names for dynamic lengths")
    value = Value(dtype_of(kind.tensor_type.elem_type), sizes.shape_of(info), name=info.name)
    is_cache = info.name.startswith(_CACHES) and len(value.shape) > _FEWEST_OF_CACHE
    value.name = cache_name(info.name) if is_cache else info.name
    emitter.input(value, "kv_cache" if is_cache else "input")
    return value


def _sequence(kind: Any, name: str, emitter: Emitter) -> Sequenced:
    # Its number of tensors is not stated: one.
    if kind.HasField("sequence_type"):
        kind = kind.sequence_type.elem_type
    elif kind.HasField("optional_type"):
        kind = kind.optional_type.elem_type
    else:
        raise OnnxError(f"input {shown(name)} is neither a tensor nor a sequence of tensors")
    if not kind.HasField("tensor_type"):
        return Sequenced([_sequence(kind, name, emitter)])
    dtype = dtype_of(kind.tensor_type.elem_type)
    shape = [int(dim.dim_value) if dim.HasField("dim_value") else 1 for dim in kind.tensor_type.shape.dim]
    value = Value(dtype, shape, name=name)
    emitter.input(value, "input")
    return Sequenced([value], dtype)

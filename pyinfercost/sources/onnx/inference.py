"""The rules of the `onnx` package for operators without a handler: shapes of results, and bodies as functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyinfercost._core import Expr

from .stored import OnnxError, code_of, dtype_of
from .values import Shape, Size, Value

if TYPE_CHECKING:
    from .op import Op


_ERRORS = (RuntimeError, ValueError, TypeError, AttributeError, KeyError)


def _schema(op: Op) -> Any:
    import onnx.defs

    try:
        return onnx.defs.get_schema(op.type, op.version, op.domain)
    except onnx.defs.SchemaError:
        return None


def _types(op: Op, texts: dict[str, Size]) -> dict[str, Any]:
    from onnx import helper

    types = {}
    for name, value in zip(op.proto.input, op.inputs, strict=False):
        if isinstance(value, Value):
            dims: list[Any] = []
            for length in value.shape:
                if isinstance(length, Expr):
                    texts[str(length)] = length
                    dims.append(str(length))
                else:
                    dims.append(length)
            types[name] = helper.make_tensor_type_proto(code_of(value.dtype), dims)
    return types


def inferred(op: Op) -> list[tuple[str, Shape | None]]:
    """Return dtype and shape of an operator's results, as far as its schema tells; no shape for a new length."""
    schema = _schema(op)
    if schema is None:
        return []
    import onnx

    texts: dict[str, Size] = {}
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in op.walker.versions.items()]
    contents = {
        name: onnx.numpy_helper.from_array(value.data, name)
        for name, value in zip(op.proto.input, op.inputs, strict=False)
        if isinstance(value, Value) and value.data is not None and value.data.dtype != object
    }
    try:
        found = onnx.shape_inference.infer_node_outputs(
            schema, op.proto, _types(op, texts), contents, opset_imports=imports
        )
    except (*_ERRORS, onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return []
    results: list[tuple[str, Shape | None]] = []
    for name in op.output_names:
        kind = found.get(name)
        if kind is None or not kind.HasField("tensor_type") or not kind.tensor_type.elem_type:
            results.append(("", None))
            continue
        tensor = kind.tensor_type
        shape: list[Size] | None = [] if tensor.HasField("shape") else None
        for dim in tensor.shape.dim:
            known = int(dim.dim_value) if dim.HasField("dim_value") else texts.get(dim.dim_param)
            if known is None or shape is None:
                shape = None
                break
            shape.append(known)
        try:
            results.append((dtype_of(tensor.elem_type), None if shape is None else tuple(shape)))
        except OnnxError:
            results.append(("", None))
    return results


def schema_function(op: Op) -> Any:
    """Return the body of an operator that ONNX defines by others; None for any other operator."""
    schema = _schema(op)
    if schema is None:
        return None
    import onnx

    body = None
    if schema.has_function:
        body = schema.function_body
        version = max((v for v in schema.function_opset_versions if v <= op.version), default=0)
        content = schema.get_function_with_opset_version(version) if version else None
        if content:
            body = onnx.FunctionProto.FromString(content)
    elif schema.has_context_dependent_function:
        types = list(_types(op, {}).values())
        if len(types) < len([name for name in op.proto.input if name]):
            return None
        version = max((v for v in schema.context_dependent_function_opset_versions if v <= op.version), default=0)
        if not version:
            return None
        try:
            content = schema.get_context_dependent_function_with_opset_version(
                version, op.proto.SerializeToString(), [kind.SerializeToString() for kind in types]
            )
        except (RuntimeError, ValueError, TypeError):
            return None
        body = onnx.FunctionProto.FromString(content) if content else None
    return body if body is not None and len(body.node) else None

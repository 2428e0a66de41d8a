"""Exports of torch modules to ONNX without their weights: initializers are described as external data."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any


def exported(
    module: Any, inputs: Sequence[Any], dynamic: Any, opset: int, kwargs: Mapping[str, Any] | None = None
) -> Any:
    """Return the `ModelProto` of a module, as `torch.onnx.export` writes it without its optimizer.

    Args:
        module: A module, on the meta device or not.
        inputs: Its positional inputs.
        dynamic: As `dynamic_shapes` of `torch.export`.
        opset: Version of the operators.
        kwargs: Its named inputs.
    """
    import onnx_ir
    import torch

    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                tuple(inputs),
                kwargs=dict(kwargs or {}),
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=dynamic,
                optimize=False,
                verbose=False,
            )
    finally:
        logging.disable(logging.NOTSET)
    assert program is not None
    model = program.model
    offset = 0
    for value in model.graph.initializers.values():
        tensor = value.const_value
        assert tensor is not None, value.name
        if tensor.size <= _SMALL and not _is_meta(tensor):
            continue
        value.const_value = onnx_ir.ExternalTensor(
            "weights.bin", offset, tensor.nbytes, dtype=tensor.dtype, shape=tensor.shape, name=value.name or ""
        )
        offset += tensor.nbytes
    return onnx_ir.serde.serialize_model(model)


def _is_meta(tensor: Any) -> bool:
    return getattr(getattr(tensor, "raw", None), "is_meta", False)


_SMALL = 64  # elements of tensors that may be part of a shape

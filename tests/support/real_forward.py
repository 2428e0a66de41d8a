"""Comparison of a capture with a real forward: dtypes, shapes and strides of outputs, and counts after JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

import pyinfercost as ic

_UNDERLYING = {torch.quint8: "uint8", torch.qint8: "int8", torch.qint32: "int32"}
_FIGURES = (
    "contraction_flops",
    "pointwise_flops",
    "parameters",
    "parameter_bytes",
    "buffer_bytes",
    "bytes_read",
    "bytes_written",
    "peak_memory_bytes",
)


def tensors_of(value: Any) -> list[torch.Tensor]:
    """Return all tensors of a nested result, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [t for item in items for t in tensors_of(item)]


def figures(row: Any) -> dict[str, Any]:
    """Return the figures of a row of counts."""
    return {name: getattr(row, name) for name in _FIGURES}


def check_against_real_forward(module: nn.Module, *inputs: torch.Tensor) -> ic.results.Counts:
    """Capture a module with real weights and run it; all operators must be modeled."""
    module = module.eval()
    graph = ic.capture(module, inputs)
    with torch.inference_mode():
        real = tensors_of(module(*inputs))
    assert [(t.dtype, t.shape, t.strides) for t in graph.outputs] == [
        (_UNDERLYING.get(t.dtype, str(t.dtype).removeprefix("torch.")), tuple(t.shape), t.stride()) for t in real
    ]
    counts = ic.count(graph)
    assert counts.unmodelled == {}
    assert figures(ic.count(ic.Graph.from_json(graph.to_json())).total) == figures(counts.total)
    return counts

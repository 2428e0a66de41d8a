"""Builder of small graphs of a few operator calls with symbolic sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyinfercost as ic

Shape = Sequence["int | ic.Expr"]

BYTE_DTYPES = {
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
    "half": "float16",
    "float32": "float32",
    "fp32": "float32",
    "float": "float32",
    "fp8": "float8_e4m3fn",
    "fp8_e4m3": "float8_e4m3fn",
    "fp8_e5m2": "float8_e5m2",
    "int8": "int8",
}
"""Dtype of a plain tensor by its name in tables."""


class OpGraph:
    """Builds a graph call by call; every call creates its result tensor."""

    def __init__(self, name: str) -> None:
        self._builder = ic.GraphBuilder(name)
        self._inputs: list[Any] = []
        self._results: list[Any] = []

    def size(self, name: str, *, minimum: int = 1) -> ic.Expr:
        """Add a symbolic size."""
        return self._builder.size(name, default=128, minimum=minimum)

    def given(self, dtype: str, shape: Shape, role: str = "input") -> Any:
        """Add an existing tensor: an input, a weight (`parameter`) or a cache (`kv_cache`)."""
        tensor = self._builder.tensor(dtype, shape, role=role, name=f"{role}_{len(self._inputs)}")
        if role != "parameter":
            self._inputs.append(tensor)
        return tensor

    def call(self, op: str, arguments: Mapping[str, Any], dtype: str, shape: Shape) -> Any:
        """Add an operator call.

        Returns:
            Its result.
        """
        result = self._builder.tensor(dtype, shape)
        self._builder.node(op, arguments, [result])
        self._results.append(result)
        return result

    def build(self) -> ic.Graph:
        """Return the graph; the results of all calls are its outputs, so that none counts as unused."""
        return self._builder.build(self._inputs, self._results)


@dataclass(frozen=True)
class Narrow:
    """Narrow dtype of both operands of a product.

    Attributes:
        dtype: Dtype of their elements in memory.
        packed: Number of values per element of that dtype.
        group: Number of values of a row that share a scale; None for the whole row.
        scale: Dtype of scales.
    """

    dtype: str
    packed: int = 1
    group: int | None = None
    scale: str = "float32"

    def width(self, values: ic.Expr) -> ic.Expr:
        """Return the number of elements in a row of this many values."""
        return values if self.packed == 1 else values // self.packed

    def scales(self, values: ic.Expr) -> ic.Expr | int:
        """Return the number of scales for a row of this many values."""
        return 1 if self.group is None else ic.Expr.ceil_div(values, self.group)


NARROW = {
    "fp8": Narrow("float8_e4m3fn"),
    "fp8_block": Narrow("float8_e4m3fn", group=128),
    "nvfp4": Narrow("float4_e2m1fn_x2", packed=2, group=16, scale="float8_e4m3fn"),
    "mxfp4": Narrow("float4_e2m1fn_x2", packed=2, group=32, scale="uint8"),
}
"""Narrow floating-point dtypes of products."""


def quantized_rows(ops: OpGraph, activation: Any, rows: ic.Expr, width: ic.Expr, narrow: Narrow) -> tuple[Any, Any]:
    """Add dynamic quantization with one scale per row, as serving engines do before a product.

    One kernel reads a row, finds its largest magnitude, and writes the row in the narrow dtype with its scales.

    Returns:
        The quantized rows, and their scales.
    """
    scale = ops.given(narrow.scale, [rows, narrow.scales(width)])
    arguments = {"input": activation, "scale": scale}
    op = "torchao.quantize_affine_float8_non_decomposed"
    return ops.call(op, arguments, narrow.dtype, [rows, narrow.width(width)]), scale

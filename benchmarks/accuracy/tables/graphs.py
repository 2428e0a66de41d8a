"""Small graphs of a few operator calls, with their sizes open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyinfercost as ic

Shape = list["int | ic.Expr"]

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
"""The dtype of a plain tensor by the name that tables give it."""


class OpGraph:
    """Builds a graph call by call; every call makes the tensor of its result."""

    def __init__(self, name: str) -> None:
        self._builder = ic.GraphBuilder(name)
        self._inputs: list[Any] = []
        self._results: list[Any] = []

    def size(self, name: str, *, minimum: int = 1) -> ic.Expr:
        """A size that stays open."""
        return self._builder.size(name, default=128, minimum=minimum)

    def given(self, dtype: str, shape: Shape, role: str = "input") -> Any:
        """A tensor that exists before: an input, a weight (`parameter`) or a cache (`kv_cache`)."""
        tensor = self._builder.tensor(dtype, shape, role=role, name=f"{role}_{len(self._inputs)}")
        if role != "parameter":
            self._inputs.append(tensor)
        return tensor

    def call(self, op: str, arguments: Mapping[str, Any], dtype: str, shape: Shape) -> Any:
        """An operator call.

        Returns:
            Its result.
        """
        result = self._builder.tensor(dtype, shape)
        self._builder.node(op, arguments, [result])
        self._results.append(result)
        return result

    def build(self) -> ic.Graph:
        """The graph; the results of all calls are its outputs, so that none counts as unused."""
        return self._builder.build(self._inputs, self._results)


def quantised_rows(ops: OpGraph, activation: Any, rows: Any, width: Any) -> tuple[Any, Any]:
    """Dynamic quantisation to e4m3 with a scale for each row, as serving engines do before an fp8 product.

    One kernel: it reads a row, finds its largest magnitude, and writes the row as fp8 and its scale.

    Returns:
        The quantised rows, and their scales.
    """
    scale = ops.given("float32", [rows, 1])
    arguments = {"input": activation, "scale": scale}
    return ops.call("torchao.quantize_affine_float8_non_decomposed", arguments, "float8_e4m3fn", [rows, width]), scale

"""Graphs of one operator call, for tests of single rows of the operator tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyinfercost as ic

FLOAT32 = 4  # bytes
INT64 = 8


class T(NamedTuple):
    """A tensor to declare."""

    shape: Sequence[int | ic.Expr]
    dtype: str = "float32"
    strides: Sequence[int | ic.Expr] | None = None
    role: str = "input"


def single_node(op: str, arguments: Mapping[str, Any], *outputs: T) -> ic.Graph:
    """Return a graph that calls `op` once; a T, or a list of them, among the arguments is an existing tensor."""
    builder = ic.GraphBuilder("one")
    inputs: list[Any] = []

    def declare(value: Any) -> Any:
        if isinstance(value, T):
            inputs.append(builder.tensor(value.dtype, value.shape, strides=value.strides, role=value.role))
            return inputs[-1]
        if isinstance(value, list):
            return [declare(v) for v in value]
        return value

    given = {name: declare(value) for name, value in arguments.items()}
    results = [builder.tensor(t.dtype, t.shape, strides=t.strides) for t in outputs]
    builder.node(op, given, results)
    return builder.build(inputs, results)


def work_of(op: str, arguments: Mapping[str, Any], *outputs: T, **sizes: int) -> ic.Work:
    """Return the work of one call of `op`, which must be modeled."""
    (layer,) = ic.count(single_node(op, arguments, *outputs), **sizes).layers
    assert layer.modelled, f"{op} has no row"
    return layer.work

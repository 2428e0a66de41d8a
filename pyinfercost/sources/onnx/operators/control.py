"""Conditions and loops. A loop is unrolled; one without a known number of steps is read once, and is in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyinfercost._core import Expr

from ..op import Op, Result, handles
from ..stored import OnnxError, dtype_of
from ..values import Sequenced, Size, Value
from .movement import part_of, reshaped

_MOST_STEPS = 4096
_MOST_UNROLLED = 20_000  # nodes, including nodes of loops around


@handles("If")
def condition(op: Op) -> Sequence[Result]:
    branches = [op.graph("then_branch"), op.graph("else_branch")]
    known = op[0].scalar()
    if isinstance(known, (bool, int, float)):
        return op.walker.subgraph(branches[0 if known else 1], (), module=op.module)
    # Which one runs depends on data: the more expensive one, so that counts are upper bounds.
    op.walker.settle(branches)
    chosen = op.walker.dearer(branches, module=op.module)
    return op.walker.subgraph(branches[chosen], (), module=op.module)


def _steps(op: Op, count: Any, body: Any) -> int | None:
    """Return the number of steps; None if it is not known or cannot be unrolled."""
    if isinstance(count, bool) or not isinstance(count, (int, float)):
        return None
    steps = max(0, int(count))
    return steps if steps <= _MOST_STEPS and op.walker.unrolled(body, steps) <= _MOST_UNROLLED else None


def _unknown(op: Op, values: Sequence[Result]) -> None:
    """Add a node that is in the ledger: how often its body runs is not known."""
    tensors = [value for value in values if isinstance(value, Value)]
    if tensors:
        op.emit(f"onnx.{op.type}", {"carried": tensors[:1]}, Value(tensors[0].dtype, tensors[0].shape))


@handles("Loop")
def loop(op: Op) -> Sequence[Result]:
    body = op.graph("body")
    carried: list[Result] = list(op.inputs[2:])
    if len(body.output) < 1 + len(carried):
        raise OnnxError(f"carries {len(carried)} values, but its body returns {len(body.output)}")
    limit = op.get(0)
    op.walker.settle([body])
    steps = None if limit is None else _steps(op, limit.scalar(), body)
    start = op.get(1)
    go_on = True if start is None else start.scalar()
    if isinstance(go_on, (bool, int)) and not go_on:
        steps = 0
    scanned: list[list[Value]] = [[] for _ in body.output[1 + len(carried) :]]
    for step in range(1 if steps is None else steps):
        number = Value("int64", (), data=np.array(step, dtype=np.int64))
        if steps is None:
            number = op.inner("aten.scalar_tensor.default", {"s": 0}, "int64", ())
        go = Value("bool", (), data=np.array(True))
        results = op.walker.subgraph(body, [number, go, *carried], module=op.module, times=steps or 1)
        for place, value in enumerate(results[1 + len(carried) :]):
            if not isinstance(value, Value):
                raise OnnxError("collects a value that is no tensor")
            scanned[place].append(value)
        stop = results[0].scalar() if isinstance(results[0], Value) else None
        carried = results[1 : 1 + len(carried)]
        if steps is not None and isinstance(stop, (bool, int)) and not stop:
            break
    count: Size = len(scanned[0]) if scanned else 0
    if steps is None:
        _unknown(op, [*carried, *(parts[0] for parts in scanned)])
        symbolic = None if limit is None else limit.scalar()
        count = symbolic if isinstance(symbolic, Expr) else 1
    stated = body.output[1 + len(carried) :]
    return [*carried, *(_stacked(op, parts, 0, count, info) for parts, info in zip(scanned, stated, strict=True))]


def _stacked(op: Op, parts: Sequence[Value], axis: int, count: Size, info: Any) -> Value:
    """Emit the tensor of the values that the steps collected; `info` is the file's description of one of them."""
    if not parts:
        # No step ran.
        stated = info.type.tensor_type
        shape: list[Size] = [0, *(int(d.dim_value) for d in stated.shape.dim)]
        return op.inner("aten.empty.memory_format", {"size": shape}, dtype_of(stated.elem_type or 1), shape)
    first = parts[0]
    axis = axis if axis >= 0 else axis + first.rank + 1
    shape = [*first.shape[:axis], count, *first.shape[axis:]]
    return op.inner("aten.stack.default", {"tensors": list(parts), "dim": axis}, first.dtype, shape)


@handles("Scan")
def scan(op: Op) -> Sequence[Result]:
    if op.version < 9:
        raise OnnxError("is a Scan of operator set 8; expected 9 or newer (onnx.version_converter)")
    body = op.graph("body")
    scans = op.integer("num_scan_inputs")
    if not 0 < scans <= len(op.inputs):
        raise OnnxError(f"scans {scans} of its {len(op.inputs)} operands")
    states = len(op.inputs) - scans
    carried: list[Result] = list(op.inputs[:states])
    inputs = [op[states + place] for place in range(scans)]
    given = op.integers("scan_input_axes") or [0] * scans
    axes = [axis + value.rank if axis < 0 else axis for axis, value in zip(given, inputs, strict=True)]
    if any(not 0 <= axis < value.rank for axis, value in zip(axes, inputs, strict=True)):
        raise OnnxError(f"scans the axes {given}, which its operands do not have")
    lengths = inputs[0].shape[axes[0]]
    steps = _steps(op, lengths, body) if isinstance(lengths, int) else None
    op.walker.settle([body])
    outputs = len(body.output) - states
    scanned: list[list[Value]] = [[] for _ in range(outputs)]
    for step in range(1 if steps is None else steps):
        parts: list[Result] = []
        for value, axis in zip(inputs, axes, strict=True):
            one = part_of(op, value, axis, step, 1)
            parts.append(reshaped(op, one, [n for place, n in enumerate(value.shape) if place != axis], inner=True))
        results = op.walker.subgraph(body, [*carried, *parts], module=op.module, times=steps or 1)
        carried = results[:states]
        for place, found in enumerate(results[states:]):
            if not isinstance(found, Value):
                raise OnnxError("collects a value that is no tensor")
            scanned[place].append(found)
    if steps is None:
        _unknown(op, [*carried, *(parts[0] for parts in scanned)])
    ends = op.integers("scan_output_axes") or [0] * outputs
    return [
        *carried,
        *(
            _stacked(op, parts, end, lengths, info)
            for parts, end, info in zip(scanned, ends, body.output[states:], strict=True)
        ),
    ]


@handles("SequenceMap")
def sequence_map(op: Op) -> Sequence[Result]:
    body = op.graph("body")
    first = op.sequence(0)
    op.walker.settle([body])
    found: list[list[Any]] = [[] for _ in body.output]
    for place in range(len(first.items)):
        given = [value.items[place] if isinstance(value, Sequenced) else value for value in op.inputs]
        for parts, value in zip(found, op.walker.subgraph(body, given, module=op.module), strict=True):
            parts.append(value)
    return [Sequenced(parts, first.dtype) for parts in found]
